"""Loop devices: block devices whose blocks are a file's bytes (loop(4)). Needs Linux 5.8 (LOOP_CONFIGURE)."""

import contextlib
import errno
import fcntl
import os
import stat
import struct
import time

import msgspec

from ..model.errors import FailedPrecondition, HostFailed, InUse, InvalidArgument
from . import block, files, loop_status
from .effect import effect
from .failure import during
from .loop_status import DIRECT_IO, INFO, READ_ONLY, SYSFS, Attached, LoopDevice

__all__ = [
    "BLOCK_SIZE",
    "Attached",
    "LoopDevice",
    "all_devices",
    "attach",
    "attach_anew",
    "buffer_io",
    "check",
    "detach",
    "find",
    "make_anew",
    "refresh_size",
    "verify",
]

BLOCK_SIZE = 4096

LOOP_CLR_FD = 0x4C01
LOOP_SET_CAPACITY = 0x4C07
LOOP_SET_DIRECT_IO = 0x4C08
LOOP_CONFIGURE = 0x4C0A
LOOP_CTL_ADD = 0x4C80
LOOP_CTL_REMOVE = 0x4C81
LOOP_CTL_GET_FREE = 0x4C82
BLKGETSIZE64 = 0x80081272
BLKFLSBUF = 0x1261

# struct loop_config: fd, block size, struct loop_info64, reserved words.
CONFIG = struct.Struct(f"=II{INFO.size}s64x")

CONTROL = "/dev/loop-control"
# Another process can take the number we were told is free before we do.
RACES = 128
# A device is freed when its last opener closes it; udev and probes open one for a moment.
PATIENCE = 5.0


def attach(path: str, *, read_only: bool = False) -> LoopDevice:
    """The loop device of the file at ``path``, with 4096-byte blocks and, where the filesystem takes it, direct IO.

    One that already has this file (by device and inode) is used again. Raises FailedPrecondition when that one has
    another block size, offset or access than asked, InvalidArgument when the file's size is not a multiple of 4096,
    HostFailed.
    """
    found = find(path)
    if found is None:
        return attach_anew(path, read_only=read_only)
    check(found, path, read_only)
    return found


def attach_anew(path: str, *, read_only: bool = False) -> LoopDevice:
    """Like attach, for a caller that knows the file has no device: looking would cost time for every device there is."""
    with during(f"opening {path}"):
        seen = os.stat(path)
    if seen.st_size % BLOCK_SIZE or not stat.S_ISREG(seen.st_mode):
        message = f"{path} is no file of whole {BLOCK_SIZE}-byte blocks: {seen.st_size} bytes"
        raise InvalidArgument(message)
    return configure(path, _flags(read_only))


def find(file: str | os.stat_result) -> LoopDevice | None:
    """The loop device that has this file, by backing device and inode; None if none has. Raises HostFailed."""
    with during("looking through the loop devices"):
        wanted = os.stat(file) if isinstance(file, str) else file
        identity = (wanted.st_dev, wanted.st_ino)
        for number in loop_status.numbers():
            attached = loop_status.status(number)
            if attached is not None and attached[1:] == identity:
                return attached[0]
    return None


def verify(device: LoopDevice, st_dev: int, st_ino: int) -> bool:
    """Whether ``device`` still has that file: one ioctl, for callers that remember what find told them."""
    with during(f"asking {device.path} for its file"):
        attached = loop_status.status(device.number)
    return attached is not None and attached[1:] == (st_dev, st_ino)


@effect
def configure(path: str, flags: int) -> LoopDevice:
    """Give the file at ``path`` a free loop device, with all its settings at once (LOOP_CONFIGURE). Raises HostFailed."""
    with during(f"attaching {path} to a loop device"):
        backing = os.open(path, (os.O_RDONLY if flags & READ_ONLY else os.O_RDWR) | os.O_CLOEXEC)
        try:
            for _ in range(RACES):
                number = _free_number()
                if loop_status.discard_lost(number):
                    make_anew(number)
                if _configured(number, backing, flags):
                    break
            else:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
            attached = loop_status.status(number)
        finally:
            os.close(backing)
    if attached is None:
        message = f"/dev/loop{number} lost {path} while it was attached"
        raise HostFailed(message)
    return attached[0]


def detach(device: LoopDevice) -> None:
    """Flush the device and free it; returns once it is free. Nothing happens if it has no file.

    Raises InUse while it is mounted or held open. If a process opened it, the kernel frees it at its last close.
    The caller has made sure that ``device`` is the one it means (verify).
    """
    before = loop_status.attachment(device.number)
    if not clear(device.path):
        return
    deadline = time.monotonic() + PATIENCE
    pause = 0.0002
    # Once free, the number can have another file before we look.
    while loop_status.attachment(device.number) == before is not None:
        if time.monotonic() > deadline:
            message = f"{device.path} is still held open by a process; it is freed when that closes it"
            raise InUse(message)
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


@effect
def clear(path: str) -> bool:
    """Flush a loop device and have the kernel free it at its last close; False if it has no file. Raises InUse, HostFailed."""
    with during(f"detaching {path}"):
        try:
            # Exclusively, so that a mounted device is refused here: LOOP_CLR_FD would only mark it to go later.
            fd = os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno == errno.EBUSY:
                message = f"{path} is mounted or used by another device"
                raise InUse(message) from error
            raise
        try:
            if not loop_status.has_file(fd):
                return False
            # What a block volume's user left in the page cache goes through the device to the file, and to its disk.
            files.fsync_file(fd)
            fcntl.ioctl(fd, BLKFLSBUF)
            # A switch to read-only (block.set_read_only) would stay with the device's number, for whoever gets it next.
            fcntl.ioctl(fd, block.BLKROSET, block.INT.pack(0))
            fcntl.ioctl(fd, LOOP_CLR_FD)
        finally:
            os.close(fd)
        return True


@effect
def refresh_size(device: LoopDevice) -> int:
    """The device is as large as its file now is (LOOP_SET_CAPACITY); the size in bytes. Raises HostFailed."""
    with during(f"reading the size of the file behind {device.path}"):
        fd = os.open(device.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, LOOP_SET_CAPACITY)
            size: int = struct.unpack("Q", fcntl.ioctl(fd, BLKGETSIZE64, bytes(8)))[0]
        finally:
            os.close(fd)
    return size


@effect
def buffer_io(device: LoopDevice) -> LoopDevice:
    """The device reads and writes its file through the page cache from now on. Raises HostFailed."""
    with during(f"turning direct IO off for {device.path}"):
        fd = os.open(device.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, LOOP_SET_DIRECT_IO, 0)
        finally:
            os.close(fd)
    return msgspec.structs.replace(device, direct_io=False)


def all_devices() -> list[Attached]:
    """Every loop device of this host that has a file, by number. Raises HostFailed."""
    found = []
    with during("looking through the loop devices"):
        for number in loop_status.numbers():
            attached = loop_status.status(number)
            if attached is not None:
                name = loop_status.backing_path(number)
                path = name.removesuffix(" (deleted)")
                found.append(Attached(*attached, path, path != name and not loop_status.is_file(name, attached[1:])))
    return found


def _flags(read_only: bool) -> int:
    return DIRECT_IO | (READ_ONLY if read_only else 0)


def _free_number() -> int:
    control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        return fcntl.ioctl(control, LOOP_CTL_GET_FREE)
    finally:
        os.close(control)


@effect
def make_anew(number: int) -> None:
    """Remove a free device and add it again, without what was set on its queue. One that is open stays as it is."""
    with contextlib.suppress(OSError):
        control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(control, LOOP_CTL_REMOVE, number)
            fcntl.ioctl(control, LOOP_CTL_ADD, number)
        finally:
            os.close(control)


def _configured(number: int, backing: int, flags: int) -> bool:
    """Attach an open file to a device; False if somebody else took the device first."""
    try:
        fd = os.open(loop_status.node(number), (os.O_RDONLY if flags & READ_ONLY else os.O_RDWR) | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENODEV):
            return False
        raise
    try:
        info = INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, flags, b"", b"", b"")
        fcntl.ioctl(fd, LOOP_CONFIGURE, CONFIG.pack(backing, BLOCK_SIZE, info))
        if not flags & READ_ONLY:
            fcntl.ioctl(fd, block.BLKROSET, block.INT.pack(0))  # as somebody may have left it
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        raise
    finally:
        os.close(fd)
    return True


def check(device: LoopDevice, path: str, read_only: bool) -> None:
    """FailedPrecondition unless the device that has the file at ``path`` is as attach would make it."""
    found = []
    with during(f"reading the block size of {device.path}"):
        for name, wanted in (("queue/logical_block_size", BLOCK_SIZE), ("loop/offset", 0), ("loop/sizelimit", 0)):
            with open(f"{SYSFS}/loop{device.number}/{name}", encoding="ascii") as file:
                seen = int(file.read())
            if seen != wanted:
                found.append(f"{name.partition('/')[2]} {seen} instead of {wanted}")
    if device.read_only != read_only:
        found.append("read-only" if device.read_only else "writable")
    if found:
        message = f"{path} is attached as {device.path} already, but {', '.join(found)}: detach that first"
        raise FailedPrecondition(message)

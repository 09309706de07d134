"""What the kernel tells of loop devices (LOOP_GET_STATUS64, sysfs)."""

import contextlib
import errno
import fcntl
import os
import re
import stat
import struct
from typing import NamedTuple

import msgspec

LOOP_GET_STATUS64 = 0x4C05
READ_ONLY = 0x1
DIRECT_IO = 0x10
# struct loop_info64: device, inode, rdevice, offset, sizelimit, number, encrypt_type, encrypt_key_size, flags, names.
INFO = struct.Struct("=QQQQQIIII64s64s32s16x")
SYSFS = "/sys/block"
GONE = frozenset({errno.ENXIO, errno.ENOENT, errno.ENODEV})
"""What a device, or its file in sysfs, answers when it lost its file or was removed between two looks."""


class LoopDevice(msgspec.Struct, frozen=True):
    """A loop device that has a file. ``rdev`` is its device number as in st_rdev, and st_dev of files on it."""

    path: str
    number: int
    rdev: int
    direct_io: bool
    read_only: bool


class Attached(NamedTuple):
    """A loop device with the file behind it; ``backing_path`` is for people only: it may be stale or another's view."""

    device: LoopDevice
    st_dev: int
    st_ino: int
    backing_path: str
    deleted: bool


def numbers() -> list[int]:
    """The loop devices that have a file, told by sysfs."""
    names = (re.fullmatch(r"loop(\d+)", name) for name in os.listdir(SYSFS))
    numbers = sorted(int(match[1]) for match in names if match)
    return [number for number in numbers if os.path.exists(f"{SYSFS}/loop{number}/loop")]


def status(number: int) -> tuple[LoopDevice, int, int] | None:
    """A device with its file's st_dev and st_ino; None if it has no file. Raises OSError."""
    try:
        fd = os.open(node(number), os.O_RDONLY | os.O_CLOEXEC)
        try:
            info = INFO.unpack(fcntl.ioctl(fd, LOOP_GET_STATUS64, bytes(INFO.size)))
        finally:
            os.close(fd)
        rdev = _rdev(number)
    except OSError as error:
        if error.errno in GONE:
            return None
        raise
    flags = info[8]
    device = LoopDevice(
        path=f"/dev/loop{number}",
        number=number,
        rdev=rdev,
        direct_io=bool(flags & DIRECT_IO),
        read_only=bool(flags & READ_ONLY),
    )
    # The kernel tells the device in the encoding the C library uses too, so makedev and st_dev agree with it.
    return device, info[0], info[1]


def has_file(fd: int) -> bool:
    """Whether an open loop device has a file. Raises OSError."""
    try:
        fcntl.ioctl(fd, LOOP_GET_STATUS64, bytes(INFO.size))
    except OSError as error:
        if error.errno == errno.ENXIO:
            return False
        raise
    return True


def attachment(number: int) -> tuple[str, str] | None:
    """What tells one use of a device from the next: the kernel's count of media (Linux 5.15), the file. None if free."""
    path = backing_path(number)
    if not path:
        return None
    try:
        with open(f"{SYSFS}/loop{number}/diskseq", encoding="ascii") as file:
            return file.read(), path
    except OSError as error:
        if error.errno in GONE:
            return "", path
        raise


def discard_lost(number: int) -> bool:
    """Whether somebody has set a device's discard limit to 0, which outlasts its file and cannot be undone.

    Linux 6.18 then takes the granularity for 0 and refuses every other limit as no multiple of it.
    """
    limits = []
    for name in ("discard_max_bytes", "discard_max_hw_bytes"):
        try:
            with open(f"{SYSFS}/loop{number}/queue/{name}", encoding="ascii") as file:
                limits.append(int(file.read()))
        except OSError:
            return False
    return limits[0] == 0 < limits[1]


def backing_path(number: int) -> str:
    try:
        with open(f"{SYSFS}/loop{number}/loop/backing_file", encoding="utf-8", errors="surrogateescape") as file:
            return file.read().rstrip("\n")
    except OSError as error:
        if error.errno in GONE:
            return ""
        raise


def is_file(path: str, identity: tuple[int, int]) -> bool:
    try:
        seen = os.stat(path)
    except OSError:
        return False
    return (seen.st_dev, seen.st_ino) == identity


def _rdev(number: int) -> int:
    # Not the number itself: with partitions enabled (loop.max_part) every device has a row of minors.
    with open(f"{SYSFS}/loop{number}/dev", encoding="ascii") as file:
        major, minor = file.read().split(":")
    return os.makedev(int(major), int(minor))


def node(number: int) -> str:
    """The path of a loop device, made if nobody made it: a container's /dev need not be the kernel's devtmpfs."""
    path = f"/dev/loop{number}"
    if not os.path.exists(path):
        with contextlib.suppress(FileExistsError):
            os.mknod(path, stat.S_IFBLK | 0o660, _rdev(number))
    return path

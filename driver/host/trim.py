"""Telling the device below what is free."""

import contextlib
import errno
import fcntl
import os
import struct
import time

from . import disk, libc
from .effect import effect
from .failure import during

FITRIM = 0xC0185879
BLKDISCARD = 0x1277
RANGE = struct.Struct("=QQQ")
EVERYTHING = (1 << 64) - 1
# The kernel itself gives a request up after 30 s (queue/io_timeout), so one that is older is not under way any more.
PATIENCE = 60.0


@effect
def fitrim(mount: str) -> int:
    """Discard all free blocks of the filesystem at ``mount``; the bytes discarded. Done when it returns (FITRIM).

    Synced first, since what was removed is not free before its transaction is on disk; xfs frees a large file's blocks
    some time after its removal, so cut it to nothing before. ext4 leaves out what it discarded before and nobody used
    since. Raises HostFailed (EOPNOTSUPP when the device below takes no discard, EROFS).
    """
    with during(f"trimming {mount}"):
        numbers = disk.numbers_below(mount)
        fd = os.open(mount, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if libc.syncfs(fd) != 0:
                raise libc.failed()
            done: tuple[int, int, int] = RANGE.unpack(fcntl.ioctl(fd, FITRIM, RANGE.pack(0, EVERYTHING, 0)))
        finally:
            os.close(fd)
        for number in numbers:
            _await_discards(number)
    return done[1]


def discard_supported(path: str) -> bool:
    """Whether the block device below ``path`` (or ``path`` itself, a device) takes discards; False if there is none.

    A loop device takes them when its file's filesystem can punch holes; what that one does with the freed blocks is
    for a second question, about the file's path. All devices of a btrfs must take them. Raises HostFailed.
    """
    with during(f"looking at the device below {path}"):
        return all(_discards(number) for number in disk.numbers_below(path))


@effect
def discard_device(device: str) -> None:
    """Discard all blocks of a device (BLKDISCARD), which the caller owns. What they hold then is undefined.

    Raises HostFailed (EBUSY while it is mounted, EOPNOTSUPP).
    """
    with during(f"discarding {device}"):
        fd = os.open(device, os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, BLKDISCARD, struct.pack("=QQ", 0, os.lseek(fd, 0, os.SEEK_END)))
        finally:
            os.close(fd)


def _await_discards(number: int) -> None:
    """What the device was told to discard until now is discarded. XFS only sends the discards off (seen on Linux 6.18)."""
    path = os.path.realpath(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    # A loop device works its queue off in order: once the flush is done, so are the discards before it. Others may
    # overtake, so there the queue has to have been empty once.
    with contextlib.suppress(FileNotFoundError):
        device = os.open(f"/dev/{os.path.basename(path)}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(device)
        finally:
            os.close(device)
    deadline = time.monotonic() + (0 if os.path.exists(f"{path}/loop") else PATIENCE)
    while time.monotonic() < deadline:
        with open(f"{path}/inflight", encoding="ascii") as file:
            if not any(int(count) for count in file.read().split()):
                return
        time.sleep(0.001)


def _discards(number: int) -> bool:
    base = f"/sys/dev/block/{os.major(number)}:{os.minor(number)}"
    # A partition has no queue of its own: its disk's lies one directory up.
    for queue in (f"{base}/queue", f"{base}/../queue"):
        try:
            with open(f"{queue}/discard_max_bytes", encoding="ascii") as file:
                return int(file.read()) > 0
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
    return False

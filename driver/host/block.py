"""Block devices of any kind: how large, and whether they may be written."""

import fcntl
import os
import struct

from .effect import effect
from .failure import during

BLKROSET = 0x125D
BLKROGET = 0x125E
INT = struct.Struct("i")


def size_of(device: str) -> int:
    """Bytes of the device at ``device`` now. Raises HostFailed."""
    with during(f"reading the size of {device}"):
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.lseek(fd, 0, os.SEEK_END)
        finally:
            os.close(fd)


def is_read_only(device: str) -> bool:
    """Whether the kernel refuses writes to the device. Raises HostFailed."""
    with during(f"asking whether {device} may be written"):
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return bool(INT.unpack(fcntl.ioctl(fd, BLKROGET, bytes(INT.size)))[0])
        finally:
            os.close(fd)


@effect
def set_read_only(device: str, read_only: bool) -> None:
    """Make the kernel refuse, or accept, writes to the device (BLKROSET): also through files that are open already.

    A read-only bind mount does not do that: permission to write to a device is not permission to write to the
    filesystem its node lies on. Raises HostFailed.
    """
    with during(f"making {device} {'read-only' if read_only else 'writable'}"):
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, BLKROSET, INT.pack(read_only))
        finally:
            os.close(fd)

"""Where a file's data lies (FIEMAP, SEEK_DATA)."""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from enum import IntFlag

import msgspec

from .failure import during

FS_IOC_FIEMAP = 0xC020660B
FIEMAP_FLAG_SYNC = 0x1
HEADER = struct.Struct("=QQIIII")
EXTENT = struct.Struct("=QQQ16xI12x")
BATCH = 512
END = (1 << 64) - 1


class Flag(IntFlag):
    """Properties of an extent (linux/fiemap.h)."""

    LAST = 0x1
    UNKNOWN = 0x2
    DELALLOC = 0x4
    ENCODED = 0x8
    NOT_ALIGNED = 0x100
    INLINE = 0x200
    TAIL = 0x400
    UNWRITTEN = 0x800
    MERGED = 0x1000
    SHARED = 0x2000


class Extent(msgspec.Struct, frozen=True):
    """A run of a file's bytes that lies in one run on the device. All in bytes; ``flags`` is a set of Flag bits."""

    logical: int
    physical: int
    length: int
    flags: int


def extents(fd: int, start: int = 0) -> Iterator[Extent]:
    """The extents from byte ``start`` on, in order, after the file's dirty data was flushed (FIEMAP_FLAG_SYNC).

    The one that holds ``start`` may come whole. Raises HostFailed (EOPNOTSUPP where the filesystem has no FIEMAP).
    """
    buffer = bytearray(HEADER.size + BATCH * EXTENT.size)
    flags = FIEMAP_FLAG_SYNC
    while True:
        HEADER.pack_into(buffer, 0, start, END - start, flags, 0, BATCH, 0)
        with during(f"mapping the extents of descriptor {fd}"):
            fcntl.ioctl(fd, FS_IOC_FIEMAP, buffer)
        count = HEADER.unpack_from(buffer, 0)[3]
        for index in range(count):
            extent = Extent(*EXTENT.unpack_from(buffer, HEADER.size + index * EXTENT.size))
            yield extent
            if extent.flags & Flag.LAST:
                return
            start = extent.logical + extent.length
        if count == 0:
            return
        flags = 0


def allocated(fd: int, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """The ranges (offset, length) that hold data between ``start`` and ``end``, by SEEK_DATA.

    Preallocated blocks that were never written are no data. A range may still hold only zeros. Raises HostFailed.
    """
    with during(f"looking for data in descriptor {fd}"):
        limit = os.fstat(fd).st_size if end is None else end
        while start < limit:
            try:
                data = os.lseek(fd, start, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                raise
            if data >= limit:
                return
            start = os.lseek(fd, data, os.SEEK_HOLE)
            yield data, min(start, limit) - data


def has_data(path: str) -> bool:
    """Whether any byte of a file was ever written, as far as its extents tell. Raises HostFailed."""
    with during(f"looking for data in {path}"):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return next(allocated(fd), None) is not None
    finally:
        os.close(fd)


def allocated_bytes(path: str) -> int:
    """The bytes of blocks a file takes, shared ones included (st_blocks). Raises HostFailed."""
    with during(f"measuring {path}"):
        return os.stat(path).st_blocks * 512

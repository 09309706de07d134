"""Where a file's data lies (FIEMAP, SEEK_DATA)."""

from collections.abc import Iterator
from enum import IntFlag

import msgspec


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

    An extent that holds ``start`` comes whole. Raises HostFailed (EOPNOTSUPP where the filesystem has no FIEMAP).
    """
    raise NotImplementedError


def allocated(fd: int, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """The ranges (offset, length) that hold data between ``start`` and ``end``, by SEEK_DATA; preallocated ones do not.

    XFS and ext4 show preallocated ranges with dirty pages as data, others not: a range may hold only zeros.
    Raises HostFailed.
    """
    raise NotImplementedError


def has_data(path: str) -> bool:
    """Whether any byte of a file was ever written, as far as its extents tell. Raises HostFailed."""
    raise NotImplementedError


def allocated_bytes(path: str) -> int:
    """The bytes of blocks a file takes, shared ones included (st_blocks). Raises HostFailed."""
    raise NotImplementedError

"""Reading btrfs metadata (BTRFS_IOC_TREE_SEARCH; the on-disk items of linux/btrfs_tree.h)."""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from .failure import during

TREE_SEARCH = 0xD0009411
# struct btrfs_ioctl_search_key; the items follow it in the same 4096 bytes, each behind a header.
KEY = struct.Struct("=7Q4I32x")
HEADER = struct.Struct("=QQQII")
ARGUMENT_SIZE = 4096
MAX = (1 << 64) - 1

ROOT_TREE = 1
QUOTA_TREE = 8


class Item(NamedTuple):
    """An item of a tree; what ``offset`` means depends on the kind of item."""

    offset: int
    data: bytes


def items(fd: int, tree: int, objectid: int, kind: int, first: int = 0, last: int = MAX) -> Iterator[Item]:
    """The items (objectid, kind, first…last) of a tree, in order. Raises OSError: ENOENT when there is no such tree."""
    while first <= last:
        buffer = bytearray(ARGUMENT_SIZE)
        KEY.pack_into(buffer, 0, tree, objectid, objectid, first, last, 0, MAX, kind, kind, 0xFFFFFFFF, 0)
        fcntl.ioctl(fd, TREE_SEARCH, buffer)
        count = KEY.unpack_from(buffer)[9]
        if count == 0:
            return
        at = KEY.size
        for _ in range(count):
            _, _, offset, _, length = HEADER.unpack_from(buffer, at)
            at += HEADER.size
            yield Item(offset, bytes(buffer[at : at + length]))
            at += length
            first = offset + 1


@contextmanager
def directory(path: str, doing: str) -> Iterator[int]:
    """A descriptor of a directory to make ioctls on; an OSError meanwhile becomes NoSpace or HostFailed."""
    with during(doing):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)

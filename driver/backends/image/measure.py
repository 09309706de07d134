"""How much of the pool its images take up, each shared block counted once."""

import os
import stat
from collections.abc import Iterator

from ...host import extents
from ...host.extents import Flag
from ...host.failure import during
from ...model.errors import HostFailed
from ..layout import Layout


def allocated(layout: Layout, shares_extents: bool) -> int:
    """Bytes of blocks of everything in the pool's directories, the trash included. O(files and extents)."""
    own = 0
    shared: list[tuple[int, int]] = []
    for path in _files(layout):
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            continue
        blocks = found.st_blocks * 512 if stat.S_ISREG(found.st_mode) else 0
        own += blocks
        if blocks and shares_extents:
            runs = _shared(path)
            own -= sum(length for _, length in runs)
            shared += runs
    return max(0, own) + _union(shared)


def written(path: str) -> int:
    """Bytes of a file that were ever written: without preallocated blocks. O(extents)."""
    with during(f"opening {path}"):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return sum(length for _, length in extents.allocated(fd))
    finally:
        os.close(fd)


def _files(layout: Layout) -> Iterator[str]:
    for directory in (layout.volumes, layout.snapshots, layout.trash):
        for name in layout.names(directory):
            yield f"{directory}/{name}"


def _shared(path: str) -> list[tuple[int, int]]:
    try:
        with during(f"opening {path}"):
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except HostFailed:
        return []
    try:
        return [(one.physical, one.length) for one in extents.extents(fd) if one.flags & Flag.SHARED]
    finally:
        os.close(fd)


def _union(runs: list[tuple[int, int]]) -> int:
    total = end = 0
    for start, length in sorted(runs):
        total += max(0, start + length - max(start, end))
        end = max(end, start + length)
    return total

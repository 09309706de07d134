"""What differs between two images, told from where their blocks lie, or by comparing them.

Two snapshots that share a block share its content: both stay as they are while they exist. Blocks that are in different
places are told as changed though they may hold the same bytes: a superset, as CSI allows.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from ...host import extents
from ...host.extents import Flag
from ...host.failure import during
from ...model.sizes import BLOCK
from ..base import Extent

PIECE = 1 << 20
NOWHERE = Flag.UNKNOWN | Flag.DELALLOC | Flag.NOT_ALIGNED | Flag.INLINE | Flag.TAIL
"""What lies at the told place, if anything, cannot be relied on."""

Range = tuple[int, int]
Compressed = tuple[int, int, int]
Unknown = Literal[False]


class Place(NamedTuple):
    """A run ``start`` to ``end`` of a file. ``at`` tells where its first byte lies: a number of a linear space, a whole
    compressed extent (its bytes cannot be counted off), or that it is nowhere: zeros (None) or unknown (False)."""

    start: int
    end: int
    at: int | Compressed | Unknown | None


class Image:
    """An image file, open for reading while the block lasts."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.fd = -1

    def __enter__(self) -> "Image":
        with during(f"opening {self._path}"):
            self.fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def allocated(image: Image, end: int, start: int) -> Iterator[Extent]:
    """The blocks from byte ``start`` to ``end`` that may hold data."""
    return joined(_data(image, start, end), start, end)


def moved(old: Image, new: Image, end: int, start: int) -> Iterator[Extent]:
    """The blocks of ``new`` that do not lie where those of ``old`` do: O(extents)."""
    before, after = (places(extents.extents(image.fd, start), end) for image in (old, new))
    return joined(apart(before, after), start, end)


def differing(old: Image, new: Image, end: int, start: int) -> Iterator[Extent]:
    """The blocks of ``new`` that hold other bytes than those of ``old``: both are read where either has data."""
    runs = joined(either(_data(old, start, end), _data(new, start, end)), start, end)
    return joined(_unequal(old.fd, new.fd, runs), start, end)


def _data(image: Image, start: int, end: int) -> Iterator[Range]:
    first = start // BLOCK * BLOCK
    return ((offset, offset + length) for offset, length in extents.allocated(image.fd, first, end))


def places(found: Iterable[extents.Extent], end: int) -> Iterator[Place]:
    """The whole of a file of ``end`` bytes, run by run, from its extents in order."""
    position = 0
    for extent in found:
        if extent.logical >= end:
            break
        if extent.logical > position:
            yield Place(position, extent.logical, None)
        position = min(extent.logical + extent.length, end)
        yield Place(extent.logical, position, _at(extent))
    if position < end:
        yield Place(position, end, None)


def apart(base: Iterator[Place], target: Iterator[Place]) -> Iterator[Range]:
    """The runs of ``target`` that do not lie where those of ``base`` do. Beyond the end of ``base`` are zeros."""
    endless = Place(0, 1 << 63, None)
    old = next(base, endless)
    for new in target:
        start = new.start
        while start < new.end:
            while old.end <= start:
                old = next(base, endless)
            end = min(new.end, old.end)
            if not _same(old, new, start):
                yield start, end
            start = end


def either(first: Iterator[Range], second: Iterator[Range]) -> Iterator[Range]:
    """The runs that are in one of two ordered sequences, or both, in order; they may touch or overlap."""
    one, other = next(first, None), next(second, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one <= other):
            assert one is not None
            yield one
            one = next(first, None)
        else:
            yield other
            other = next(second, None)


def joined(runs: Iterable[Range], start: int, end: int) -> Iterator[Extent]:
    """Ordered runs as whole blocks between ``start`` and ``end``; those that touch or overlap become one."""
    low = start // BLOCK * BLOCK
    open_run: Range | None = None
    for begin, stop in runs:
        begin, stop = max(begin // BLOCK * BLOCK, low), min(-(-stop // BLOCK) * BLOCK, end)
        if begin >= stop:
            continue
        if open_run is not None and begin <= open_run[1]:
            open_run = (open_run[0], max(open_run[1], stop))
            continue
        if open_run is not None:
            yield Extent(open_run[0], open_run[1] - open_run[0])
        open_run = (begin, stop)
    if open_run is not None:
        yield Extent(open_run[0], open_run[1] - open_run[0])


def _unequal(old: int, new: int, runs: Iterable[Extent]) -> Iterator[Range]:
    """The blocks within ``runs`` in which two open files differ; what lies beyond an end is zeros."""
    for run in runs:
        for offset in range(run.offset, run.offset + run.length, PIECE):
            length = min(PIECE, run.offset + run.length - offset)
            with during("comparing two snapshots"):
                before, after = _read(old, offset, length), _read(new, offset, length)
            if before == after:
                continue
            for at in range(0, length, BLOCK):
                if before[at : at + BLOCK] != after[at : at + BLOCK]:
                    yield offset + at, offset + at + BLOCK


def _at(extent: extents.Extent) -> int | Compressed | Unknown | None:
    if extent.flags & Flag.UNWRITTEN:
        return None
    if extent.flags & NOWHERE:
        return False
    if extent.flags & Flag.ENCODED:
        return extent.logical, extent.physical, extent.length
    return extent.physical


def _same(old: Place, new: Place, start: int) -> bool:
    if old.at is None or new.at is None:
        return old.at is new.at
    if isinstance(old.at, bool) or isinstance(new.at, bool):
        return False
    if isinstance(old.at, tuple) or isinstance(new.at, tuple):
        return old.at == new.at
    return old.at + start - old.start == new.at + start - new.start


def _read(fd: int, offset: int, length: int) -> bytes:
    data = os.pread(fd, length, offset)
    while len(data) < length and (more := os.pread(fd, length - len(data), offset + len(data))):
        data += more
    return data.ljust(length, b"\0")

"""Giving an image's blocks back, and making what was in them unreadable on the device below if that was asked for.

| step | a crash after it leaves |
|---|---|
| wipe=zero: every block overwritten in place, synced piece by piece | an image partly zeros; overwritten again |
| every block punched out | an image of holes |
| the name removed, the trash directory synced | free blocks that the device still holds, when wipe=discard |
| wipe=discard: the filesystem's free blocks discarded (the caller) | nothing, and one trim more by the next purge |

Blocks are punched out before the name goes, because XFS frees the blocks of a removed file later, in its own time, and a
trim right after the removal would miss them.
"""

import os
from collections.abc import Iterator

from ...host import extents, files, zeros
from ...host.failure import during
from ...model import sizes
from ...model.errors import HostFailed, NoSpace
from ..base import Progress
from .images import NOT_OFFERED

PUNCHED = sizes.GIB
ZEROED = 64 * sizes.MIB
"""Bytes of the file that one step covers: between steps the work can be stopped."""


def remove(path: str, wipe: str, progress: Progress) -> bool:
    """The image at ``path`` is gone and its blocks are free; False when stopped before. The directory is not synced."""
    with during(f"opening {path}"):
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
    try:
        if wipe == "zero" and not _overwrite(fd, progress):
            return False
        if not _punch(fd, progress):
            return False
    finally:
        os.close(fd)
    files.remove_file(path)
    return True


def _overwrite(fd: int, progress: Progress) -> bool:
    total = os.fstat(fd).st_size
    done = 0
    for offset, length in _blocks(fd):
        end = min(offset + length, total)
        while offset < end:
            if progress.stopped():
                return False
            piece = min(ZEROED, end - offset)
            zeros.write(fd, offset, piece)
            files.fsync_file(fd)
            offset += piece
            done += piece
            progress.report(done, total)
    return True


def _punch(fd: int, progress: Progress) -> bool:
    seen = os.fstat(fd)
    total = seen.st_blocks * 512
    position = 0
    while (first := next(_blocks(fd, position), None)) is not None:
        if progress.stopped():
            return False
        position = max(position, first[0])
        try:
            files.punch(fd, position, PUNCHED)
        except NoSpace:
            # btrfs may lack the room to note the hole; removing the file has a reserve of its own.
            return True
        except HostFailed as error:
            if error.code not in NOT_OFFERED:
                raise
            return True
        position += PUNCHED
        progress.report(max(0, total - os.fstat(fd).st_blocks * 512), total)
    return True


def _blocks(fd: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """Runs that have blocks, preallocated ones too: what those held before is on the device."""
    try:
        for extent in extents.extents(fd, start):
            yield extent.logical, extent.length
    except HostFailed:
        # No FIEMAP here (FUSE, NFS): nothing is preallocated unseen either.
        yield from extents.allocated(fd, start)

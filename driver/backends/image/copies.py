"""One image from another: by shared extents where the filesystem can, by data elsewhere.

| step | a crash after it leaves |
|---|---|
| a part made, of shared extents or copied piece by piece, synced | a part nobody lists; made anew, or continued when copied |
| the part brought to its size, a thick one's blocks allocated, synced | the same |
| renamed into place, the directory synced | the image |
"""

import os

from ...host import files, reflink
from ...host.failure import during
from ...model.errors import InvalidArgument, NoSpace
from ...model.snapshot import Snapshot
from ...model.volume import Volume
from ..base import Progress
from .images import PART, Images, is_thick


def share(images: Images, source: str, made: Volume | Snapshot) -> None:
    """The image of ``made`` has the content of ``source`` as of one moment, durable, in its own size.

    A volume that exists was cut by an earlier try, and is not cut again: its source need not be still now. A snapshot that
    exists is replaced: it is of an earlier moment than this call's, and was never listed.
    """
    if isinstance(made, Volume) and _is_complete(images, made):
        return
    part = images.path(made, PART)
    files.remove_file(part)
    reflink.share(source, part)
    _finish(images, part, made)


def copy(images: Images, source: str, made: Volume | Snapshot, start: int, progress: Progress) -> None:
    """As ``share``, by data, from byte ``start`` on; unfinished when ``progress`` says so. Nobody writes to ``source``.

    Nothing is copied again when the image is already complete.
    """
    if _is_complete(images, made):
        return
    part = images.path(made, PART)
    with during(f"measuring {source}"):
        size = os.stat(source).st_size
    if not start or not os.path.lexists(part) or os.stat(part).st_size != size:
        # What an earlier try left may be of another time, and where the source has holes nothing would replace it.
        files.remove_file(part)
        files.create_sparse(part, size)
        files.fsync_dir(os.path.dirname(part))
        start = 0
    with during(f"copying {source} to {part}"):
        inside = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            outside = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except BaseException:
            os.close(inside)
            raise
    try:
        completed = reflink.copy_sparse(
            inside,
            outside,
            start=start,
            end=size,
            progress=lambda done: progress.report(done, size),
            cancelled=progress.stopped,
        )
    finally:
        os.close(inside)
        os.close(outside)
    if completed:
        _finish(images, part, made)
        progress.report(size, size)


def _is_complete(images: Images, made: Volume | Snapshot) -> bool:
    """Whether the image is in place, and then durably: a crash may have come between renaming and syncing."""
    if images.look(made) is None:
        return False
    files.fsync_dir(os.path.dirname(images.path(made)))
    return True


def _finish(images: Images, part: str, made: Volume | Snapshot) -> None:
    with during(f"measuring {part}"):
        now = os.stat(part).st_size
    if now != made.size:
        files.truncate(part, made.size)
    if isinstance(made, Volume) and is_thick(made):
        try:
            images.ensure_allocated(part, made.size)
        except (NoSpace, InvalidArgument):
            files.remove_file(part)
            raise
    files.fsync_file(part)
    files.rename_durably(part, images.path(made))

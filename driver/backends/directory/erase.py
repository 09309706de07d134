"""What a deleted volume held, made unreadable on the device below before its names go."""

import os
import stat
from collections.abc import Callable

from ...host import entries, failure, files, walk
from ..base import Progress


def overwrite(path: str, progress: Progress) -> bool:
    """All data of all files below ``path`` is zeros on the device, where it lay; False when stopped early.

    Only true on a filesystem that overwrites in place. Raises InUse when something is mounted in the tree, HostFailed.
    """
    return _each_file(path, files.zero_range_write, progress)


def give_back(path: str, progress: Progress) -> bool:
    """All files below ``path`` have given their blocks back to the filesystem; False when stopped early.

    Not left to the removal of their names: some filesystems (XFS) free the blocks of a removed file later, in their own
    time, and a trim right after the removal would miss them. Raises as ``overwrite``.
    """
    return _each_file(path, lambda file: files.truncate(file, 0), progress)


def _each_file(path: str, act: Callable[[str], None], progress: Progress) -> bool:
    done = 0
    if walk.look(path) is None:
        return True
    with failure.during(f"wiping {path}"), walk.Cursor(path) as cursor:
        for visit in walk.walk(cursor):
            if progress.stopped():
                return False
            if visit.what == "leaf" and stat.S_ISREG(visit.seen.st_mode) and visit.seen.st_blocks:
                fd = entries.open_whatever(cursor.fd, visit.name)
                try:
                    act(f"/proc/self/fd/{fd}")
                finally:
                    os.close(fd)
                done += visit.seen.st_blocks * 512
                progress.report(done, done)
    return True

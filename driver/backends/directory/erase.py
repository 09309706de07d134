"""What a deleted volume held, made unreadable on the device below before its names go."""

import os
import stat
from collections.abc import Callable

from ...host import entries, failure, files, walk
from ..base import Progress

LARGE = 64 << 10


def overwrite(path: str, progress: Progress) -> bool:
    """All data of all files below ``path`` is zeros on the device, where it lay; False when stopped early.

    Only true on a filesystem that overwrites in place. Raises InUse when something is mounted in the tree, HostFailed.
    """
    return _each_file(path, files.zero_range_write, _any_data, progress)


def give_back(path: str, progress: Progress) -> bool:
    """All files below ``path`` have given their blocks back to the filesystem; False when stopped early.

    Not left to the removal of their names: some filesystems (XFS) free the blocks of a removed file later, in their own
    time, and a trim right after the removal would miss them. Raises as ``overwrite``.
    """
    return _each_file(path, _empty, _any_data, progress)


def shorten(path: str, progress: Progress) -> bool:
    """As ``give_back``, for the files that are worth it and have no name elsewhere that somebody might want to keep."""
    return _each_file(path, _empty, _large_and_ours, progress)


def _empty(file: str) -> None:
    files.truncate(file, 0)


def _any_data(seen: os.stat_result) -> bool:
    return seen.st_blocks > 0


def _large_and_ours(seen: os.stat_result) -> bool:
    return seen.st_blocks * 512 >= LARGE and seen.st_nlink == 1


def _each_file(
    path: str, act: Callable[[str], None], chosen: Callable[[os.stat_result], bool], progress: Progress
) -> bool:
    done = 0
    if not walk.is_directory(path):
        return True
    with failure.during(f"wiping {path}"), walk.Cursor(path) as cursor:
        for visit in walk.walk(cursor):
            if progress.stopped():
                return False
            if visit.what == "leaf" and stat.S_ISREG(visit.seen.st_mode) and chosen(visit.seen):
                fd = entries.open_whatever(cursor.fd, visit.name)
                try:
                    act(f"/proc/self/fd/{fd}")
                finally:
                    os.close(fd)
                done += visit.seen.st_blocks * 512
                progress.report(done, done)
    return True

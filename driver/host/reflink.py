"""Copies of files: by shared extents where the filesystem can, by data elsewhere."""

from collections.abc import Callable

from .effect import effect

FICLONE = 0x40049409


@effect
def share(source: str, target: str) -> None:
    """Make ``target`` a new file that shares all extents of ``source`` as of one moment, and sync it and its directory.

    FICLONE flushes the source's dirty pages first. A target that could not be completed is removed again.
    Raises HostFailed (EEXIST when ``target`` exists, EOPNOTSUPP and EXDEV where extents cannot be shared), NoSpace.
    """
    raise NotImplementedError


def supported(directory: str) -> bool:
    """Whether files in ``directory`` can share extents, found out by doing it with two unnamed probe files."""
    raise NotImplementedError


def copy_sparse(
    source: int,
    target: int,
    *,
    start: int,
    end: int,
    progress: Callable[[int], None],
    cancelled: Callable[[], bool],
) -> bool:
    """Copy the data of bytes ``start`` to ``end`` between open files; True if completed, False if cancelled.

    Holes become holes. After each piece that has been synced to disk, ``progress`` gets the offset up to which the copy is
    complete and durable: a later call may start there. Never shares extents. Raises NoSpace, HostFailed,
    DataDamaged when the source ends before ``end``.
    """
    raise NotImplementedError

"""Copies of files: by shared extents where the filesystem can, by data elsewhere."""

import errno
import fcntl
import os
from collections.abc import Callable

from ..model.errors import DataDamaged
from . import extents, files, fsprobe, xfs
from .effect import effect
from .failure import FULL, during

FICLONE = 0x40049409
# What filesystems, and those that forward to them, answer when extents cannot be shared there.
CANNOT = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EISDIR})

# Copied between two questions whether to go on, and between two syncs.
STEP = 8 << 20
PIECE = 64 << 20
BUFFER = 1 << 20


def share(source: str, target: str) -> None:
    """``target`` is a new file that shares all extents ``source`` had at one moment, and both name and data are durable.

    FICLONE writes the source's dirty pages out first. The file is made without a name and named when complete, so a
    crash leaves nothing or all of it. Raises HostFailed (EEXIST when ``target`` exists, EOPNOTSUPP or EXDEV where extents
    cannot be shared), NoSpace.
    """
    clone(source, target)
    files.fsync_file(target)
    files.fsync_dir(os.path.dirname(target) or ".")


@effect
def clone(source: str, target: str) -> None:
    """``target`` is a new file that shares all extents of ``source``. Not synced: see share."""
    with during(f"sharing the extents of {source} with {target}"):
        origin = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fd = _unnamed(os.path.dirname(target) or ".")
            try:
                fcntl.ioctl(fd, FICLONE, origin)
                # With a directory given, Python calls linkat(2), which can follow this link; link(2) would name the link.
                os.link(f"/proc/self/fd/{fd}", target, src_dir_fd=fd)
            finally:
                os.close(fd)
        finally:
            os.close(origin)


def supported(directory: str) -> bool:
    """Whether files in ``directory`` can share extents, found out by doing it with two unnamed files.

    On a full filesystem, which takes no more files, xfs and btrfs are taken at their word, and ext4 never can.
    Raises HostFailed, NoSpace.
    """
    with during(f"trying to share extents in {directory}"):
        try:
            return _shares(directory)
        except OSError as error:
            kind = fsprobe.statfs_type(directory).name
            if error.errno not in FULL or kind not in ("btrfs", "ext4", "xfs"):
                raise
            return kind == "btrfs" or (kind == "xfs" and xfs.geometry(directory).reflink)


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

    What is a hole in the source is not touched in the target, which so has to have been one there. ``progress`` gets
    offsets up to which the copy is complete and durable, the last one ``end``: a later call may start there.
    Raises NoSpace, HostFailed, DataDamaged when the source ends before ``end``.
    """
    with during("measuring the source of a copy"):
        size = os.lseek(source, 0, os.SEEK_END)
    if size < end:
        message = f"the source of a copy has {size} bytes, where {end} are to be copied"
        raise DataDamaged(message)
    durable = start
    unsynced = 0
    for offset, length in extents.allocated(source, start, end):
        for at in range(offset, offset + length, STEP):
            if cancelled():
                return False
            step = min(STEP, offset + length - at)
            copy_range(source, target, at, step)
            unsynced += step
            if unsynced >= PIECE:
                files.fsync_file(target)
                unsynced, durable = 0, at + step
                progress(durable)
    if durable < end:
        files.fsync_file(target)
        progress(end)
    return True


@effect
def copy_range(source: int, target: int, offset: int, length: int) -> None:
    """Copy bytes to the same place in another file (copy_file_range(2), else by hand). Not synced.

    Raises NoSpace, HostFailed, DataDamaged when the source ends before them.
    """
    end = offset + length
    with during(f"copying {length} bytes at {offset}"):
        while offset < end:
            try:
                copied = os.copy_file_range(source, target, end - offset, offset, offset)
            except OSError as error:
                if error.errno not in CANNOT:
                    raise
                copied = os.pwrite(target, os.pread(source, min(BUFFER, end - offset), offset), offset)
            if copied == 0:
                message = f"the source of a copy ends at {offset}, before {end}"
                raise DataDamaged(message)
            offset += copied


def _shares(directory: str) -> bool:
    first = second = -1
    try:
        first = _unnamed(directory)
        second = _unnamed(directory)
        os.write(first, bytes(4096))
        fcntl.ioctl(second, FICLONE, first)
    except OSError as error:
        if error.errno in CANNOT:
            return False
        raise
    finally:
        for fd in (first, second):
            if fd >= 0:
                os.close(fd)
    return True


def _unnamed(directory: str) -> int:
    return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)

"""Files and directories whose change must survive a crash."""

import contextlib
import errno
import os
import stat

from ..model.errors import HostFailed
from . import extents, libc
from .effect import effect
from .failure import during

KEEP_SIZE = 0x1
PUNCH_HOLE = 0x2
ZEROS = bytes(1 << 20)


def exists(path: str) -> bool:
    """Whether something is there, a dangling link included. Raises HostFailed when that cannot be told."""
    with during(f"looking for {path}"):
        try:
            os.lstat(path)
        except FileNotFoundError:
            return False
        return True


@effect
def fsync_file(target: int | str) -> None:
    """Force a file's data and size to disk, by descriptor or path (fsync(2)). Raises NoSpace, HostFailed."""
    with during(f"syncing {target}"):
        if isinstance(target, int):
            os.fsync(target)
            return
        fd = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


@effect
def fsync_dir(path: str) -> None:
    """Force a directory's entries to disk. Raises NoSpace, HostFailed."""
    with during(f"syncing the directory {path}"):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def write_durably(path: str, data: bytes, mode: int = 0o600) -> None:
    """Replace ``path`` by a file holding ``data``: after a crash it holds all the old or all the new (or never was).

    Written beside it, synced, renamed over it, and the directory synced. A crash may leave ``path`` + ``.new``, which
    the next write replaces: one writer per path at a time. Raises NoSpace, HostFailed.
    """
    new = f"{path}.new"
    try:
        write_file(new, data, mode)
        rename(new, path)
    except Exception:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise
    fsync_dir(os.path.dirname(path) or ".")


@effect
def write_file(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write ``data`` to ``path``, replacing what it held, and sync the file. Not atomic: see write_durably."""
    with during(f"writing {path}"):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            os.fchmod(fd, mode)
            _write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)


@effect
def overwrite(path: str, data: bytes, offset: int = 0) -> None:
    """Write ``data`` into an existing file in place and sync it; its other bytes stay. Not atomic: a crash may tear it.

    Takes no space where the bytes had blocks before. Raises NoSpace, HostFailed (ENOENT when there is no file).
    """
    with during(f"writing into {path}"):
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.lseek(fd, offset, os.SEEK_SET)
            _write_all(fd, data)
            os.fdatasync(fd)
        finally:
            os.close(fd)


@effect
def rename(source: str, target: str) -> None:
    """Rename (rename(2)); nothing is synced. Raises NoSpace, HostFailed (ENOENT when ``source`` is gone)."""
    with during(f"renaming {source} to {target}"):
        os.rename(source, target)


def rename_durably(source: str, target: str) -> None:
    """Rename and sync both directories, the target's first: a crash shows the old name, the new, or both; never none."""
    rename(source, target)
    into, out_of = os.path.dirname(target) or ".", os.path.dirname(source) or "."
    fsync_dir(into)
    if out_of != into:
        fsync_dir(out_of)


@effect
def make_dir(path: str, mode: int = 0o700) -> bool:
    """Make one directory with exactly ``mode``, whatever the umask; True if it was not there. Parents must exist.

    An existing directory is left as it is. Raises NoSpace, HostFailed (EEXIST when something else is there).
    """
    with during(f"making the directory {path}"):
        try:
            os.mkdir(path, mode)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise
            return False
        os.chmod(path, mode)
        return True


@effect
def make_file(path: str, mode: int = 0o600) -> bool:
    """Make one empty file with exactly ``mode``, whatever the umask; True if it was not there. Parents must exist.

    An existing ordinary file is left as it is. Raises NoSpace, HostFailed (EEXIST when something else is there).
    """
    with during(f"making the file {path}"):
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        except FileExistsError:
            if not stat.S_ISREG(os.lstat(path).st_mode):
                raise
            return False
        try:
            os.fchmod(fd, mode)
        finally:
            os.close(fd)
        return True


@effect
def remove_file(path: str) -> bool:
    """Remove a file, device or symbolic link (never what it points to); True if it was there. Raises HostFailed."""
    with during(f"removing {path}"):
        try:
            os.unlink(path)
        except FileNotFoundError:
            return False
        return True


@effect
def remove_dir(path: str) -> bool:
    """Remove an empty directory; True if it was there. Raises HostFailed (ENOTEMPTY, EBUSY for a mount point)."""
    with during(f"removing the directory {path}"):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return False
        return True


@effect
def create_sparse(path: str, size: int) -> None:
    """``path`` is a file of ``size`` bytes; a new one has no blocks, an existing one keeps its data. Not synced.

    Raises NoSpace, HostFailed.
    """
    with during(f"creating {path}"):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, size)
        finally:
            os.close(fd)


@effect
def allocate(path: str, size: int, offset: int = 0) -> None:
    """All of the ``size`` bytes from ``offset`` on have blocks (fallocate(2)), and the file reaches that far; data is kept.

    Raises NoSpace (blocks taken so far may stay), HostFailed (EOPNOTSUPP where the filesystem cannot).
    """
    with during(f"allocating {size} bytes of {path}"):
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            # Not posix_fallocate: the C library's stand-in for filesystems without it writes into every block.
            _fallocate(fd, 0, offset, size)
        finally:
            os.close(fd)


@effect
def truncate(path: str, size: int) -> None:
    """Set a file's size. Raises NoSpace, HostFailed."""
    with during(f"setting the size of {path} to {size} bytes"):
        os.truncate(path, size)


@effect
def punch(fd: int, offset: int, length: int) -> None:
    """Give back the blocks of a range, which then reads as zeros; the size stays (FALLOC_FL_PUNCH_HOLE)."""
    with during(f"punching {length} bytes at {offset}"):
        _fallocate(fd, PUNCH_HOLE | KEEP_SIZE, offset, length)


@effect
def zero_range_write(path: str) -> None:
    """Overwrite every allocated byte of a file or block device with zeros, and sync.

    Preallocated blocks that were never written are overwritten too: their old content is on the disk. Holes of a file
    have no blocks, and stay. Raises NoSpace, HostFailed.
    """
    with during(f"overwriting {path}"):
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            end = os.lseek(fd, 0, os.SEEK_END)
            if stat.S_ISBLK(os.fstat(fd).st_mode):
                _zero(fd, 0, end)
            else:
                for offset, length in _blocks(fd):
                    _zero(fd, offset, min(length, end - offset))
            os.fsync(fd)
        finally:
            os.close(fd)


def _blocks(fd: int) -> list[tuple[int, int]]:
    try:
        return [(extent.logical, extent.length) for extent in extents.extents(fd)]
    except HostFailed as error:
        if error.code not in (errno.EOPNOTSUPP, errno.ENOTTY):
            raise
        return list(extents.allocated(fd))


def _zero(fd: int, offset: int, length: int) -> None:
    view = memoryview(ZEROS)
    end = offset + length
    while offset < end:
        offset += os.pwrite(fd, view[: end - offset], offset)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    while libc.fallocate(fd, mode, offset, length) != 0:
        error = libc.failed()
        # XFS and ext4 give up on a large range when a signal comes in; what is allocated stays, so asking again ends.
        if not isinstance(error, InterruptedError):
            raise error

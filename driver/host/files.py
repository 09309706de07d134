"""Files and directories whose change must survive a crash."""

from .effect import effect


@effect
def fsync_file(target: int | str) -> None:
    """Force a file's data and size to disk, by descriptor or path (fsync(2)). Raises NoSpace, HostFailed."""
    raise NotImplementedError


@effect
def fsync_dir(path: str) -> None:
    """Force a directory's entries to disk. Raises NoSpace, HostFailed."""
    raise NotImplementedError


def write_durably(path: str, data: bytes, mode: int = 0o600) -> None:
    """Replace ``path`` by a file holding ``data``: after a crash it holds all the old or all the new (or never was).

    Written beside it, synced, renamed over it, and the directory synced. Raises NoSpace, HostFailed.
    """
    raise NotImplementedError


@effect
def write_file(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write ``data`` to ``path``, replacing what it held, and sync the file. Not atomic: see write_durably."""
    raise NotImplementedError


@effect
def rename(source: str, target: str) -> None:
    """Rename (rename(2)); nothing is synced. Raises NoSpace, HostFailed (ENOENT when ``source`` is gone)."""
    raise NotImplementedError


def rename_durably(source: str, target: str) -> None:
    """Rename and sync both directories, the target's first: a crash shows the old name, the new, or both; never none."""
    raise NotImplementedError


@effect
def make_dir(path: str, mode: int = 0o700) -> bool:
    """Make one directory with exactly ``mode``, whatever the umask; True if it was not there. Parents must exist.

    An existing directory is left as it is. Raises NoSpace, HostFailed (ENOTDIR when something else is there).
    """
    raise NotImplementedError


@effect
def remove_file(path: str) -> bool:
    """Remove a file, device or symbolic link (never what it points to); True if it was there. Raises HostFailed."""
    raise NotImplementedError


@effect
def remove_dir(path: str) -> bool:
    """Remove an empty directory; True if it was there. Raises HostFailed (ENOTEMPTY, EBUSY for a mount point)."""
    raise NotImplementedError


@effect
def create_sparse(path: str, size: int) -> None:
    """Make a new file of ``size`` bytes without blocks; an existing one is cut or grown, its data kept. Not synced."""
    raise NotImplementedError


@effect
def allocate(path: str, size: int) -> None:
    """Give all of the first ``size`` bytes blocks (fallocate(2)), growing the file if need be; data is kept.

    Raises NoSpace (blocks taken so far may stay), HostFailed.
    """
    raise NotImplementedError


@effect
def truncate(path: str, size: int) -> None:
    """Set a file's size. Raises NoSpace, HostFailed."""
    raise NotImplementedError


@effect
def punch(fd: int, offset: int, length: int) -> None:
    """Give back the blocks of a range, which then reads as zeros; the size stays (FALLOC_FL_PUNCH_HOLE)."""
    raise NotImplementedError


@effect
def zero_range_write(path: str) -> None:
    """Overwrite every allocated byte of a file or block device with zeros, and sync.

    Holes of a file are left alone: they have no blocks to overwrite. Raises NoSpace, HostFailed.
    """
    raise NotImplementedError

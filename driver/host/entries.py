"""Entries of a directory made again in another one, named by descriptors, with all that stat(2) and listxattr(2) tell.

The target directory is ours alone while this goes on; the source may hold anything, but nobody writes to it.
Nothing here is synced but where it says so.
"""

import errno
import fcntl
import os
import stat

from . import extents, files, reflink
from .effect import effect
from .tree import unlock
from .walk import readable, status

# Labels the host computes or its policy gives; where it does not let us set one, it has set the right one itself.
OF_THE_HOST = frozenset({"security.selinux", "security.SMACK64", "security.ima", "security.evm"})
UNSHAREABLE = reflink.CANNOT | {errno.ETXTBSY}


@effect
def make_directory(target: int, name: str) -> None:
    """An empty directory, or the one that is there. Raises OSError."""
    try:
        os.mkdir(name, 0o700, dir_fd=target)
    except FileExistsError:
        seen = status(target, name)
        if seen is None or not stat.S_ISDIR(seen.st_mode):
            raise


@effect
def make_file(target: int, name: str) -> int:
    """A descriptor for a new empty file, in place of whatever else but a directory had the name. Raises OSError."""
    _clear(target, name)
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=target)


def open_part(target: int, name: str) -> int:
    """A descriptor for going on with a regular file that is there. Raises OSError."""
    return os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target)


def open_whatever(directory: int, name: str) -> int:
    """A descriptor for writing to a regular file, also to an immutable or append-only one, which then is so no more.

    Raises OSError.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=directory)
    except PermissionError:
        unlock(directory, name)
        return os.open(name, flags, dir_fd=directory)


@effect
def make_special(source: int, target: int, name: str, seen: os.stat_result) -> None:
    """A symbolic link as it is (never followed), a device node, FIFO or socket, in place of what had the name.

    Raises OSError.
    """
    _clear(target, name)
    if stat.S_ISLNK(seen.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    else:
        os.mknod(name, stat.S_IFMT(seen.st_mode) | 0o600, seen.st_rdev, dir_fd=target)


@effect
def make_link(kept: int, kept_name: str, target: int, name: str) -> None:
    """A further name (hard link) for ``kept_name`` of the directory ``kept``, in place of what had it. Raises OSError."""
    _clear(target, name)
    os.link(kept_name, name, src_dir_fd=kept, dst_dir_fd=target, follow_symlinks=False)


def open_source(source: int, name: str, seen: os.stat_result) -> int:
    """A descriptor for reading the regular file that ``seen`` tells of. Raises OSError (ESTALE when it is another now)."""
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source)
    now = os.fstat(fd)
    if (now.st_dev, now.st_ino, now.st_size) != (seen.st_dev, seen.st_ino, seen.st_size):
        os.close(fd)
        raise OSError(errno.ESTALE, f"{readable(source, name)} changes while it is copied")
    return fd


@effect
def share_data(source: int, target: int) -> bool:
    """The empty file ``target`` shares all extents of ``source``; False, and nothing done, where that cannot be."""
    try:
        fcntl.ioctl(target, reflink.FICLONE, source)
    except OSError as error:
        if error.errno in UNSHAREABLE:
            return False
        raise
    return True


def copy_data(source: int, target: int, size: int) -> None:
    """The empty file ``target`` holds the ``size`` bytes of ``source``, holes as holes. For small files: not resumable.

    Raises NoSpace, HostFailed, DataDamaged when the source is shorter.
    """
    for offset, length in extents.allocated(source, 0, size):
        reflink.copy_range(source, target, offset, length)
    files.truncate(f"/proc/self/fd/{target}", size)


@effect
def give_attributes(source: int, target: int, name: str, seen: os.stat_result) -> None:
    """Entry ``name`` of ``target`` has owner, mode, extended attributes (also ACLs) and times of the one in ``source``.

    Raises OSError, with the attribute's name where one cannot be set.
    """
    os.chown(name, seen.st_uid, seen.st_gid, dir_fd=target, follow_symlinks=False)
    if not stat.S_ISLNK(seen.st_mode):
        os.chmod(name, stat.S_IMODE(seen.st_mode), dir_fd=target)
    # There is no fgetxattr(2) for an entry that must not be opened; through its directory's magic link it is not.
    _give_xattrs(f"/proc/self/fd/{source}/{name}", f"/proc/self/fd/{target}/{name}")
    os.utime(name, ns=(seen.st_atime_ns, seen.st_mtime_ns), dir_fd=target, follow_symlinks=False)


@effect
def give_directory_attributes(source: int, target: int) -> None:
    """The directory ``target`` has owner, mode, extended attributes and times of ``source``. Raises OSError."""
    seen = os.fstat(source)
    os.fchown(target, seen.st_uid, seen.st_gid)
    os.fchmod(target, stat.S_IMODE(seen.st_mode))
    _give_xattrs(source, target)
    os.utime(target, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def alike(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two entries have the same kind, mode, owner, size, device number and time of change of their data."""
    same_size = stat.S_ISDIR(one.st_mode) or one.st_size == other.st_size
    return same_size and (one.st_mode, one.st_uid, one.st_gid, one.st_rdev, one.st_mtime_ns) == (
        other.st_mode, other.st_uid, other.st_gid, other.st_rdev, other.st_mtime_ns,
    )  # fmt: skip


def _clear(target: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=target)
    except FileNotFoundError:
        return


def _give_xattrs(source: str | int, target: str | int) -> None:
    follow = isinstance(source, int)
    try:
        wanted = os.listxattr(source, follow_symlinks=follow)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return
        raise
    for name in os.listxattr(target, follow_symlinks=follow):
        # A default ACL of the directory gives new entries ACLs that the source may not have.
        if name not in wanted and not name.startswith("security."):
            os.removexattr(target, name, follow_symlinks=follow)
    for name in wanted:
        value = os.getxattr(source, name, follow_symlinks=follow)
        try:
            os.setxattr(target, name, value, follow_symlinks=follow)
        except OSError as error:
            if name not in OF_THE_HOST:
                raise OSError(error.errno, f"setting the extended attribute {name}: {error.strerror}") from error

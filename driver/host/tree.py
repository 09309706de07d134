"""Removing a directory tree somebody else filled."""

import contextlib
import errno
import fcntl
import os
import struct
import uuid
from collections.abc import Callable

from ..model.errors import InUse
from . import beneath
from .effect import effect
from .failure import during

FS_IOC_GETFLAGS = 0x80086601
FS_IOC_SETFLAGS = 0x40086602
FLAGS = struct.Struct("l")
APPEND_OR_IMMUTABLE = 0x20 | 0x10

INSIDE = beneath.RESOLVE_BENEATH | beneath.RESOLVE_NO_SYMLINKS | beneath.RESOLVE_NO_XDEV
CHANGED = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EISDIR})
# A tree may be deeper than a process may have descriptors: what lies below this is moved up first.
DEPTH = 64
# A directory can fill again while somebody still writes into it.
ROUNDS = 20


def remove_tree(path: str) -> None:
    """Remove ``path`` and all below it; nothing happens if it is gone. Never leaves the tree.

    Walks by directory descriptors, opened without following symbolic links or crossing mounts (openat2(2)), so that a
    name replaced meanwhile cannot lead outside. Names may be any bytes, the tree of any depth, files immutable.
    Raises InUse when a mount point lies inside or somebody keeps filling the tree (what has been removed until then
    stays removed), HostFailed. Removal is not synced.
    """
    parent, name = os.path.split(path.rstrip("/"))
    with during(f"removing the tree {path}"):
        try:
            above = os.open(parent or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            _Removal().directory(above, name, 0)
        finally:
            os.close(above)


@effect
def unlink_at(directory: int, name: str) -> None:
    """Remove a name that is no directory; nothing happens if it is gone. Raises InUse for a mount point, OSError."""
    _remove(os.unlink, directory, name)


@effect
def rmdir_at(directory: int, name: str) -> None:
    """Remove an empty directory; nothing happens if it is gone. Raises InUse for a mount point, OSError."""
    _remove(os.rmdir, directory, name)


class _Removal:
    """One walk. ``top`` is the tree's root, into which directories that lie too deep are moved."""

    def __init__(self) -> None:
        self.top = -1
        self.moved = False

    def directory(self, above: int, name: str, depth: int) -> None:
        rounds = 0
        while rounds < ROUNDS:
            try:
                inner = beneath.openat2(above, name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, 0, INSIDE)
            except FileNotFoundError:
                return
            except OSError as error:
                if error.errno == errno.EXDEV:
                    raise _mounted(above, name) from error
                if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                inner = -1
            if inner >= 0:
                try:
                    self.contents(inner, depth)
                finally:
                    os.close(inner)
            if _gone(unlink_at if inner < 0 else rmdir_at, above, name):
                return
            if depth == 0 and self.moved:
                self.moved = False
            else:
                rounds += 1
        message = f"{_readable(above, name)} keeps being filled while it is removed"
        raise InUse(message)

    def contents(self, directory: int, depth: int) -> None:
        if depth == 0:
            self.top = directory
        # Names go while they are read: some filesystems then skip others, which the next round finds.
        with os.scandir(directory) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    _gone(unlink_at, directory, entry.name)
                elif depth < DEPTH or not self.lift(directory, entry.name):
                    self.directory(directory, entry.name, depth + 1)

    def lift(self, directory: int, name: str) -> bool:
        """Move a directory up to the root of the tree; False where that cannot be (out of a nested btrfs subvolume)."""
        try:
            os.rename(name, f".{uuid.uuid4().hex}", src_dir_fd=directory, dst_dir_fd=self.top)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise _mounted(directory, name) from error
            if error.errno == errno.EXDEV:
                return False
            if error.errno != errno.ENOENT:
                raise
        self.moved = True
        return True


def _gone(remove: Callable[[int, str], None], directory: int, name: str) -> bool:
    """Remove a name; False if it has become something else meanwhile, or was filled again: the next round sees to it."""
    try:
        remove(directory, name)
    except OSError as error:
        if error.errno not in CHANGED:
            raise
        return False
    return True


def _remove(remove: Callable[..., None], directory: int, name: str) -> None:
    try:
        remove(name, dir_fd=directory)
    except FileNotFoundError:
        return
    except PermissionError:
        # Also in a pod's power: a file, or the directory that names it, can be immutable or append-only (chattr(1)).
        unlock(directory, ".")
        unlock(directory, name)
        remove(name, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise _mounted(directory, name) from error
        raise


def unlock_path(path: str) -> None:
    """As ``unlock``, for a name in a directory that is ours."""
    parent, name = os.path.split(path)
    with contextlib.suppress(OSError):
        above = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            unlock(above, name)
        finally:
            os.close(above)


def unlock(directory: int, name: str) -> None:
    """A file or directory is neither immutable nor append-only, if it could be opened. Raises nothing."""
    # Special files cannot carry the flags, and opening them could block or act.
    with contextlib.suppress(OSError):
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        try:
            (flags,) = FLAGS.unpack(fcntl.ioctl(fd, FS_IOC_GETFLAGS, FLAGS.pack(0)))
            fcntl.ioctl(fd, FS_IOC_SETFLAGS, FLAGS.pack(flags & ~APPEND_OR_IMMUTABLE))
        finally:
            os.close(fd)


def _mounted(directory: int, name: str) -> InUse:
    return InUse(f"something is mounted at {_readable(directory, name)}: unmount it first")


def _readable(directory: int, name: str) -> str:
    """A path for people: names on disk are bytes that need not be text."""
    with contextlib.suppress(OSError):
        name = os.path.join(os.readlink(f"/proc/self/fd/{directory}"), name)
    return os.fsencode(name).decode("utf-8", "backslashreplace")

"""Going through a directory tree somebody else fills, by descriptors: never out of it, however it is built."""

import contextlib
import errno
import os
import stat
from collections.abc import Generator, Iterator
from typing import Literal, NamedTuple

from ..model.errors import Busy, InUse
from . import beneath
from .failure import during

STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
INSIDE = beneath.RESOLVE_BENEATH | beneath.RESOLVE_NO_SYMLINKS | beneath.RESOLVE_NO_XDEV


class Cursor:
    """One directory of a tree, held by one descriptor however deep it lies. ``fd`` is the directory's."""

    def __init__(self, path: str) -> None:
        """At the root of the tree. Raises HostFailed."""
        with during(f"opening the directory {path}"):
            self.fd = os.open(path, STEP)
        self._above: list[tuple[int, int]] = []

    def down(self, name: str) -> None:
        """Into a subdirectory. Raises InUse when something is mounted there, OSError (ENOENT, ENOTDIR, ELOOP)."""
        try:
            inner = beneath.openat2(self.fd, name, STEP, 0, INSIDE)
        except OSError as error:
            if error.errno == errno.EXDEV:
                message = f"something is mounted at {readable(self.fd, name)}: unmount it first"
                raise InUse(message) from error
            raise
        seen = os.fstat(self.fd)
        self._above.append((seen.st_dev, seen.st_ino))
        os.close(self.fd)
        self.fd = inner

    def up(self) -> None:
        """Back where ``down`` was called. Raises Busy when somebody has moved the directory elsewhere meanwhile."""
        outer = os.open("..", STEP, dir_fd=self.fd)
        seen = os.fstat(outer)
        if (seen.st_dev, seen.st_ino) != self._above[-1]:
            os.close(outer)
            message = f"{readable(self.fd, '.')} was moved while its tree was read; try again"
            raise Busy(message)
        self._above.pop()
        os.close(self.fd)
        self.fd = outer

    @property
    def depth(self) -> int:
        """How many directories lie between here and the root."""
        return len(self._above)

    def close(self) -> None:
        """The descriptor is given back; safe to call twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> "Cursor":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


class Visit(NamedTuple):
    """What a walk is at, ``name`` with its stat(2).

    ``leaf``: no directory; it lies in the cursor's directory. ``enter``: a directory, which the cursor is in by now.
    ``leave``: all below the cursor's directory was visited, and the cursor goes up next; ``name`` is empty.
    """

    what: Literal["leaf", "enter", "leave"]
    name: str
    seen: os.stat_result


def walk(cursor: Cursor) -> Iterator[Visit]:
    """Everything below the cursor's directory, always in the same order: by name, leaves before directories.

    Ends with the ``leave`` of the directory it began in. Names that vanish meanwhile are left out. Raises what the
    cursor does.
    """
    pending = [(yield from _leaves(cursor))]
    while pending:
        if not pending[-1]:
            yield Visit("leave", "", os.fstat(cursor.fd))
            pending.pop()
            if pending:
                cursor.up()
            continue
        name = pending[-1].pop()
        try:
            cursor.down(name)
        except OSError as error:
            if error.errno in GONE:
                continue
            raise
        yield Visit("enter", name, os.fstat(cursor.fd))
        pending.append((yield from _leaves(cursor)))


def _leaves(cursor: Cursor) -> Generator[Visit, None, list[str]]:
    """The leaves of one directory; returns its subdirectories, the first one last."""
    directories: list[str] = []
    for name in sorted(os.listdir(cursor.fd)):
        seen = status(cursor.fd, name)
        if seen is None:
            continue
        if stat.S_ISDIR(seen.st_mode):
            directories.append(name)
        else:
            yield Visit("leaf", name, seen)
    directories.reverse()
    return directories


def look(path: str) -> os.stat_result | None:
    """What lies at ``path``, without following a link; None when nothing does. Raises HostFailed."""
    with during(f"looking at {path}"):
        try:
            return os.lstat(path)
        except FileNotFoundError:
            return None


def is_directory(path: str) -> bool:
    """Whether a directory, and no link to one, lies at ``path``. Raises HostFailed."""
    seen = look(path)
    return seen is not None and stat.S_ISDIR(seen.st_mode)


def status(directory: int, name: str) -> os.stat_result | None:
    """What an entry is, without following a link; None when it is gone. Raises OSError."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def readable(directory: int, name: str) -> str:
    """A path for people: names on disk are bytes that need not be text."""
    with contextlib.suppress(OSError):
        name = os.path.normpath(os.path.join(os.readlink(f"/proc/self/fd/{directory}"), name))
    return os.fsencode(name).decode("utf-8", "backslashreplace")

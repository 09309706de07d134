"""Filesystems held still for a moment (FIFREEZE), by a guard process that lets go when we die or take too long."""

import contextlib
import errno
import fcntl
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from ..model.errors import FailedPrecondition, Unavailable
from . import command, libc, mounts
from .effect import effect
from .failure import during, from_os

FITHAW = 0xC0045878
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guard.py")
# The words of guard.py.
FROZEN, THAWED, LATE, FAILED = "frozen", "thawed", "late", "failed"
# How long past its deadline a guard may take to say so before it is killed, and then to be gone.
GRACE = 2.0


@contextmanager
def frozen(paths: Sequence[str], deadline: float = 10.0) -> Iterator[None]:
    """Hold the filesystems mounted at ``paths`` frozen while the body runs, for at most ``deadline`` seconds.

    All are flushed first, then frozen in parallel; the same filesystem may be named twice. Each path must be a mount
    point, and not of the filesystem that "/" lies on.
    Raises FailedPrecondition when one is not, or was frozen by somebody else; HostFailed when the kernel refuses
    (EOPNOTSUPP); all are thawed then. Raises Unavailable if they did not stay frozen throughout (deadline, guard
    killed): what the body cut is not one moment and must be discarded.
    """
    fds = _open_all(paths)
    try:
        guard = Guard(tuple(fds), tuple(fds.values()), deadline)
    except BaseException:
        _close_all(fds.values())
        raise
    try:
        # The guard starts up meanwhile. A clean filesystem freezes at once, so its writers wait less.
        _sync_all(fds)
        guard.freeze()
        yield
        guard.thaw()
    finally:
        guard.release()


@effect
def thaw(path: str) -> bool:
    """Let the filesystem at ``path`` go on; False if it was not frozen. Raises HostFailed."""
    with during(f"thawing {path}"):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return _thaw(fd)
        finally:
            os.close(fd)


@effect
def sync_filesystem(path: str) -> None:
    """Write the dirty data and metadata of the filesystem at ``path`` to disk (syncfs(2)). Raises NoSpace, HostFailed."""
    with during(f"syncing the filesystem at {path}"):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _sync(fd)
        finally:
            os.close(fd)


class Guard(threading.Thread):
    """The guard process, and a thread that hears it out and thaws in its stead when it dies.

    The thread owns the descriptors: a guard that hangs in the kernel can outlast the call that started it.
    """

    def __init__(self, paths: Sequence[str], fds: Sequence[int], deadline: float) -> None:
        super().__init__(name="freeze-guard", daemon=True)
        self._paths = paths
        self._fds = fds
        self._deadline = deadline
        self._first = ""
        self._last = ""
        self._answered = threading.Event()
        argv = [sys.executable, "-I", "-S", SCRIPT, str(deadline), *map(str, fds)]
        self._program = command.spawn(argv, pass_fds=fds)
        self.start()

    def run(self) -> None:
        """Hear the guard out."""
        for line in self._program.stdout:
            self._last = line.decode().strip()
            self._first = self._first or self._last
            self._answered.set()
        # Its output ends only when all of its threads are gone, so no freeze is under way any more.
        self._program.end()
        if self._last in ("", FROZEN):
            for fd in self._fds:
                with contextlib.suppress(OSError):
                    _thaw(fd)
        _close_all(self._fds)
        self._answered.set()

    @effect
    def freeze(self) -> None:
        """Freeze all. Raises FailedPrecondition, HostFailed, Unavailable; then nothing is frozen, or soon."""
        with contextlib.suppress(BrokenPipeError):
            self._program.stdin.write(b"f")
        self._answered.wait(self._deadline + GRACE)
        word, *about = self._first.split()[:3] or [""]
        if word == FAILED:
            path, code = self._paths[int(about[0])], int(about[1])
            if code == errno.EBUSY:
                message = f"the filesystem at {path} was frozen by somebody else (fsfreeze -u thaws it)"
                raise FailedPrecondition(message)
            raise from_os(f"freezing {path}", OSError(code, os.strerror(code)))
        if word != FROZEN:
            raise self._broken()

    @effect
    def thaw(self) -> None:
        """Thaw all. Raises Unavailable if they have not stayed frozen until now."""
        self.release()
        if self._last != THAWED:
            raise self._broken()

    def release(self) -> None:
        """Let the guard thaw and go, or make it; nothing happens if it went before."""
        self._program.stdin.close()
        self.join(GRACE)
        if self.is_alive():
            self._program.kill()
            self.join(GRACE)

    def _broken(self) -> Unavailable:
        names = ", ".join(self._paths)
        if self._last == LATE:
            return Unavailable(f"{names} could not be kept frozen: it took more than {self._deadline:g} s")
        return Unavailable(f"{names} could not be kept frozen: the process that guards it is gone or does not answer")


def _open_all(paths: Sequence[str]) -> dict[str, int]:
    """A descriptor for each filesystem, by the first path that names it."""
    fds: dict[str, int] = {}
    root = os.stat("/").st_dev
    seen: set[int] = set()
    try:
        for path in paths:
            found = mounts.look(path)
            if found is None or not found.is_root or found.dev == root:
                message = f"{path} is not the mount point of a filesystem of its own, so it is not frozen"
                raise FailedPrecondition(message)
            if found.dev not in seen:
                seen.add(found.dev)
                with during(f"opening {path}"):
                    fds[path] = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except BaseException:
        _close_all(fds.values())
        raise
    return fds


def _close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


def _sync_all(fds: dict[str, int]) -> None:
    def sync(path: str) -> None:
        with during(f"syncing the filesystem at {path}"):
            _sync(fds[path])

    if len(fds) == 1:
        sync(next(iter(fds)))
        return
    with ThreadPoolExecutor(max_workers=max(1, len(fds))) as pool:
        list(pool.map(sync, fds))


def _sync(fd: int) -> None:
    if libc.syncfs(fd) != 0:
        raise libc.failed()


def _thaw(fd: int) -> bool:
    try:
        fcntl.ioctl(fd, FITHAW, 0)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return False
        raise
    return True

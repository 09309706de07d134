"""One owner at a time: a lock file that says who holds it."""

import fcntl
import os
import time

from ..model.errors import InUse
from .failure import FULL, during

# Somebody who only asks (holder) has the lock for microseconds.
PATIENCE = 0.2
PAUSE = 0.02


class Lock:
    """A held lock. It ends with ``release`` or with our process, however that dies (flock(2))."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def acquire(cls, path: str, owner: str) -> "Lock":
        """Take the lock at ``path`` and write ``owner`` (pid, node, command: one line) into it.

        The file is never removed: a second process could then lock a new one. Raises InUse naming the
        holder when it is held, HostFailed, NoSpace.
        """
        with during(f"locking {path}"):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                patience = time.monotonic() + PATIENCE
                while not _try_lock(fd):
                    if time.monotonic() > patience:
                        message = f"{path} is held by another process: {_read(fd) or 'it has not said who it is'}"
                        raise InUse(message)
                    time.sleep(PAUSE)
                _write(fd, owner.encode() + b"\n")
            except BaseException:
                os.close(fd)
                raise
        return cls(path, fd)

    def release(self) -> None:
        """Give the lock up; nothing happens if it was."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def holder(path: str) -> str:
    """What the present holder of the lock at ``path`` wrote into it; empty if nobody holds it. Raises HostFailed."""
    with during(f"reading the lock {path}"):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return ""
        try:
            return "" if _try_lock(fd, fcntl.LOCK_SH) else _read(fd)
        finally:
            os.close(fd)


def _try_lock(fd: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(fd: int) -> str:
    return os.pread(fd, 4096, 0).decode(errors="replace").strip()


def _write(fd: int, line: bytes) -> None:
    """Say who holds the lock, if there is room: a full filesystem must not keep a pool from its owner, who can purge."""
    try:
        os.pwrite(fd, line, 0)
        os.ftruncate(fd, len(line))
    except OSError as error:
        if error.errno not in FULL:
            raise

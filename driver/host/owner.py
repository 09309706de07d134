"""One owner at a time: a lock file that says who holds it."""


class Lock:
    """A held lock. It ends with ``release`` or with our process, however that dies (flock(2))."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def acquire(cls, path: str, owner: str) -> "Lock":
        """Take the lock at ``path`` and write ``owner`` (pid, node, command: one line) into it.

        The file is never removed: a second process could then lock a new one. Raises FailedPrecondition naming the
        holder when it is held, HostFailed.
        """
        raise NotImplementedError

    def release(self) -> None:
        """Give the lock up; nothing happens if it was."""
        raise NotImplementedError


def holder(path: str) -> str:
    """What the present holder of the lock at ``path`` wrote into it; empty if nobody holds it. Raises HostFailed."""
    raise NotImplementedError

"""Filesystems held still for a moment (FIFREEZE), by a guard process that lets go when we die or take too long."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def frozen(paths: Sequence[str], deadline: float = 10.0) -> Iterator[None]:
    """Hold the filesystems mounted at ``paths`` frozen while the body runs, for at most ``deadline`` seconds.

    All are flushed first, then frozen in parallel. Each must be a mount point, and not of the root filesystem.
    Raises FailedPrecondition when a path is none or was frozen by somebody else, HostFailed when the kernel refuses;
    all are thawed then. Raises Unavailable at the end if they did not stay frozen throughout (deadline, guard killed):
    what the body cut is not one moment and must be discarded.
    """
    raise NotImplementedError
    yield


def thaw(path: str) -> bool:
    """Let the filesystem at ``path`` go on; False if it was not frozen. Raises HostFailed."""
    raise NotImplementedError


def sync_filesystem(path: str) -> None:
    """Write the dirty data and metadata of the filesystem at ``path`` to disk (syncfs(2)). Raises NoSpace, HostFailed."""
    raise NotImplementedError

"""An OSError becomes a word of the domain here, and nowhere else."""

import errno
import os
from types import TracebackType

from ..model.errors import HostFailed, NoSpace

# Of two names for one number, the one the man pages use.
NAMES = {**errno.errorcode, errno.EOPNOTSUPP: "EOPNOTSUPP", errno.EAGAIN: "EAGAIN"}
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def from_os(doing: str, error: OSError) -> NoSpace | HostFailed:
    """The domain's error for ``error``: NoSpace when a filesystem or quota is full, else HostFailed with the errno."""
    code = error.errno or 0
    reason = f"{os.strerror(code)} ({NAMES.get(code, code)})" if code else str(error)
    message = f"{doing}: {reason}"
    return NoSpace(message) if code in FULL else HostFailed(message, code)


class during:
    """``with during("growing /x"):`` turns an OSError of its body into NoSpace or HostFailed that says so.

    A class rather than a generator: it stands in paths that take microseconds.
    """

    __slots__ = ("doing",)

    def __init__(self, doing: str) -> None:
        self.doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            raise from_os(self.doing, error) from error

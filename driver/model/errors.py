"""The words for what can go wrong. Edges map them to status codes by class (driver/rpc/status.py)."""


class DomainError(Exception):
    """A refusal or failure a caller can act on. The message names the object, what was found and what was wanted."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidArgument(DomainError):
    """The request can never succeed as written."""


class NotFound(DomainError):
    """The named object does not exist."""


class AlreadyExists(DomainError):
    """An object of that name exists and differs from what was asked for."""


class FailedPrecondition(DomainError):
    """The object is in a state that forbids this; the message says how to change that state."""


class InUse(FailedPrecondition):
    """Somebody holds the object open, staged, published or depends on it."""


class OutOfRange(DomainError):
    """A size or offset outside what the object allows."""


class NoSpace(DomainError):
    """A pool, or the filesystem below it, has no room (also ENOSPC and EDQUOT)."""


class LimitReached(DomainError):
    """A configured count is used up (volumes per node)."""


class Unplaceable(DomainError):
    """No pool in the wanted topology can take the volume (RESOURCE_EXHAUSTED in CSI)."""


class Busy(DomainError):
    """Another operation on the same object is running; try again."""


class StaleToken(DomainError):
    """A list token that this driver did not give out, or for another query."""


class Unavailable(DomainError):
    """A pool or node does not answer now; try again."""


class Unsupported(DomainError):
    """The operation is not offered by this role or this pool (UNIMPLEMENTED)."""


class NewerSchema(FailedPrecondition):
    """A pool was written by a newer Holdall than this one."""


class Unauthenticated(DomainError):
    """The caller did not prove who it is."""


class Forbidden(DomainError):
    """The caller is known, and may not do this."""


class HostFailed(DomainError):
    """The kernel or a program refused. ``code`` is an errno, or a program's exit code."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class DataDamaged(HostFailed):
    """What was read cannot be right: a record that does not parse, a file shorter than its volume."""

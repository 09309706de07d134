"""Which gRPC code a domain error is, and back. The one table; CSI wants a message that is never empty and no details."""

import grpc

from ..model import errors

Code = grpc.StatusCode

CODES: dict[type[errors.DomainError], grpc.StatusCode] = {
    errors.InvalidArgument: Code.INVALID_ARGUMENT,
    errors.NotFound: Code.NOT_FOUND,
    errors.AlreadyExists: Code.ALREADY_EXISTS,
    errors.FailedPrecondition: Code.FAILED_PRECONDITION,
    errors.OutOfRange: Code.OUT_OF_RANGE,
    errors.NoSpace: Code.RESOURCE_EXHAUSTED,
    errors.LimitReached: Code.RESOURCE_EXHAUSTED,
    errors.Unplaceable: Code.RESOURCE_EXHAUSTED,
    errors.Busy: Code.ABORTED,
    errors.StaleToken: Code.ABORTED,
    errors.Unavailable: Code.UNAVAILABLE,
    errors.Unsupported: Code.UNIMPLEMENTED,
    errors.Unauthenticated: Code.UNAUTHENTICATED,
    errors.Forbidden: Code.PERMISSION_DENIED,
    errors.HostFailed: Code.INTERNAL,
    errors.DataDamaged: Code.DATA_LOSS,
}

_ERRORS: dict[grpc.StatusCode, type[errors.DomainError]] = {
    Code.INVALID_ARGUMENT: errors.InvalidArgument,
    Code.NOT_FOUND: errors.NotFound,
    Code.ALREADY_EXISTS: errors.AlreadyExists,
    Code.FAILED_PRECONDITION: errors.FailedPrecondition,
    Code.OUT_OF_RANGE: errors.OutOfRange,
    Code.RESOURCE_EXHAUSTED: errors.NoSpace,
    Code.ABORTED: errors.Busy,
    Code.UNIMPLEMENTED: errors.Unsupported,
    Code.INTERNAL: errors.HostFailed,
    Code.DATA_LOSS: errors.DataDamaged,
}
"""Every other code (UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, UNKNOWN …) says nothing about the object, only that the
other side gave no answer: Unavailable. Nor does a refusal of ourselves, which to CSI's callers would be a final one."""

_REFUSED = (Code.UNAUTHENTICATED, Code.PERMISSION_DENIED)

MAX_MESSAGE = 2000
"""Bytes. A trailer holds a message percent-encoded, up to three bytes for each of ours, and by default at most 8 KiB."""


def code_of(error: errors.DomainError) -> grpc.StatusCode:
    """The code of the nearest class in ``error``'s ancestry that the table knows."""
    for cls in type(error).__mro__:
        if cls in CODES:
            return CODES[cls]
    return Code.INTERNAL


def message_of(error: errors.DomainError) -> str:
    """What ``error`` says, as valid UTF-8 of 1 to 2000 bytes, whatever it was made with."""
    return bounded(error.message) or f"{type(error).__name__} without a message"


def bounded(text: str, size: int = MAX_MESSAGE) -> str:
    """``text`` with undecodable characters escaped, cut to ``size`` bytes with an ellipsis."""
    raw = text.encode("utf-8", "backslashreplace")
    if len(raw) > size:
        return raw[: size - 3].decode("utf-8", "ignore") + "…"
    return raw.decode("utf-8")


def error_of(code: grpc.StatusCode, message: str, *, peer: str) -> errors.DomainError:
    """The domain error for what ``peer`` answered; one that says nothing about the object names ``peer``."""
    if known := _ERRORS.get(code):
        return known(message or f"{peer} answered {code.name} without a message")
    if code is Code.UNAVAILABLE and message:
        return errors.Unavailable(f"{peer}: {message}")
    if code in _REFUSED and message:
        return errors.Unavailable(f"{peer} refused us: {message}")
    return errors.Unavailable(f"{peer} gave no answer: {message or code.name}")

"""What keeps a name from being made where it was tried, and what that says of its note."""

from ..model import errors
from .claims import Hold

REFUSED = (
    errors.InvalidArgument,
    errors.OutOfRange,
    errors.NoSpace,
    errors.NotFound,
    errors.FailedPrecondition,
    errors.Unsupported,
)
"""Answers to a first try that are final: nothing was made, and the name is free to go elsewhere."""


class Changed(Exception):
    """The name's note is not what it was: it has to be looked at anew."""


class Full(Exception):
    """``node`` does not have the name, and no room for it. ``hold``: the note that still says it went there."""

    def __init__(self, node: str, message: str, hold: Hold | None = None) -> None:
        super().__init__(message)
        self.node = node
        self.message = message
        self.hold = hold

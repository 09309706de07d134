"""How long the caller will still wait: set by the edge per call, read where long work is joined."""

import contextvars
import time

_until: contextvars.ContextVar[float | None] = contextvars.ContextVar("holdall_deadline", default=None)

MARGIN = 0.25
"""Seconds kept for the answer's way back, so the caller reads ABORTED with progress, not DEADLINE_EXCEEDED."""


def expect(seconds: float | None) -> None:
    """The caller of the current context waits ``seconds`` more; None: it did not say."""
    _until.set(None if seconds is None else time.monotonic() + seconds)


def remaining(default: float) -> float:
    """Seconds this call may still take, never negative; ``default`` when the caller did not say."""
    until = _until.get()
    return default if until is None else max(0.0, until - time.monotonic() - MARGIN)

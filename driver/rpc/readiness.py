"""Whether this process serves yet: Probe says so, and every other service waits for it."""

from ..model import errors


class Readiness:
    """Not ready until told so. Read by every RPC, written by whoever starts and stops the role."""

    def __init__(self, reason: str = "its pools are being opened") -> None:
        self._reason = reason

    @property
    def is_ready(self) -> bool:
        return not self._reason

    @property
    def reason(self) -> str:
        """Why not; empty when ready."""
        return self._reason

    def ready(self) -> None:
        """From here on everything is served."""
        self._reason = ""

    def not_ready(self, reason: str) -> None:
        """From here on RPCs are refused, saying ``reason``."""
        self._reason = reason

    def check(self) -> None:
        """Unavailable, with the reason, unless ready."""
        if self._reason:
            raise errors.Unavailable(f"Holdall does not serve now: {self._reason}; try again")

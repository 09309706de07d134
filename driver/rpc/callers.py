"""Who may call on a TCP port: the one whose certificate carries the expected name."""

import time
from collections.abc import Callable
from typing import Any

import grpc
import structlog

from ..model import errors

QUIET = 10.0
"""Seconds between two lines about callers that are refused: one that insists must not fill the log."""
_DNS_NAMES, _NAMES = "peer_dns", "x509_subject_alternative_name"
"""Of a certificate, as gRPC's authentication context has it: its DNS names, and names of every kind."""

log = structlog.get_logger()


class Callers:
    """Knows one name. The handshake has proven by then that a CA of ours gave the caller its certificate."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._said = -QUIET
        self._unsaid = 0

    def check(self, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        """Unauthenticated for a caller without a certificate, Forbidden for one with another name; both are logged."""
        if self._name in _found(context, _DNS_NAMES):
            return
        names = _found(context, _NAMES)
        self._say(names, context.peer())
        if not names:
            raise errors.Unauthenticated(f"only {self._name} may call here; this caller has no certificate")
        raise errors.Forbidden(f"only {self._name} may call here, not {', '.join(names)[:300]}")

    def _say(self, names: tuple[str, ...], address: str) -> None:
        now = self._clock()
        if now - self._said < QUIET:
            self._unsaid += 1
            return
        unsaid, self._said, self._unsaid = self._unsaid, now, 0
        log.warning(
            "caller refused", wanted=self._name, names=list(names)[:10], peer=address, others_since_the_last_line=unsaid
        )


def _found(context: "grpc.aio.ServicerContext[Any, Any]", kind: str) -> tuple[str, ...]:
    """Lower case, as DNS takes them; none without a certificate."""
    return tuple(name.decode("utf-8", "backslashreplace").lower() for name in context.auth_context().get(kind, ()))

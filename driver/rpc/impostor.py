"""Who answers in the place of the one that is expected: gRPC says that a name was wrong, and not which it found."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from typing import Any

import grpc
import structlog

from . import endpoints, tls

WRONG_NAME = "Hostname Verification Check failed"
"""What gRPC's failure says then. Should a release say it otherwise, the call fails all the same, with its own words."""
QUIET = 30.0
"""Seconds between two looks at one address, and so between two lines about it."""
PATIENCE = 3.0

log = structlog.get_logger()


class Watch:
    """Of one address. Only looks after gRPC has refused the connection; decides nothing."""

    def __init__(
        self, endpoint: endpoints.Tcp, expected: tls.Expected, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._endpoint = endpoint
        self._expected = expected
        self._clock = clock
        self._looked = -QUIET
        self._looking: asyncio.Task[None] | None = None

    def judge(self, code: grpc.StatusCode, words: str) -> str:
        """What a failed call came to, if the other side had another name than it should; empty for other failures."""
        if code is not grpc.StatusCode.UNAVAILABLE or WRONG_NAME not in words:
            return ""
        now = self._clock()
        if now - self._looked >= QUIET and (self._looking is None or self._looking.done()):
            self._looked = now
            self._looking = asyncio.get_running_loop().create_task(self._look())
        return f"what answers at {self._endpoint.address} has a certificate of another name than {self._expected.name}"

    async def close(self) -> None:
        if self._looking:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        names: list[str] = []
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(PATIENCE):
                names = await self._names()
        log.warning("impostor refused", expected=self._expected.name, found=names, address=self._endpoint.address)

    async def _names(self) -> list[str]:
        """The names in the certificate that is shown there, if a CA of ours made it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # The name is what we want to know. Nothing is sent, and nobody takes the answer for more than a line in the log.
        context.check_hostname = False
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=self._expected.source.read().bundle.decode("ascii"))
        _, writer = await asyncio.open_connection(self._endpoint.host, self._endpoint.port, ssl=context)
        try:
            shown: dict[str, Any] = writer.get_extra_info("peercert") or {}
            return [value for kind, value in shown.get("subjectAltName", ()) if kind == "DNS"][:10]
        finally:
            writer.transport.abort()

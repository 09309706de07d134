"""Events: what happened to a claim, a pool or a node, why, and what to do about it. Best effort: nothing ever waits for one."""

import asyncio
import datetime
import secrets
import time
from collections.abc import Callable
from typing import Literal

import msgspec
import structlog

from ..model import errors
from .api import Api, Object

Kind = Literal["Normal", "Warning"]

WAITING = 500
"""Events that wait to be sent; more are dropped."""
AGAIN = 600.0
"""Seconds in which the same is not said of the same object again."""
BURST, PACE = 50, 2.0
"""Events sent at once, and for each second from then on: a lost node may have hundreds of claims."""
PATIENCE = 5.0
REMEMBERED = 10_000

log = structlog.get_logger()


class Subject(msgspec.Struct, frozen=True):
    """What an event is about. Objects without a namespace have their events in ``default``."""

    api_version: str
    kind: str
    name: str
    uid: str
    namespace: str = ""


class Events:
    """``tell`` at any time; ``run`` has to be run for it to have an effect."""

    def __init__(self, api: Api, driver_name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._driver_name = driver_name
        self._clock = clock
        self._queue: asyncio.Queue[tuple[Subject, Kind, str, str]] = asyncio.Queue(WAITING)
        self._said: dict[tuple[Subject, str, str], float] = {}

    def tell(self, subject: Subject, kind: Kind, reason: str, message: str) -> None:
        """``reason`` is CamelCase; ``message`` says cause and cure. The same is said once in ten minutes."""
        key, now = (subject, reason, message), self._clock()
        if now - self._said.get(key, float("-inf")) < AGAIN:
            return
        self._said.pop(key, None)
        self._said[key] = now
        while len(self._said) > REMEMBERED:
            del self._said[next(iter(self._said))]
        try:
            self._queue.put_nowait((subject, kind, reason, message))
        except asyncio.QueueFull:
            log.warning("event dropped", reason=reason, of=subject.name, message="too many are waiting")

    async def run(self) -> None:
        """Never returns. What cannot be sent is dropped: the state it speaks of is in the objects themselves."""
        left, at = float(BURST), self._clock()
        while True:
            subject, kind, reason, message = await self._queue.get()
            now = self._clock()
            left, at = min(left + (now - at) * PACE, BURST), now
            if left < 1.0:
                await asyncio.sleep((1.0 - left) / PACE)
                left, at = 1.0, self._clock()
            left -= 1.0
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._send(subject, kind, reason, message)
            except (errors.DomainError, TimeoutError) as error:
                log.info("event dropped", reason=reason, of=subject.name, message=str(error) or "no answer in time")

    async def _send(self, subject: Subject, kind: Kind, reason: str, message: str) -> None:
        namespace = subject.namespace or "default"
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        about = {
            "apiVersion": subject.api_version,
            "kind": subject.kind,
            "name": subject.name,
            "uid": subject.uid,
            "namespace": subject.namespace,
        }
        body: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{subject.name[:200]}.{secrets.token_hex(8)}", "namespace": namespace},
            "involvedObject": {key: value for key, value in about.items() if value},
            "type": kind,
            "reason": reason,
            # The API takes 1024 bytes.
            "message": message.encode()[:1020].decode("utf-8", "ignore"),
            "source": {"component": self._driver_name},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        await self._api.request("POST", f"/api/v1/namespaces/{namespace}/events", body)

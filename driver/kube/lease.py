"""Which controller does what only one may do: the holder of a Lease (coordination.k8s.io/v1).

Nobody's wall clock is compared with another's. A holder counts from the moment it began the request that renewed, and stops
before the others can take over; those count from the moment they saw the Lease change. The library's own election does
neither, and ends the process on wrong arguments.
"""

import asyncio
import contextlib
import datetime
import secrets
import socket
import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from ..model import errors
from .api import Api, Conflict, Object

log = structlog.get_logger()


class Pace(msgspec.Struct, frozen=True):
    """Seconds. ``hold`` is so much less than ``duration`` for clocks that drift, and for work that takes a moment to stop."""

    duration: float = 15.0
    """Without a renewal for so long, another takes over. Whole seconds."""
    hold: float = 10.0
    """From the beginning of its last renewal, the holder may act for so long."""
    renew: float = 3.0
    """Between two renewals, or two looks of those who wait."""


USUAL = Pace()


class Lease:
    """``leading`` while this controller holds the Lease ``name``. ``run`` does the work of a leader meanwhile."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        pace: Pace = USUAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.identity = f"{socket.gethostname()}_{secrets.token_hex(4)}"
        self.leading = False
        self.holder = ""
        """The identity of who held it when it was last looked at."""
        self._api = api
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._pace = pace
        self._clock = clock
        self._held: Object = {}
        self._renewed = float("-inf")
        self._seen: tuple[str, float] = ("", 0.0)
        """The version of somebody else's Lease, and when it was first seen here."""

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Never returns. ``work`` is begun whenever this controller leads, and cancelled at once when it does not any more.

        When cancelled, the work is over and the Lease free for the next one.
        """
        try:
            while True:
                if await self._try():
                    await self._lead(work)
                # Whoever led until now lets another do better.
                await asyncio.sleep(self._pace.renew)
        finally:
            await self._release()

    def check(self) -> None:
        """FailedPrecondition, naming who does, unless this controller leads."""
        if not self.leading:
            holder = self.holder.partition("_")[0] or "none yet"
            raise errors.FailedPrecondition(f"only the leading controller does this, which is {holder}; ask it there")

    async def _lead(self, work: Callable[[], Awaitable[None]]) -> None:
        self.leading = True
        log.info("leading", lease=self._name, identity=self.identity)
        working = asyncio.ensure_future(work())
        renewing = asyncio.ensure_future(self._keep())
        try:
            await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.leading = False
            for task in (working, renewing):
                task.cancel()
            results = await asyncio.gather(working, renewing, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                log.error("leader's work failed", lease=self._name, message=repr(result), exc_info=result)
        log.warning("not leading any more", lease=self._name, identity=self.identity)
        await self._release()

    async def _keep(self) -> None:
        """Returns when the Lease is lost, or could not be renewed in time."""
        while True:
            await asyncio.sleep(self._pace.renew)
            left = self._renewed + self._pace.hold - self._clock()
            try:
                async with asyncio.timeout(max(left, 0.0)):
                    while not await self._try():
                        if not self._held:
                            return
                        await asyncio.sleep(self._pace.renew / 3)
            except TimeoutError:
                log.warning("lease not renewed in time", lease=self._name, seconds=self._pace.hold)
                return

    async def _try(self) -> bool:
        """Whether the Lease is ours from the moment this was called on. ``_held`` is empty once it is somebody else's."""
        began = self._clock()
        try:
            self._held = await self._take()
        except errors.DomainError as error:
            log.info("lease not renewed", lease=self._name, message=error.message)
            return False
        if self._held:
            self._renewed = began
        return bool(self._held)

    async def _take(self) -> Object:
        """The Lease, ours now; empty while somebody else has it."""
        path = f"{self._collection}/{self._name}"
        try:
            found = self._held or await self._api.request("GET", path)
            if not self._held and not self._is_free(found):
                return {}
            return await self._api.request("PUT", path, self._ours(found))
        except errors.NotFound:
            with contextlib.suppress(Conflict):
                return await self._api.request("POST", self._collection, self._ours({}))
        except Conflict:
            # Perhaps an earlier renewal of ours, whose answer was lost: it says nothing of now.
            found = await self._api.request("GET", path)
            if found["spec"].get("holderIdentity") == self.identity:
                with contextlib.suppress(Conflict):
                    return await self._api.request("PUT", path, self._ours(found))
        return {}

    def _is_free(self, found: Object) -> bool:
        """Nobody's, or not renewed for as long as its holder promised, by our own clock."""
        spec, version = found.get("spec") or {}, str(found["metadata"]["resourceVersion"])
        self.holder = str(spec.get("holderIdentity") or "")
        if not spec.get("holderIdentity") or spec["holderIdentity"] == self.identity:
            return True
        if version != self._seen[0]:
            self._seen = version, self._clock()
        return self._clock() - self._seen[1] > float(spec.get("leaseDurationSeconds") or self._pace.duration)

    def _ours(self, found: Object) -> Object:
        spec = found.get("spec") or {}
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        is_same = spec.get("holderIdentity") == self.identity
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {**found.get("metadata", {}), "name": self._name},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": int(self._pace.duration),
                "acquireTime": spec.get("acquireTime", now) if is_same else now,
                "renewTime": now,
                "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (0 if is_same else 1),
            },
        }

    async def _release(self) -> None:
        """The next one need not wait. Without an API it has to."""
        if not self._held:
            return
        freed = self._ours(self._held)
        freed["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
        self._held = {}
        with contextlib.suppress(errors.DomainError, TimeoutError):
            async with asyncio.timeout(2.0):
                await self._api.request("PUT", f"{self._collection}/{self._name}", freed)

"""Hearing out a node: all it has goes into the memory, and the names of all it has into the placements."""

import asyncio
import time
from collections.abc import Iterable

import structlog

from ..model import errors, ids
from .forgotten import Forgotten, given_up
from .member import Member
from .memory import Memory
from .nodes import LISTINGS, Listed, Listing, N
from .placement import Placement

log = structlog.get_logger()

PAGE = 1000
AGAIN = 300.0
"""Seconds after which a node is heard out again, for what was changed there without asking us."""
SOON = 5.0
"""The same, when a look says that it has more or fewer objects than before; another controller may have made them."""
SHARE = 20
"""A node is not heard out for more than one part in so many of the time, however much changes on it."""
AT_ONCE = 16
"""Nodes heard out at the same time; in a large fleet the others wait for their turn."""


class Learning:
    """At most one hearing per node at a time, in the background. What lies in a pool that was given up is not learned."""

    def __init__(self, memory: Memory, placement: Placement, forgotten: Forgotten, *, soon: float = SOON) -> None:
        self._soon = soon
        self._memory = memory
        self._placement = placement
        self._forgotten = forgotten
        self._hearings: dict[str, asyncio.Task[None]] = {}
        self._done: dict[str, asyncio.Event] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def begin(self, member: Member[N]) -> None:
        """The member is being heard out from now on, and again every few minutes while it answers."""
        await self._end(member.name)
        self._done.setdefault(member.name, asyncio.Event())
        self._hearings[member.name] = asyncio.ensure_future(self._keep(member))

    async def wait_for(self, names: Iterable[str], patience: float) -> None:
        """Those of ``names`` that answer have been heard out, or ``patience`` seconds have passed."""
        waits = [asyncio.ensure_future(done.wait()) for name in names if (done := self._done.get(name))]
        if waits:
            _, late = await asyncio.wait(waits, timeout=patience)
            for one in late:
                one.cancel()

    async def stop(self) -> None:
        for name in list(self._hearings):
            await self._end(name)

    async def _end(self, name: str) -> None:
        if task := self._hearings.pop(name, None):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep(self, member: Member[N]) -> None:
        while member.alive:
            before = _counts(member)
            try:
                async with self._turns:
                    began = time.monotonic()
                    for listing in LISTINGS:
                        await self._hear(member, listing)
                await self._placement.heard(member.name)
                self._done[member.name].set()
            except errors.DomainError as error:
                log.warning("node not heard out", node=member.name, message=error.message)
                await asyncio.sleep(5.0)
            else:
                await self._rest(member, before, time.monotonic() - began)

    async def _rest(self, member: Member[N], before: list[tuple[str, int, int]], took: float) -> None:
        until, pause = time.monotonic() + AGAIN, max(self._soon, took * SHARE)
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(pause, left))
            if _counts(member) != before:
                return

    async def _hear(self, member: Member[N], listing: Listing) -> None:
        token = after = ""
        while True:
            page = await member.node.page(listing, token, PAGE)
            at_end = not page.next_token
            entries = [one for one in page.entries if not given_up(self._forgotten, one.id)]
            if entries or at_end:
                await self._memory.learn(listing, member.name, after, entries, at_end=at_end)
            if listing != "health":
                await self._placement.learn(member.name, _keys(entries))
            if at_end:
                return
            token = page.next_token
            after = page.entries[-1].id if page.entries else after


def _counts(member: Member[N]) -> list[tuple[str, int, int]]:
    pools = member.description.pools if member.description else ()
    return [(view.id, view.volumes, view.snapshots) for view in pools]


def _keys(entries: list[Listed]) -> list[str]:
    named = [one.id for one in entries] + [one.group_id for one in entries if one.group_id]
    return [parts[1] for one in named if (parts := ids.split(one))]

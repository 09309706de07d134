"""Lists and capacity of the whole fleet, from what its nodes say and what is remembered of those that do not answer.

Ids are ordered by pool first, and a pool is on one node: a list is the pools' lists one after the other, each read from
its node. The engine's own tokens serve for the whole, since they say nothing but the last id given.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic

from ..engine import listing as pages
from ..engine.placement import in_topology
from ..model import errors
from ..model.capacity import CapacityQuery, Room
from .member import Member
from .memory import Memory
from .nodes import Listed, Listing, N, NodePage
from .roster import Roster

QUERIES: dict[Listing, str] = {"volumes": pages.VOLUMES, "snapshots": pages.snapshots_query(), "health": pages.HEALTH}
"""What the engine makes its tokens of these lists for."""


class Merge(Generic[N]):
    def __init__(self, roster: Roster[N], memory: Memory) -> None:
        self._roster = roster
        self._memory = memory

    async def page(self, listing: Listing, starting_token: str, limit: int) -> NodePage:
        """At most ``limit`` entries in order of id over all nodes; a node that does not answer speaks from memory. The
        health of a lost node lists all its volumes; ``entry`` is empty where none was remembered.

        StaleToken for a token of another list. Unavailable, naming it, when a node neither answers nor is remembered.
        """
        pages.position(QUERIES[listing], starting_token)
        await self._roster.look_at_all()
        readers: dict[str, _Reader[N]] = {}
        shelves = []
        for member in self._roster.all():
            if member.description is None:
                if not member.is_expected:
                    continue  # it never answered any controller: nothing it has was ever listed
                raise member.lost()
            reader = readers[member.name] = _Reader(member, listing, self._roster, self._memory)
            shelves += [
                (pool_id, reader.shelf(pool_id))
                for pool_id in member.pool_ids
                if pool_id and self._roster.at_hand(pool_id) is member
            ]
        page = await pages.page(
            QUERIES[listing], starting_token, limit, sorted(shelves, key=_first), lambda one: one.id
        )
        return NodePage(page.entries, page.next_token)

    async def room(self, query: CapacityQuery) -> Room:
        """What the answering nodes of the wanted topology have, together; nothing of one from which new volumes are withheld.

        InvalidArgument when every one of them refuses the query as such.
        """
        members = [
            one
            for one in self._roster.all()
            if one.alive and reaches(one, query.topology) and not self._roster.withheld(one)
        ]
        answers = await asyncio.gather(*(_room(one, query) for one in members))
        rooms = [one for one in answers if isinstance(one, Room)]
        refusals = [one for one in answers if isinstance(one, errors.InvalidArgument)]
        if refusals and not rooms:
            raise refusals[0]
        return Room(
            available=sum(room.available for room in rooms),
            maximum=max((room.maximum for room in rooms), default=0),
            minimum=min((room.minimum for room in rooms if room.minimum), default=0),
        )


class _Reader(Generic[N]):
    """One node's part of one page, read ahead over its pools: a page asks a node as seldom as it can."""

    def __init__(self, member: Member[N], listing: Listing, roster: Roster[N], memory: Memory) -> None:
        self._member = member
        self._listing: Listing = listing
        self._roster = roster
        self._memory = memory
        self._ahead: list[Listed] = []
        self._token = ""
        self._begun = self._ended = False

    def shelf(self, pool_id: str) -> Callable[[str, int], Awaitable[list[Listed]]]:
        """How ``pages.page`` reads one pool; pools are read in order of id."""

        async def read(after: str, count: int) -> list[Listed]:
            start = after or f"{pool_id}."
            if self._member.alive:
                try:
                    found = await self._ask(pool_id, start, count)
                except errors.Unavailable:
                    await self._roster.look(self._member)
                else:
                    # Made through another controller, perhaps: what was listed once is listed until it is known to be gone.
                    await self._memory.keep(self._listing, self._member.name, found)
                    return found
            found = await self._remembered(start, count)
            return [one for one in found if one.id.startswith(f"{pool_id}.")]

        return read

    async def _remembered(self, start: str, count: int) -> list[Listed]:
        if self._listing != "health":
            return await self._memory.page(self._listing, self._member.name, start, count)
        # Of a node that answers, only what is unhealthy is listed; of one that is lost, nothing can be reached.
        unhealthy = {one.id: one for one in await self._memory.page("health", self._member.name, start, 0)}
        volumes = await self._memory.page("volumes", self._member.name, start, count)
        return [unhealthy.get(one.id, Listed(one.id, b"")) for one in volumes]

    async def _ask(self, pool_id: str, start: str, count: int) -> list[Listed]:
        prefix = f"{pool_id}."
        self._ahead = [one for one in self._ahead if one.id > start]
        while True:
            mine = [one for one in self._ahead if one.id.startswith(prefix)]
            if len(mine) >= count or len(mine) < len(self._ahead) or self._ended:
                return mine[:count]
            token = self._token if self._begun else pages.token(QUERIES[self._listing], start)
            page = await self._member.node.page(self._listing, token, count)
            self._ahead += [one for one in page.entries if one.id > start]
            self._token, self._begun, self._ended = page.next_token, True, not page.next_token


async def _room(member: Member[N], query: CapacityQuery) -> Room | errors.DomainError:
    try:
        return await member.node.room(query)
    except errors.DomainError as error:
        return error


def reaches(member: Member[N], topology: dict[str, str] | None) -> bool:
    """Whether volumes of one of the member's pools can be used in ``topology`` (None: anywhere)."""
    if topology is None:
        return True
    return (
        any(in_topology(view.topology, [topology]) for view in member.description.pools)
        if member.description
        else False
    )


def _first(shelf: tuple[str, object]) -> str:
    return shelf[0]

"""The nodes of the fleet: which answer, and which pool is on which. Kept by asking, in the background and when in doubt."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic

import structlog

from ..model import errors, ids
from .memory import Memory
from .nodes import Description, N

log = structlog.get_logger()

LOOK = 5.0
"""Seconds between two looks at a node."""
GLIMPSE = 0.5
"""Seconds a node known to be lost has to be back, when a call asks for it: one that hangs must not hold up the answer."""
DOUBT = 1.0
"""Seconds within which a look at all nodes is not repeated, however many unknown ids are asked for."""


class Member(Generic[N]):
    """One node, as it was found at the last look."""

    def __init__(self, node: N, known: Description | None) -> None:
        self.node = node
        self.name = node.name
        self.description = known
        self.problem = f"node {node.name} was not asked yet"
        """Why it does not answer, naming it; empty while it does."""
        self.lost_before = False
        """Whether the last look found it lost."""
        self.looking: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        return not self.problem

    @property
    def pool_ids(self) -> set[str]:
        return {view.id for view in self.description.pools} if self.description else set()

    def lost(self) -> errors.Unavailable:
        """What to answer instead of it."""
        return errors.Unavailable(self.problem)


class Roster(Generic[N]):
    """All members. ``changed`` is called when a node is back, or has other pools than before."""

    def __init__(
        self,
        nodes: Sequence[N],
        memory: Memory,
        changed: Callable[[Member[N]], Awaitable[None]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nodes = nodes
        self._memory = memory
        self._changed = changed
        self._clock = clock
        self._members: dict[str, Member[N]] = {}
        self._homes: dict[str, Member[N]] = {}
        self._looked_at_all = float("-inf")
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Known from before, and looked at once; those that do not answer are tried again in the background."""
        known = await self._memory.descriptions()
        self._members = {node.name: Member(node, known.get(node.name)) for node in self._nodes}
        for member in self._members.values():
            self._settle(member)
        await self.look_at_all()
        self._keeper = asyncio.ensure_future(self._keep())

    async def stop(self) -> None:
        looks = [member.looking for member in self._members.values() if member.looking]
        for task in (*looks, *filter(None, [self._keeper])):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            await self.look_at_all()

    # -- asking ------------------------------------------------------------------------------------------------------

    def all(self) -> list[Member[N]]:
        """In order of name."""
        return sorted(self._members.values(), key=lambda member: member.name)

    def named(self, name: str) -> Member[N] | None:
        return self._members.get(name)

    def any(self) -> Member[N]:
        """One that answers, for a question that every node answers alike. Unavailable when none does."""
        for member in self.all():
            if member.alive:
                return member
        problems = "; ".join(member.problem for member in self.all())
        raise errors.Unavailable(f"no node answers: {problems or 'none is configured'}")

    def at_hand(self, pool_id: str) -> Member[N] | None:
        """Who was last seen to have the pool; asks nobody."""
        return self._homes.get(pool_id)

    async def holder(self, object_id: str) -> Member[N] | None:
        """The node that has the pool of ``object_id``, answering; None when no node has it, or it is no id of ours.

        Unavailable, naming nodes, when it does not answer, or when the pool could be on one that does not.
        """
        parts = ids.split(object_id)
        if parts is None:
            return None
        home = self._homes.get(parts[0])
        if home is None:
            await self.look_at_all()
            home = self._homes.get(parts[0])
        if home is None:
            self.need_all(f"pool {parts[0]} is on no node that answers")
            return None
        await self.need(home)
        return self._homes.get(parts[0], home)

    async def need(self, member: Member[N]) -> None:
        """``member`` answers. One that was lost is asked again first; Unavailable, naming it."""
        if not member.alive:
            await self.look(member)
        if not member.alive:
            raise member.lost()

    def need_all(self, otherwise: str) -> None:
        """Every node answers; else Unavailable, saying ``otherwise`` and who does not."""
        if missing := [member for member in self.all() if not member.alive]:
            silent = "; ".join(member.problem for member in missing)
            raise errors.Unavailable(f"{otherwise}, and not all answer: {silent}")

    async def knows_node(self, node_id: str) -> bool:
        """Whether some node of the fleet calls itself ``node_id``. Unavailable when one that never spoke could."""
        if any(node_id in _names(member) for member in self.all()):
            return True
        silent = [member for member in self.all() if member.description is None]
        await asyncio.gather(*(self.look(member) for member in silent))
        if any(node_id in _names(member) for member in silent):
            return True
        if unknown := [member.name for member in silent if member.description is None]:
            raise errors.Unavailable(f"node {node_id} is not known, and these never answered: {', '.join(unknown)}")
        return False

    # -- looking -----------------------------------------------------------------------------------------------------

    async def look_at_all(self) -> None:
        """Every node was asked within the last second."""
        if self._clock() - self._looked_at_all >= DOUBT:
            await self.look_again()

    async def look_again(self) -> None:
        """Every node was asked just now; those that were lost before had only a glimpse's time to answer."""
        self._looked_at_all = self._clock()
        known_lost = [self._begin_look(member) for member in self.all() if member.lost_before]
        others = [self._begin_look(member) for member in self.all() if not member.lost_before]
        if others:
            await asyncio.wait(others)
        if known_lost:
            await asyncio.wait(known_lost, timeout=GLIMPSE)

    async def look(self, member: Member[N]) -> None:
        """The member was asked, by this call or by one already under way; as ``look_again`` for a lost one."""
        await asyncio.wait({self._begin_look(member)}, timeout=GLIMPSE if member.lost_before else None)

    def _begin_look(self, member: Member[N]) -> asyncio.Task[None]:
        if member.looking is None:
            member.looking = asyncio.ensure_future(self._look(member))
        return member.looking

    async def _look(self, member: Member[N]) -> None:
        try:
            found = await member.node.describe()
        except errors.DomainError as error:
            if member.alive:
                log.warning("node lost", node=member.name, message=error.message)
            member.problem, member.lost_before = error.message, True
        else:
            await self._found(member, found)
        finally:
            member.looking = None

    async def _found(self, member: Member[N], found: Description) -> None:
        before = member.pool_ids
        news = not member.alive or member.pool_ids != {view.id for view in found.pools}
        member.description, member.problem, member.lost_before = found, "", False
        self._settle(member)
        for gone in before - member.pool_ids:
            if self._homes.get(gone) is member:
                del self._homes[gone]
        if news:
            log.info("node answers", node=member.name, node_id=found.node_id, pools=sorted(member.pool_ids))
            await self._remember(member, found)
            await self._changed(member)

    async def _remember(self, member: Member[N], found: Description) -> None:
        try:
            await self._memory.describe(member.name, found)
        except errors.DomainError as error:
            # It answers all the same; only after a restart while it is lost would it be a stranger.
            log.warning("node not remembered", node=member.name, message=error.message)

    def _settle(self, member: Member[N]) -> None:
        """Its pools are on it: said by itself just now, or remembered and nobody else says so."""
        for pool_id in member.pool_ids:
            home = self._homes.get(pool_id)
            if pool_id and (member.alive or home is None or not home.alive):
                self._homes[pool_id] = member


def _names(member: Member[N]) -> Iterable[str]:
    return (member.description.node_id,) if member.description else ()

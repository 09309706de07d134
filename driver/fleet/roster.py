"""The nodes of the fleet: which answer, and which pool is on which. Kept by asking, in the background and when in doubt."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Generic

import structlog

from ..model import errors, ids
from .forgotten import Forgotten, given_up, sentence
from .known import Known
from .member import Member
from .membership import Membership
from .nodes import Description, N

log = structlog.get_logger()

LOOK = 5.0
"""Seconds between two looks at a node."""
GLIMPSE = 0.5
"""Seconds a node known to be lost has to be back, when a call asks for it: one that hangs must not hold up the answer."""
AT_EASE = 200
"""Nodes that are looked at that often; of more, each is looked at the more seldom, and calls find out for themselves."""
RETIRE = 330.0
"""Seconds that calls under way on a node's old place may take to their end; a call takes 300 at most."""
DOUBT = 1.0
"""Seconds within which a look at all nodes is not repeated, however many unknown ids are asked for."""


class Roster(Generic[N]):
    """All members, who may come, go and move. ``changed`` is called when a node is back, or has other pools than before."""

    def __init__(
        self,
        membership: Membership[N],
        known: Known,
        forgotten: Forgotten,
        changed: Callable[[Member[N]], Awaitable[None]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._membership = membership
        self._known = known
        self.forgotten = forgotten
        self._changed = changed
        self._clock = clock
        self._members: dict[str, Member[N]] = {}
        self._homes: dict[str, Member[N]] = {}
        self._looked_at_all = float("-inf")
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Known from before, and looked at once; those that do not answer are tried again in the background."""
        self._membership.follow(self._news.set)
        self.forgotten.follow(self._settle_anew)
        await self._follow()
        await self.look_at_all()
        self._begin(self._keep())
        self._begin(self._keep_following())

    async def stop(self) -> None:
        tasks = [member.looking for member in self._members.values() if member.looking]
        for task in (*tasks, *self._tasks):
            task.cancel()
        await asyncio.gather(*tasks, *self._tasks, return_exceptions=True)
        seated = [member.node for member in self._members.values() if member.is_seated]
        await asyncio.gather(*(node.close(0.0) for node in seated))

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(LOOK * max(1.0, len(self._members) / AT_EASE))
            await self.look_at_all()

    async def _keep_following(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._follow()
            except errors.DomainError as error:
                log.warning("members not followed", message=error.message)
                await asyncio.sleep(GLIMPSE)
                self._news.set()

    async def _follow(self) -> None:
        """The members are those there are now, each where it is now."""
        known = await self._known.descriptions()
        seats = self._membership.seats()
        for name, seat in seats.items():
            member = self._members.get(name)
            if member is None:
                member = self._members[name] = Member(name, seat, None)
                log.info("node joined", node=name, known=name in known)
            elif old := member.sit(seat):
                log.info("node moved", node=name)
                self._retire(old)
            # Another controller may have heard what this one has not.
            if member.description is None and name in known:
                member.description = known[name]
                self._settle(member)
        for name in set(self._members) - set(seats):
            self._leave(self._members.pop(name))
        # In the background: whoever asks for one of them asks it himself.
        for member in self.all():
            if member.is_seated and not member.alive and not member.lost_before:
                self._begin_look(member)

    def _leave(self, member: Member[N]) -> None:
        log.info("node left", node=member.name)
        if old := member.leave():
            self._retire(old)
        for pool_id in [one for one, home in self._homes.items() if home is member]:
            del self._homes[pool_id]

    def _retire(self, node: N) -> None:
        self._begin(node.close(RETIRE))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- asking ------------------------------------------------------------------------------------------------------

    def all(self) -> list[Member[N]]:
        """In order of name."""
        return sorted(self._members.values(), key=lambda member: member.name)

    def named(self, name: str) -> Member[N] | None:
        return self._members.get(name)

    def gives_up(self, name: str) -> bool:
        """Whether ``name`` is no member, and never will be again with what it had."""
        return name not in self._members and self._membership.gives_up(name)

    def is_over(self, member: Member[N]) -> bool:
        """Whether it does not answer, and every pool it had was given up: nothing waits for it."""
        return not member.alive and bool(member.pool_ids) and member.pool_ids <= self.forgotten.all().keys()

    def withheld(self, member: Member[N]) -> str:
        """Why nothing new goes to ``member``: it has a pool that was given up, and would use it. Empty otherwise."""
        found = self.forgotten.all()
        there = sorted(member.pool_ids & found.keys())
        return f"node {member.name} takes no new volumes: {sentence(there[0], found[there[0]])}" if there else ""

    async def give_up(self, name: str) -> None:
        """Nothing is known of ``name`` any more. FailedPrecondition while it answers."""
        member = self._members.get(name)
        if member is not None and member.is_seated:
            await self.look(member)
            if member.alive:
                raise errors.FailedPrecondition(f"node {name} answers; only one that will not come back is given up")
        await self._known.give_up(name)
        await self._follow()

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

        Unavailable, naming nodes, when it does not answer, or when the pool could be on one that does not. NotFound, with
        the way back, when the pool was given up.
        """
        parts = ids.split(object_id)
        if parts is None:
            return None
        if found := given_up(self.forgotten, object_id):
            raise errors.NotFound(f"{object_id} is not served: {sentence(parts[0], found)}")
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
        if missing := [member for member in self.all() if not member.alive and not self.is_over(member)]:
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
        asked = member.node if member.is_seated else None
        try:
            found = await member.node.describe()
        except errors.DomainError as error:
            if not _is_still(member, asked):
                return
            if member.alive:
                log.warning("node lost", node=member.name, message=error.message)
            member.problem, member.lost_before = error.message, True
        else:
            if _is_still(member, asked):
                await self._found(member, found)
        finally:
            member.looking = None
        if member.is_seated and not _is_still(member, asked):
            self._begin_look(member)

    async def _found(self, member: Member[N], found: Description) -> None:
        before = member.pool_ids
        news = not member.alive or member.pool_ids != {view.id for view in found.pools}
        member.description, member.problem, member.lost_before = found, "", False
        self._settle(member)
        if gone := {one for one in before - member.pool_ids if self._homes.get(one) is member}:
            for pool_id in gone:
                del self._homes[pool_id]
            # A lost node may have had it before.
            self._settle_anew()
        if news:
            log.info("node answers", node=member.name, node_id=found.node_id, pools=sorted(member.pool_ids))
            await self._remember(member, found)
            await self._changed(member)

    async def _remember(self, member: Member[N], found: Description) -> None:
        try:
            await self._known.describe(member.name, found)
        except errors.DomainError as error:
            # It answers all the same; only after a restart while it is lost would it be a stranger.
            log.warning("node not remembered", node=member.name, message=error.message)

    def _settle(self, member: Member[N]) -> None:
        """Its pools are on it: said by itself just now, or remembered and nobody else says so."""
        for pool_id in member.pool_ids:
            home = self._homes.get(pool_id)
            if not pool_id or pool_id in self.forgotten.all():
                continue
            if member.alive or home is None or not home.alive:
                self._homes[pool_id] = member

    def _settle_anew(self) -> None:
        """Pools were given up, or are not any more."""
        for pool_id in self._homes.keys() & self.forgotten.all().keys():
            del self._homes[pool_id]
        for member in self.all():
            self._settle(member)


def _is_still(member: Member[N], asked: N | None) -> bool:
    """Whether it is reached as when it was asked: what is heard of its old place says nothing of the new one."""
    return (member.node if member.is_seated else None) is asked


def _names(member: Member[N]) -> Iterable[str]:
    return (member.description.node_id,) if member.description else ()

"""The fleet: where each call goes. The call itself is the edge's: ``send(node, pool id)`` makes it, unchanged."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from ..engine import deadline
from ..model import errors, ids
from ..model.snapshot import GroupRequest, SnapshotRequest
from ..model.volume import VolumeRequest
from .choice import Choice
from .learning import Learning
from .memory import Memory
from .merge import Merge
from .nodes import Listed, Listing, N
from .placement import Placement
from .roster import Member, Roster
from .turns import Turns

T = TypeVar("T")
Send = Callable[[N, str], Awaitable[T]]
"""Makes the call on a node that is taken to have that pool (empty: any), and raises domain errors only."""

REFUSED = (
    errors.InvalidArgument,
    errors.OutOfRange,
    errors.NoSpace,
    errors.NotFound,
    errors.FailedPrecondition,
    errors.Unsupported,
)
"""Answers to a first try that are final: nothing was made, and the name is free to go elsewhere."""


HEARING = 10.0
"""Seconds a first create waits for nodes that are just being heard out, when its caller set no deadline."""


class Fleet(Generic[N]):
    """Construct with the configured nodes, ``start``, use, ``stop``; all on one event loop."""

    def __init__(self, nodes: Sequence[N], state_dir: Path) -> None:
        self.memory = Memory(state_dir)
        self._placement = Placement(state_dir)
        self._learning = Learning(self.memory, self._placement)
        self.roster: Roster[N] = Roster(nodes, self.memory, self._learning.begin)
        self.merge = Merge(self.roster, self.memory)
        self._choice = Choice(self.roster)
        self._turns = Turns()

    async def start(self) -> None:
        """Serving, with the nodes that answer."""
        await self._placement.open()
        await self.memory.open()
        await self.roster.start()

    async def stop(self) -> None:
        """Nothing is asked any more; what was noted is on the disk."""
        await self.roster.stop()
        await self._learning.stop()
        await self.memory.close()
        await self._placement.close()

    # -- by id -------------------------------------------------------------------------------------------------------

    async def call(self, object_id: str, send: Send[N, T]) -> T:
        """The answer of the node that has ``object_id``. An id that no node has goes to any: each says the same of it.

        Unavailable, naming it, when that node does not answer.
        """
        home, pool_id = await self.locate(object_id)
        try:
            return await send(home.node, pool_id)
        except errors.Unavailable:
            await self.roster.look(home)
            if pool_id in home.pool_ids or not pool_id:
                raise
            await self.roster.look_again()
            moved = self.roster.at_hand(pool_id)
            if moved is None:
                raise
        return await send(moved.node, pool_id)

    async def locate(self, object_id: str) -> tuple[Member[N], str]:
        """The node that has ``object_id`` and the pool it lies in; any node, and no pool, for an id that no node has."""
        home = await self.roster.holder(object_id)
        parts = ids.split(object_id)
        if home is None or parts is None:
            return self.roster.any(), ""
        return home, parts[0]

    async def delete(self, object_id: str, send: Send[N, T]) -> T:
        """As ``call``; once it is gone, its name is free."""
        parts = ids.split(object_id)
        if parts is None:
            return await self.call(object_id, send)
        async with self._turns.of(parts[1]):
            home = await self.roster.holder(object_id)
            answer = await self.call(object_id, send)
            await self.memory.forget(object_id)
            # A note that names another node is of a later object of that name, which is none of this call's business.
            if home is not None and await self._placement.of(parts[1]) == home.name:
                await self._placement.drop(parts[1])
            return answer

    async def remember(self, listing: Listing, entry: Listed) -> None:
        """``entry`` was just made, so it is listed also when its node is lost before it is heard again."""
        parts = ids.split(entry.id)
        home = self.roster.at_hand(parts[0]) if parts else None
        if home is None:
            return
        if listing == "volumes":
            # An answer to a repeated create does not know where the volume is attached meanwhile.
            await self.memory.add(listing, home.name, entry)
        else:
            await self.memory.put(listing, home.name, entry)

    # -- by name -----------------------------------------------------------------------------------------------------

    async def create_volume(self, request: VolumeRequest, send: Send[N, T]) -> T:
        """The volume, made on the node that the name went to before, else on the source's, else on the best one."""
        key = ids.local_part(ids.VOLUME, request.name)
        what = f"volume {request.name}"
        async with self._turns.of(key):
            placed = await self._placed(key)
            source = await self.roster.holder(request.source.id) if request.source else None
            if placed:
                self._refuse_elsewhere(what, placed, source)
                try:
                    return await self._again(placed, send)
                except errors.NoSpace:
                    # The node looked for the name first and did not find it: it is free to go elsewhere.
                    if request.source or len(self.roster.all()) == 1:
                        raise
                    await self._placement.drop(key)
            if request.source:
                return await self._first(key, source or self.roster.any(), send)
            await self._heard_all(what)
            refusals: list[str] = []
            for member in await self._choice.for_volume(request):
                try:
                    return await self._first(key, member, send)
                except errors.NoSpace as error:
                    refusals.append(f"node {member.name}: {error.message}")
            raise errors.NoSpace("; ".join(refusals))

    async def create_snapshot(self, request: SnapshotRequest, send: Send[N, T]) -> T:
        """The snapshot, on its source's node. AlreadyExists when the name went to another node before."""
        key = ids.local_part(ids.SNAPSHOT, request.name)
        return await self._create_beside(key, f"snapshot {request.name}", [request.source_id], send)

    async def create_group(self, request: GroupRequest, send: Send[N, T]) -> T:
        """The group snapshot, on the one node that all its members are on. FailedPrecondition, naming them, otherwise."""
        key = ids.local_part(ids.GROUP, request.name)
        return await self._create_beside(key, f"group snapshot {request.name}", request.source_ids, send)

    async def _create_beside(self, key: str, what: str, source_ids: Sequence[str], send: Send[N, T]) -> T:
        async with self._turns.of(key):
            homes = {one: await self.roster.holder(one) for one in source_ids}
            home = _only(what, homes)
            placed = await self._placed(key)
            if placed:
                self._refuse_elsewhere(what, placed, home)
                return await self._again(placed, send)
            await self._heard_all(what)
            return await self._first(key, home or self.roster.any(), send)

    async def _placed(self, key: str) -> Member[N] | None:
        """Where the name went: to the node in its note, or to the one that has its pool since."""
        name = await self._placement.of(key)
        if name is None:
            return None
        holders = [self.roster.at_hand(pool_id) for pool_id in await self.memory.pools_of(key)]
        if any(holder is not None and holder.name == name for holder in holders):
            return self.roster.named(name)
        return next((holder for holder in holders if holder is not None), self.roster.named(name))

    def _refuse_elsewhere(self, what: str, placed: Member[N], source: Member[N] | None) -> None:
        if source is not None and source is not placed:
            raise errors.AlreadyExists(
                f"{what} exists, or was begun, on node {placed.name}; its source is on node {source.name}"
            )

    async def _again(self, member: Member[N], send: Send[N, T]) -> T:
        await self.roster.need(member)
        return await send(member.node, "")

    async def _first(self, key: str, member: Member[N], send: Send[N, T]) -> T:
        await self._placement.put(key, member.name)
        try:
            return await send(member.node, "")
        except REFUSED:
            await self._placement.drop(key)
            raise

    async def _heard_all(self, what: str) -> None:
        names = [member.name for member in self.roster.all()]
        if missing := await self._placement.unheard(names):
            await self._learning.wait_for(missing, deadline.remaining(HEARING))
            missing = await self._placement.unheard(names)
        if missing:
            raise errors.Unavailable(
                f"{what} could exist already on node {', '.join(missing)}, which was never heard since this controller's "
                "state directory is new; try again once it answers, or take it out of the configuration"
            )


def _only(what: str, homes: dict[str, Member[N] | None]) -> Member[N] | None:
    """The one node among ``homes``; None when a source is on no node at all, which any node then says."""
    members = {home.name: home for home in homes.values() if home is not None}
    if len(members) > 1:
        where = "; ".join(f"{one} on node {home.name}" for one, home in homes.items() if home is not None)
        raise errors.FailedPrecondition(f"{what} cannot be cut at one moment over several nodes: {where}")
    return next(iter(members.values()), None)

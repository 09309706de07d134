"""The fleet: where each call goes. The call itself is the edge's: ``send(node, pool id)`` makes it, unchanged."""

import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from ..engine import deadline
from ..model import errors, ids
from ..model.snapshot import GroupRequest, SnapshotRequest
from ..model.volume import VolumeRequest
from .choice import Choice
from .claims import Claims, Hold
from .forgetting import Forgetting
from .forgotten import Forgotten, ForgottenFile, given_up
from .known import Known
from .learning import Learning
from .member import Member
from .membership import Membership
from .memory import Memory
from .merge import Merge
from .nodes import Listed, Listing, N
from .placement import Note, Placement
from .refusals import REFUSED, Changed, Full
from .releases import Releases
from .roster import Roster
from .turns import Turns

T = TypeVar("T")
Send = Callable[[N, str], Awaitable[T]]
"""Makes the call on a node that is taken to have that pool (empty: any), and raises domain errors only."""

HEARING = 10.0
"""Seconds a first create waits for nodes that are just being heard out, when its caller set no deadline."""


ROUNDS = 8
"""How often a name's note is looked at anew when other controllers keep changing it, before the caller is told to retry."""


class Fleet(Generic[N]):
    """Construct with the nodes there are and where names are noted, ``start``, use, ``stop``; all on one event loop.

    ``known`` is where nodes' descriptions are kept; this controller's own memory, if there is no other.
    """

    def __init__(
        self,
        membership: Membership[N],
        placement: Placement,
        state_dir: Path,
        known: Known | None = None,
        clock: Callable[[], float] = time.monotonic,
        forgotten: Forgotten | None = None,
    ) -> None:
        self.memory = Memory(state_dir)
        self._forgotten = forgotten or ForgottenFile(state_dir)
        self._placement = placement
        self._claims = Claims(placement, clock)
        self._releases = Releases(self._claims)
        self._learning = Learning(self.memory, self._placement, self._forgotten)
        self.roster: Roster[N] = Roster(membership, known or self.memory, self._forgotten, self._learning.begin)
        self.forgetting = Forgetting(self.roster, self.memory, self._placement, self._releases, self._learning)
        self.merge = Merge(self.roster, self.memory)
        self._choice = Choice(self.roster)
        self._turns = Turns()

    async def start(self) -> None:
        """Serving, with the nodes that answer."""
        await self._placement.open()
        await self._forgotten.open()
        await self.memory.open()
        await self.roster.start()

    async def stop(self) -> None:
        """Nothing is asked any more; what was noted is on the disk."""
        await self.roster.stop()
        await self._learning.stop()
        await self._releases.stop()
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

    async def delete(self, object_id: str, send: Send[N, T]) -> T | None:
        """As ``call``; once it is gone, its name is free. None, and nobody was asked, when its pool was given up."""
        parts = ids.split(object_id)
        if given_up(self._forgotten, object_id):
            await self.memory.forget(object_id)
            return None
        if parts is None:
            return await self.call(object_id, send)
        async with self._turns.of(parts[1]):
            home = await self.roster.holder(object_id)
            # Read before the call: a note that is claimed or joined from here on is not this call's to drop.
            note = await self._releases.noted(parts[1])
            answer = await self.call(object_id, send)
            await self.memory.forget(object_id)
            # A note that names another node is of a later object of that name, which is none of this call's business.
            if home is not None and note is not None and note.node == home.name:
                await self._releases.release(parts[1], note)
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
            refusals: dict[str, str] = {}
            note = await self._placement.of(key)
            for _ in range(ROUNDS):
                source = await self.roster.holder(request.source.id) if request.source else None
                try:
                    if note is not None:
                        return await self._follow(key, what, note, source, send)
                    if request.source:
                        return await self._first(key, what, source or self.roster.any(), send)
                    await self._heard_all(what)
                    return await self._first_of_all(key, what, request, refusals, send)
                except Full as full:
                    if request.source or len(self.roster.all()) == 1:
                        raise errors.NoSpace(full.message) from None
                    # The node looked for the name first and did not find it: it is free to go elsewhere.
                    if full.hold is None or await self._claims.drop(key, full.hold.note):
                        refusals[full.node] = full.message
                except Changed:
                    pass
                note = await self._placement.now(key)
            raise self._contended(what)

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
            note = await self._placement.of(key)
            for _ in range(ROUNDS):
                try:
                    if note is not None:
                        return await self._follow(key, what, note, home, send)
                    await self._heard_all(what)
                    return await self._first(key, what, home or self.roster.any(), send)
                except Full as full:
                    # There is one place only where it can be cut: the source's.
                    raise errors.NoSpace(full.message) from None
                except Changed:
                    note = await self._placement.now(key)
            raise self._contended(what)

    async def _follow(self, key: str, what: str, note: Note, source: Member[N] | None, send: Send[N, T]) -> T:
        """A name goes where it went before. Full when it is not there and has no room there; its note is as it was."""
        member = await self._placed(key, what, note)
        if member is None:
            await self._claims.drop(key, note)
            raise Changed
        if source is not None and source is not member:
            await self._confirm(key, note)
            raise errors.AlreadyExists(
                f"{what} exists, or was begun, on node {member.name}; its source is on node {source.name}"
            )
        try:
            await self.roster.need(member)
        except errors.Unavailable:
            with contextlib.suppress(errors.DomainError):
                await self._confirm(key, note)
            raise
        hold = await self._claims.join(key, note)
        if hold is None:
            raise Changed
        try:
            with self._claims.calling(hold, what):
                return await send(member.node, "")
        except errors.NoSpace as error:
            raise Full(member.name, error.message, hold) from None

    async def _confirm(self, key: str, note: Note) -> None:
        """The note says so still: what was read first is a hint. Changed otherwise."""
        there = await self._placement.now(key)
        if there is None or there.node != note.node:
            raise Changed

    async def _placed(self, key: str, what: str, note: Note) -> Member[N] | None:
        """Where the name went: to the node in its note, or to the one that has its pool since; None when that is given up.

        Unavailable for a node that only other controllers know yet.
        """
        holders = [self.roster.at_hand(pool_id) for pool_id in await self.memory.pools_of(key)]
        named = self.roster.named(note.node)
        if named is None or not any(holder is named for holder in holders):
            named = next((holder for holder in holders if holder is not None), named)
        if named is not None and self.roster.is_over(named):
            return None
        if named is None and not self.roster.gives_up(note.node):
            raise errors.Unavailable(f"{what} went to node {note.node}, which this controller does not know; try again")
        return named

    async def _first_of_all(
        self, key: str, what: str, request: VolumeRequest, refusals: dict[str, str], send: Send[N, T]
    ) -> T:
        """Made on the best node that does not refuse it. NoSpace with each one's reason when all do."""
        for member in await self._choice.for_volume(request):
            if member.name in refusals:
                continue
            try:
                return await self._first(key, what, member, send)
            except Full as full:
                refusals[full.node] = full.message
        raise errors.NoSpace("; ".join(f"node {name}: {message}" for name, message in refusals.items()))

    async def _first(self, key: str, what: str, member: Member[N], send: Send[N, T]) -> T:
        """The first try of a name. Changed when it is another controller's already, or has become so meanwhile."""
        node = member.node
        hold = await self._claims.claim(key, member.name)
        if hold is None:
            raise Changed
        try:
            with self._claims.calling(hold, what):
                return await send(node, "")
        except REFUSED as error:
            if not await self._free(hold, error):
                raise Changed from None
            if isinstance(error, errors.NoSpace):
                raise Full(member.name, error.message) from None
            raise

    async def _free(self, hold: Hold, refusal: errors.DomainError) -> bool:
        """The refused name is free again. A note that cannot be dropped now is of no harm to a final answer."""
        try:
            return await self._claims.drop(hold.key, hold.note)
        except errors.DomainError:
            if isinstance(refusal, errors.NoSpace):
                raise
            self._releases.later(hold.key, hold.note)
            return True

    def _contended(self, what: str) -> errors.Busy:
        return errors.Busy(f"{what}: other controllers changed its placement {ROUNDS} times meanwhile; try again")

    async def _heard_all(self, what: str) -> None:
        names = [member.name for member in self.roster.all() if member.is_expected and not self.roster.is_over(member)]
        if missing := await self._placement.unheard(names):
            await self._learning.wait_for(missing, deadline.remaining(HEARING))
            missing = await self._placement.unheard(names)
        if missing:
            raise errors.Unavailable(
                f"{what} could exist already on node {', '.join(missing)}, which was never heard since the "
                "notes are new; try again once it answers, or take it out of the configuration"
            )


def _only(what: str, homes: dict[str, Member[N] | None]) -> Member[N] | None:
    """The one node among ``homes``; None when a source is on no node at all, which any node then says."""
    members = {home.name: home for home in homes.values() if home is not None}
    if len(members) > 1:
        where = "; ".join(f"{one} on node {home.name}" for one, home in homes.items() if home is not None)
        raise errors.FailedPrecondition(f"{what} cannot be cut at one moment over several nodes: {where}")
    return next(iter(members.values()), None)

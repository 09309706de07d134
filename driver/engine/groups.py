"""Group snapshots: all members as of one moment, or none.

| step | a crash after it leaves |
|---|---|
| commit per pool: members ``cutting``; then the group ``cutting`` in the first member's pool | intents; a retry begins anew |
| freeze all, cut all, thaw all | cuts nobody sees; the retry throws them away and cuts all again, at one moment |
| commit per pool: members ``ready`` with their group | members listed, the group not yet; the retry cuts all again |
| commit: group ``ready`` | the group |
"""

import contextlib
import functools
import time

import msgspec

from ..backends import base
from ..model import errors, ids
from ..model.snapshot import Group, GroupRequest, GroupView, Snapshot
from ..model.volume import Volume
from ..state.ledger import Drop, Put
from .inflight import Inflight
from .pool import Pool
from .pools import Pools
from .snapshots import Snapshots
from .sources import Sources
from .trash import TrashCan


class Groups:
    """The group snapshots of all our pools."""

    def __init__(
        self, pools: Pools, inflight: Inflight, snapshots: Snapshots, sources: Sources, trash: TrashCan
    ) -> None:
        self._pools = pools
        self._inflight = inflight
        self._snapshots = snapshots
        self._sources = sources
        self._trash = trash

    async def create(self, request: GroupRequest) -> GroupView:
        """The group snapshot of that name, consistent across its members (CSI CreateVolumeGroupSnapshot).

        AlreadyExists for other sources or parameters; NotFound for a missing source; FailedPrecondition naming a member
        whose pool cannot cut in constant time.
        """
        ids.checked_name(request.name, "the group snapshot")
        if not request.source_ids:
            raise errors.InvalidArgument(f"group snapshot {request.name} has no source_volume_ids; they are required")
        if len(set(request.source_ids)) != len(request.source_ids):
            raise errors.InvalidArgument(f"group snapshot {request.name} names a source volume twice")
        return await self._inflight.run(
            ids.local_part(ids.GROUP, request.name), ("group", request), lambda: self._held(request)
        )

    async def _held(self, request: GroupRequest) -> GroupView:
        # Held by the work itself, not by its caller, who may leave before it is done.
        with contextlib.ExitStack() as holds:
            for source_id in request.source_ids:
                holds.enter_context(self._inflight.hold(source_id, f"the group snapshot {request.name}"))
            return await self._create(request)

    async def _create(self, request: GroupRequest) -> GroupView:
        found = await self._pools.find(ids.GROUP, request.name, {})
        if found is not None:
            group = found[1]
            assert isinstance(group, Group)
            if set(group.source_ids) != set(request.source_ids):
                raise errors.AlreadyExists(f"group snapshot {request.name} exists, of other volumes")
            if group.asked != request.parameters:
                raise errors.AlreadyExists(f"group snapshot {request.name} exists: its parameters differ")
            if group.state == "ready":
                return await self._view(group)
        members = [
            (self._pools.of(one, "source volume"), await self._source(one)) for one in sorted(request.source_ids)
        ]
        home = members[0][0]
        for pool, volume in members:
            if not await self._sources.shares(pool):
                raise errors.FailedPrecondition(
                    f"volume {volume.id} cannot be part of group snapshot {request.name}: pool {pool.name} does not share "
                    "extents, so it cannot be cut at the same moment; use a pool on xfs or btrfs"
                )
        self._refuse_moving(request.name, members)
        group = Group(
            id=ids.derive(home.id, ids.GROUP, request.name),
            pool_id=home.id,
            name=request.name,
            source_ids=tuple(volume.id for _, volume in members),
            snapshot_ids=tuple(
                ids.derive(pool.id, ids.SNAPSHOT, _member_name(request.name, volume)) for pool, volume in members
            ),
            state="cutting",
            asked=request.parameters,
            created_at=time.time(),
        )
        cuts = await self._intend(group, members)
        try:
            await home.run_long(self._cut_all, cuts)
        except errors.DomainError:
            await self._forget(group, home, cuts)
            raise
        for pool, snapshot, _ in cuts:
            await self._snapshots.complete(pool, snapshot)
        ready = msgspec.structs.replace(group, state="ready")
        await home.commit(Put(ready))
        return await self._view(ready)

    def _refuse_moving(self, name: str, members: list[tuple[Pool, Volume]]) -> None:
        """InUse when two members would be written to between their cuts: one alone is cut at an instant of its own."""
        moving = [volume.id for pool, volume in members if self._sources.moves(pool, volume)]
        if len(moving) > 1:
            raise errors.InUse(
                f"volumes {', '.join(moving)} are open for writing and cannot be held still together (only a filesystem "
                f"of a volume's own can be frozen), so group snapshot {name} would not be of one moment; unpublish all "
                "of them but one first"
            )

    async def _source(self, volume_id: str) -> Volume:
        volume = await self._pools.of(volume_id, "source volume").get("volume", volume_id)
        if not isinstance(volume, Volume) or volume.state != "ready":
            raise errors.NotFound(f"source volume {volume_id} does not exist")
        return volume

    async def _intend(self, group: Group, members: list[tuple[Pool, Volume]]) -> list[tuple[Pool, Snapshot, Volume]]:
        cuts = []
        for pool, volume in members:
            snapshot_id = ids.derive(pool.id, ids.SNAPSHOT, _member_name(group.name, volume))
            stale = await pool.get("snapshot", snapshot_id)
            if isinstance(stale, Snapshot):
                # A crash left this member cut at another moment than the others will be.
                await self._snapshots.discard(pool, stale)
            snapshot, estimate = await self._snapshots.prepare(
                pool, volume, _member_name(group.name, volume), group.asked, group.id
            )
            with pool.capacity.promise(estimate):
                await pool.commit(Put(snapshot))
            cuts.append((pool, snapshot, volume))
        await members[0][0].commit(Put(group))
        return cuts

    def _cut_all(self, cuts: list[tuple[Pool, Snapshot, Volume]]) -> None:
        paths = [path for pool, _, volume in cuts for path in self._sources.frozen_paths(pool, volume)]
        with self._sources.still(paths):
            for pool, snapshot, volume in cuts:
                assert isinstance(pool.backend, base.Snapshots)
                pool.backend.ensure_cut(snapshot, volume)

    async def _forget(self, group: Group, home: Pool, cuts: list[tuple[Pool, Snapshot, Volume]]) -> None:
        for pool, snapshot, _ in cuts:
            await self._snapshots.discard(pool, snapshot)
        await home.commit(Drop("group", group.id))

    async def delete(self, group_id: str, snapshot_ids: tuple[str, ...]) -> None:
        """Neither the group nor its members exist. InvalidArgument when ``snapshot_ids`` are not its members."""
        if not group_id:
            raise errors.InvalidArgument("group_snapshot_id is empty; it is required")
        if not ids.is_kind(group_id, ids.GROUP) or not self._pools.knows(group_id):
            return
        await self._inflight.run(
            group_id, ("delete", group_id, snapshot_ids), lambda: self._delete(group_id, snapshot_ids)
        )

    async def _delete(self, group_id: str, snapshot_ids: tuple[str, ...]) -> None:
        home = self._pools.of(group_id, "group snapshot")
        group = await home.get("group", group_id)
        if group is None:
            return
        assert isinstance(group, Group)
        _check_members(group, snapshot_ids)
        for snapshot_id in group.snapshot_ids:
            pool = self._pools.of(snapshot_id, "snapshot")
            await self._inflight.run(
                snapshot_id, ("delete", group_id), functools.partial(self._discard, pool, snapshot_id)
            )
        await home.commit(Drop("group", group_id))

    async def _discard(self, pool: Pool, snapshot_id: str) -> None:
        snapshot = await pool.get("snapshot", snapshot_id)
        if isinstance(snapshot, Snapshot):
            await self._snapshots.discard(pool, snapshot)

    async def get(self, group_id: str, snapshot_ids: tuple[str, ...]) -> GroupView:
        """The group with its members. NotFound; InvalidArgument when ``snapshot_ids`` are not its members."""
        if not group_id:
            raise errors.InvalidArgument("group_snapshot_id is empty; it is required")
        if ids.is_kind(group_id, ids.GROUP):
            group = await self._pools.of(group_id, "group snapshot").get("group", group_id)
            if isinstance(group, Group) and group.state == "ready":
                _check_members(group, snapshot_ids)
                return await self._view(group)
        raise errors.NotFound(f"group snapshot {group_id[:200]} does not exist")

    async def _view(self, group: Group) -> GroupView:
        members = []
        for snapshot_id in group.snapshot_ids:
            snapshot = await self._pools.of(snapshot_id, "snapshot").get("snapshot", snapshot_id)
            if isinstance(snapshot, Snapshot):
                members.append(snapshot)
        return GroupView(group, tuple(members))


def _member_name(group_name: str, volume: Volume) -> str:
    # A control character, which no CO's name may hold: a member never shares its name with a snapshot of its own.
    return f"{group_name}\x00{volume.id}"


def _check_members(group: Group, snapshot_ids: tuple[str, ...]) -> None:
    if snapshot_ids and set(snapshot_ids) != set(group.snapshot_ids):
        raise errors.InvalidArgument(
            f"snapshot_ids of group {group.id} are {', '.join(group.snapshot_ids)}, not {', '.join(snapshot_ids)[:500]}"
        )

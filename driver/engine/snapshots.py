"""Snapshots: cut at one moment, or not at all.

Where the pool shares extents:
| step | a crash after it leaves |
|---|---|
| commit: record ``cutting`` with its reservation | an intent nobody sees; a retry goes on, DeleteSnapshot forgets it |
| freeze, cut, thaw | a cut nobody sees; the retry cuts anew. A frozen filesystem is thawed by the guard and at start |
| commit: record ``ready`` | the snapshot |

Elsewhere, from a source nobody writes to: commit record ``copying`` and its Task together; the Task copies; commit ready.
"""

import asyncio
import time

import msgspec

from ..backends import base
from ..model import errors, ids
from ..model.records import TaskRecord
from ..model.snapshot import Snapshot, SnapshotRequest
from ..model.volume import Volume
from ..state.ledger import Drop, Put
from . import listing, placement, tasks
from .inflight import Inflight
from .pool import Pool
from .pools import Pools
from .sources import Sources
from .trash import TrashCan
from .uses import Uses


class Snapshots:
    """The snapshots of all our pools."""

    def __init__(
        self, pools: Pools, inflight: Inflight, uses: Uses, sources: Sources, trash: TrashCan, task_table: tasks.Tasks
    ) -> None:
        self._pools = pools
        self._inflight = inflight
        self._uses = uses
        self._sources = sources
        self._trash = trash
        self._tasks = task_table

    async def create(self, request: SnapshotRequest) -> Snapshot:
        """The snapshot of that name (CSI CreateSnapshot); ``ready`` is false while a copy is under way.

        AlreadyExists for another source or other parameters, NotFound for a missing source, InUse with the remedy when a
        copy would be needed from a volume open for writing, NoSpace, Unplaceable for a topology the pool is not in.
        """
        ids.checked_name(request.name, "the snapshot")
        if not request.source_id:
            raise errors.InvalidArgument(f"snapshot {request.name} has no source_volume_id; it is required")
        return await self._inflight.run(
            ids.local_part(ids.SNAPSHOT, request.name), ("snapshot", request), lambda: self._held(request)
        )

    async def _held(self, request: SnapshotRequest) -> Snapshot:
        # Held by the work itself, not by its caller, who may leave before it is done.
        with self._inflight.hold(request.source_id, f"the snapshot {request.name}"):
            return await self._create(request)

    async def _create(self, request: SnapshotRequest) -> Snapshot:
        found = await self._pools.find(ids.SNAPSHOT, request.name, {})
        if found is not None:
            pool, snapshot = found
            assert isinstance(snapshot, Snapshot)
            _check_same(snapshot, request)
            if snapshot.state != "cutting":
                await self._resume_copy(pool, snapshot)
                return snapshot
            # What an earlier try may have cut is of an earlier moment than the one this call would claim.
            await self.discard(pool, snapshot)
        pool = self._pools.of(request.source_id, "source volume")
        source = await pool.get("volume", request.source_id)
        if not isinstance(source, Volume) or source.state != "ready":
            raise errors.NotFound(f"source volume {request.source_id} does not exist")
        if not placement.in_topology(self._pools.topology(pool), request.requisite):
            raise errors.Unplaceable(
                f"volumes from a snapshot of {request.source_id} can only be on node {pool.node_id}, "
                "outside the wanted topology"
            )
        snapshot, estimate = await self.prepare(pool, source, request.name, request.parameters)
        if not await self._sources.shares(pool):
            return await self._copy(pool, snapshot, source, estimate)
        with pool.capacity.promise(estimate):
            await pool.commit(Put(snapshot))
        await pool.run(self._cut, pool, snapshot, source)
        return await self.complete(pool, snapshot)

    async def prepare(
        self, pool: Pool, source: Volume, name: str, parameters: dict[str, str], group_id: str = ""
    ) -> tuple[Snapshot, int]:
        """The intent for a snapshot of ``source``, and the bytes it must be promised. Nothing is written."""
        backend = pool.backend
        snapshot = Snapshot(
            id=ids.derive(pool.id, ids.SNAPSHOT, name),
            pool_id=pool.id,
            name=name,
            source_id=source.id,
            size=source.size,
            kind=source.kind,
            fs_type=source.fs_type,
            state="cutting",
            asked=parameters,
            attributes=source.attributes,
            formatted=source.formatted,
            consistency="filesystem" if source.kind == "filesystem" else "crash",
            group_id=group_id,
            created_at=time.time(),
        )
        if not isinstance(backend, base.SnapshotStore):
            able = self._pools.able("snapshots") + self._pools.able("copies")
            raise errors.FailedPrecondition(
                f"pool {pool.name} ({backend.kind}) cannot make snapshots; pools that can: {', '.join(able) or 'none'}"
            )
        await self._trash.clear_way(pool, snapshot.id)
        await pool.observe()
        estimate = await pool.run(backend.snapshot_allocated, snapshot, source)
        if estimate > pool.capacity.available:
            await self._trash.wait_for_room(pool, estimate)
        return msgspec.structs.replace(snapshot, reserved=estimate), estimate

    def _cut(self, pool: Pool, snapshot: Snapshot, source: Volume) -> None:
        backend = pool.backend
        assert isinstance(backend, base.Snapshots)
        with self._sources.still(self._sources.frozen_paths(pool, source)):
            backend.ensure_cut(snapshot, source)

    async def complete(self, pool: Pool, snapshot: Snapshot) -> Snapshot:
        """The snapshot, ready and listed."""
        ready = msgspec.structs.replace(snapshot, state="ready")
        await pool.commit(Put(ready))
        return ready

    async def _copy(self, pool: Pool, snapshot: Snapshot, source: Volume, estimate: int) -> Snapshot:
        backend = pool.backend
        if not isinstance(backend, base.Copies):
            raise errors.FailedPrecondition(f"pool {pool.name} cannot make snapshots on this filesystem")
        self._sources.refuse_unless_quiet(source.id, f"snapshot {snapshot.name}")
        total = await pool.run(backend.copy_total, source)
        task = TaskRecord(id=f"copy-{snapshot.id}", kind="copy", subject=snapshot.id, total=total)
        copying = msgspec.structs.replace(snapshot, state="copying")
        with pool.capacity.promise(estimate):
            await pool.commit(Put(copying), Put(task))
        running = self._sources.copy_snapshot(pool, copying, source, task)
        # A small copy is done before the caller could ask again.
        if await self._tasks.join(running, 0.5):
            done = await pool.get("snapshot", copying.id)
            if isinstance(done, Snapshot):
                return done
        return copying

    async def _resume_copy(self, pool: Pool, snapshot: Snapshot) -> None:
        """A copy that failed or that a restart cut short goes on."""
        if snapshot.state != "copying" or self._tasks.find(f"copy-{snapshot.id}"):
            return
        task = await pool.get("task", f"copy-{snapshot.id}")
        source = await pool.get("volume", snapshot.source_id)
        if isinstance(task, TaskRecord) and isinstance(source, Volume):
            self._sources.refuse_unless_quiet(source.id, f"snapshot {snapshot.name}")
            self._sources.copy_snapshot(pool, snapshot, source, task)

    async def resume(self, pool: Pool) -> None:
        """Copies that the last process did not finish go on; called when a pool was opened."""
        for record in await pool.run(lambda: pool.ledger.page("task", listed_only=True)):
            if not isinstance(record, TaskRecord) or record.kind not in ("copy", "fill"):
                continue
            subject = await pool.get("snapshot" if record.kind == "copy" else "volume", record.subject)
            if isinstance(subject, Snapshot) and subject.state == "copying":
                source = await pool.get("volume", subject.source_id)
                if isinstance(source, Volume):
                    self._sources.copy_snapshot(pool, subject, source, record)
            elif isinstance(subject, Volume) and subject.state == "filling" and subject.source:
                origin = await pool.get(subject.source.kind, subject.source.id)
                if isinstance(origin, Volume | Snapshot):
                    self._sources.fill_by_copy(pool, subject, origin, record)
            else:
                await pool.commit(Drop("task", record.id))

    async def delete(self, snapshot_id: str) -> None:
        """No snapshot of that id exists (CSI DeleteSnapshot). InvalidArgument for a member of a group."""
        if not snapshot_id:
            raise errors.InvalidArgument("snapshot_id is empty; it is required")
        if not ids.is_kind(snapshot_id, ids.SNAPSHOT) or not self._pools.knows(snapshot_id):
            return
        await self._inflight.run(snapshot_id, ("delete", snapshot_id), lambda: self._delete(snapshot_id))

    async def _delete(self, snapshot_id: str) -> None:
        pool = self._pools.of(snapshot_id)
        snapshot = await pool.get("snapshot", snapshot_id)
        if snapshot is None:
            return
        assert isinstance(snapshot, Snapshot)
        if snapshot.group_id:
            raise errors.InvalidArgument(
                f"snapshot {snapshot_id} belongs to group {snapshot.group_id}; delete the group instead"
            )
        await self.discard(pool, snapshot)

    async def discard(self, pool: Pool, snapshot: Snapshot) -> None:
        """Its record is gone and its data in the trash; a copy under way ends first."""
        if running := self._tasks.find(f"copy-{snapshot.id}"):
            running.stopping = True
            await asyncio.wait({running.finished})
        also = [Drop("task", f"copy-{snapshot.id}")] if snapshot.state == "copying" else []
        await self._trash.discard(pool, snapshot, also)

    async def get(self, snapshot_id: str) -> Snapshot:
        """The snapshot, once cut (CSI GetSnapshot). NotFound."""
        if not snapshot_id:
            raise errors.InvalidArgument("snapshot_id is empty; it is required")
        if ids.is_kind(snapshot_id, ids.SNAPSHOT):
            record = await self._pools.of(snapshot_id, "snapshot").get("snapshot", snapshot_id)
            if isinstance(record, Snapshot) and record.state != "cutting":
                return record
        raise errors.NotFound(f"snapshot {snapshot_id[:200]} does not exist")

    async def page(
        self, starting_token: str, limit: int, source_id: str = "", snapshot_id: str = ""
    ) -> "listing.Page[Snapshot]":
        """Snapshots that are cut, in order of id (CSI ListSnapshots); unknown filters give an empty list."""
        query = listing.snapshots_query(source_id, snapshot_id)
        if snapshot_id:
            listing.position(query, starting_token)
            try:
                one = await self.get(snapshot_id)
            except errors.NotFound:
                return listing.Page([])
            return listing.Page([one] if source_id in ("", one.source_id) else [])

        async def read(pool: Pool, after: str, count: int) -> list[Snapshot]:
            records = await pool.run(
                lambda: pool.ledger.page(
                    "snapshot", after=after, limit=count, parent=source_id or None, listed_only=True
                )
            )
            return [record for record in records if isinstance(record, Snapshot)]

        return await listing.page(query, starting_token, limit, self._pools.shelves(read), lambda one: one.id)

    def topology(self, snapshot: Snapshot) -> dict[str, str]:
        """Where volumes made from it can be."""
        return self._pools.topology(self._pools.of(snapshot.id, "snapshot"))


def _check_same(snapshot: Snapshot, request: SnapshotRequest) -> None:
    if snapshot.source_id != request.source_id:
        raise errors.AlreadyExists(
            f"snapshot {snapshot.name} exists: it is of volume {snapshot.source_id}, not {request.source_id}"
        )
    if snapshot.asked != request.parameters:
        raise errors.AlreadyExists(f"snapshot {snapshot.name} exists: its parameters differ")
    if snapshot.group_id:
        raise errors.AlreadyExists(f"snapshot {snapshot.name} exists as a member of group {snapshot.group_id}")

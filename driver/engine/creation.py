"""CreateVolume: a volume of a name, made now or by an earlier try.

Empty: make the (unsynced) empty data, then one commit of the ready record. A crash before the commit leaves something
empty that nobody lists; the retry finds it. A crash after it may leave a record without data; an empty, never formatted
volume is made again at its first stage. From a source: engine/sources.py.
"""

import contextlib
import time
from collections.abc import Iterator

import msgspec

from ..backends import base
from ..model import errors, ids
from ..model.records import TaskRecord
from ..model.snapshot import Snapshot
from ..model.volume import Source, Volume, VolumeRequest
from ..state.ledger import Put
from . import deadline, placement, specification, tasks
from .inflight import Inflight
from .pool import Pool
from .pools import Pools
from .sources import Sources
from .trash import TrashCan


class Creation:
    """Makes the volumes of all our pools."""

    def __init__(
        self, pools: Pools, inflight: Inflight, sources: Sources, trash: TrashCan, task_table: tasks.Tasks
    ) -> None:
        self._pools = pools
        self._inflight = inflight
        self._sources = sources
        self._trash = trash
        self._tasks = task_table

    async def create(self, request: VolumeRequest) -> Volume:
        """The volume of that name, made now or by an earlier try (CSI CreateVolume).

        Raises AlreadyExists when the name holds something else, NotFound for a missing source, OutOfRange, NoSpace,
        Unplaceable, InvalidArgument as the request is at fault, Busy while a copy into it is still under way.
        """
        wanted = specification.read(request)
        volume = await self._inflight.run(
            ids.local_part(ids.VOLUME, request.name), ("create", request), lambda: self._held(request, wanted)
        )
        return volume if volume.state == "ready" else await self._joined(volume)

    @contextlib.contextmanager
    def _holding(self, source: Source | None, reason: str) -> Iterator[None]:
        if source is None:
            yield
            return
        with self._inflight.hold(source.id, reason):
            yield

    async def _held(self, request: VolumeRequest, wanted: specification.Wanted) -> Volume:
        # Held by the work itself, not by its caller, who may leave before it is done.
        with self._holding(request.source, f"the creation of volume {request.name}"):
            return await self._create(request, wanted)

    async def _create(self, request: VolumeRequest, wanted: specification.Wanted) -> Volume:
        found = await self._pools.find(ids.VOLUME, request.name, request.parameters, request.requisite)
        if found is not None:
            pool, volume = found
            assert isinstance(volume, Volume)
            specification.check_same(volume, request, wanted, self._pools.topology(pool))
            return volume if volume.state == "ready" else await self._go_on(pool, volume)
        if request.source is not None:
            return await self._create_from(request, request.source, wanted)
        return await self._create_empty(request, wanted)

    async def _create_empty(self, request: VolumeRequest, wanted: specification.Wanted) -> Volume:
        pool, shape = await self._choose(request, wanted)
        size = _size(request, shape)
        volume = _record(pool, request, shape, size)
        await self._trash.clear_way(pool, volume.id)
        if size > pool.capacity.available:
            await self._trash.wait_for_room(pool, size)
        with pool.capacity.promise(size):
            await pool.run(pool.backend.ensure_created, volume)
            await pool.commit(Put(volume))
        return volume

    async def _choose(self, request: VolumeRequest, wanted: specification.Wanted) -> tuple[Pool, base.Shape]:
        meant = self._pools.meant(request.parameters, request.requisite)
        shapes: dict[str, base.Shape] = {}
        candidates: list[placement.Candidate] = []
        out_of_range: errors.OutOfRange | None = None
        for pool in meant:
            view = pool.view(self._pools.topology(pool))
            try:
                shape = _shape(pool, wanted, request)
                need = _size(request, shape)
            except errors.InvalidArgument as error:
                candidates.append(placement.Candidate(view, refusal=error.message))
                continue
            except errors.OutOfRange as error:
                out_of_range = error
                candidates.append(placement.Candidate(view, refusal=error.message))
                continue
            shapes[pool.id] = shape
            if pool.usable:
                await pool.observe()
                view = pool.view(self._pools.topology(pool))
                if self._trash.waiting(pool) and view.available < need:
                    await self._trash.wait_for_room(pool, need)
                    view = pool.view(self._pools.topology(pool))
            candidates.append(placement.Candidate(view, need=need))
        if out_of_range and not shapes:
            raise out_of_range
        chosen = placement.choose(candidates, request.preferred, f"volume {request.name}")
        return self._pools.by_id(chosen.view.id), shapes[chosen.view.id]

    async def _create_from(self, request: VolumeRequest, source: Source, wanted: specification.Wanted) -> Volume:
        pool = self._pools.of(source.id, f"source {source.kind}")
        origin = await self._sources.find(pool, source)
        view = pool.view(self._pools.topology(pool))
        if why := placement.mismatch(view, request.parameters, ()):
            raise errors.InvalidArgument(f"source {source.kind} {source.id} lies in pool {pool.name}, which {why}")
        if not placement.in_topology(view.topology, request.requisite):
            raise errors.Unplaceable(
                f"source {source.kind} {source.id} lies on node {pool.node_id}, outside the wanted topology"
            )
        if wanted.kind != origin.kind:
            raise errors.InvalidArgument(f"source {source.id} is a {origin.kind} volume, {wanted.kind} is asked for")
        if wanted.fs_type and wanted.fs_type != origin.fs_type:
            raise errors.InvalidArgument(
                f"source {source.id} has filesystem {origin.fs_type or 'none'}, {wanted.fs_type} is asked for"
            )
        inherited = specification.Wanted(origin.kind, origin.fs_type)
        shape = _shape(pool, inherited, request)
        shape = msgspec.structs.replace(shape, minimum=max(shape.minimum, origin.size), default=origin.size)
        size = _size(request, shape)
        devices = isinstance(pool.backend, base.Devices)
        copied = origin.formatted and origin.kind == "filesystem" and devices
        volume = msgspec.structs.replace(
            _record(pool, request, shape, size),
            state="filling",
            formatted=origin.formatted,
            fresh_uuid=copied,
            grow=copied and size > origin.size,
        )
        await self._trash.clear_way(pool, volume.id)
        if isinstance(origin, Volume) and not await self._sources.shares(pool):
            self._sources.refuse_unless_quiet(origin.id, f"clone {request.name}")
        await pool.observe()
        if size > pool.capacity.available:
            await self._trash.wait_for_room(pool, size)
        with pool.capacity.promise(size):
            return await self._fill(pool, volume, origin)

    async def _fill(self, pool: Pool, volume: Volume, origin: Volume | Snapshot) -> Volume:
        if await self._sources.shares(pool):
            await pool.commit(Put(volume))
            return await self._sources.fill_shared(pool, volume, origin)
        if not isinstance(pool.backend, base.Copies):
            able = self._pools.able("snapshots")
            raise errors.FailedPrecondition(f"pool {pool.name} cannot copy volumes; pools that can: {', '.join(able)}")
        total = await pool.run(pool.backend.copy_total, origin)
        task = TaskRecord(id=f"fill-{volume.id}", kind="fill", subject=volume.id, total=total)
        await pool.commit(Put(volume), Put(task))
        self._sources.fill_by_copy(pool, volume, origin, task)
        return volume

    async def _go_on(self, pool: Pool, volume: Volume) -> Volume:
        """An earlier try got as far as the intent: finish it, or join the Task that does."""
        assert volume.source is not None
        origin = await self._sources.find(pool, volume.source)
        if await self._sources.shares(pool):
            return await self._sources.fill_shared(pool, volume, origin)
        task = await pool.get("task", f"fill-{volume.id}") or TaskRecord(
            id=f"fill-{volume.id}", kind="fill", subject=volume.id
        )
        assert isinstance(task, TaskRecord)
        if isinstance(origin, Volume):
            self._sources.refuse_unless_quiet(origin.id, f"clone {volume.name}")
        self._sources.fill_by_copy(pool, volume, origin, task)
        return volume

    async def _joined(self, volume: Volume) -> Volume:
        running = self._tasks.find(f"fill-{volume.id}")
        if running is None or await self._tasks.join(running, deadline.remaining(30.0)):
            current = await self._pools.of(volume.id).get("volume", volume.id)
            if isinstance(current, Volume) and current.state == "ready":
                return current
        words = running.words if running else "not started"
        raise errors.Busy(f"volume {volume.name} is still being filled from its source ({words}); try again")


def _shape(pool: Pool, wanted: specification.Wanted, request: VolumeRequest) -> base.Shape:
    return pool.backend.shape(
        kind=wanted.kind,
        fs_type=wanted.fs_type,
        parameters=placement.backend_parameters(request.parameters),
        mutable=request.mutable,
    )


def _size(request: VolumeRequest, shape: base.Shape) -> int:
    size = request.size.choose(default=shape.default, minimum=shape.minimum, what=f"volume {request.name}")
    if size > shape.maximum:
        raise errors.OutOfRange(
            f"volume {request.name} of {size} bytes is larger than the largest possible, {shape.maximum} bytes"
        )
    return size


def _record(pool: Pool, request: VolumeRequest, shape: base.Shape, size: int) -> Volume:
    return Volume(
        id=ids.derive(pool.id, ids.VOLUME, request.name),
        pool_id=pool.id,
        name=request.name,
        kind=shape.kind,
        fs_type=shape.fs_type,
        size=size,
        asked=request.parameters,
        asked_mutable=request.mutable,
        attributes=shape.attributes,
        source=request.source,
        context={"pool": pool.name, "backend": pool.backend.kind},
        reserved=size,
        created_at=time.time(),
    )

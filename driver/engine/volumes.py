"""Volumes: create, delete, look up, list, grow, change, and how much more there is room for.

Create, empty: make the (unsynced) empty data, then one commit of the ready record. A crash before the commit leaves
something empty that nobody lists; the retry finds it. A crash after it may leave a record without data; an empty,
never formatted volume is made again at its first stage. Create from a source: engine/sources.py. Delete: engine/trash.py.

Expand: the backend resizes durably, then the record follows. A crash between leaves a volume larger than its record; the
retry finds it resized. Modify: the backend puts the attributes in force, then the record follows; the retry repeats it.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence

import msgspec

from ..backends import base
from ..model import errors, ids
from ..model.capability import Capability
from ..model.capacity import Room
from ..model.records import TaskRecord
from ..model.sizes import SizeRange
from ..model.snapshot import Snapshot
from ..model.volume import Source, Volume, VolumeRequest
from ..state.ledger import Change, Drop, Put
from . import deadline, listing, placement, specification, tasks
from .grants import Grants
from .inflight import Inflight
from .pool import Pool
from .pools import Pools
from .sources import Sources
from .trash import TrashCan
from .uses import Uses


class VolumeEntry(msgspec.Struct, frozen=True):
    """A volume as listed, with the nodes it is granted to or staged on."""

    volume: Volume
    node_ids: tuple[str, ...]


class Volumes:
    """The volumes of all our pools."""

    def __init__(
        self,
        pools: Pools,
        inflight: Inflight,
        uses: Uses,
        grants: Grants,
        sources: Sources,
        trash: TrashCan,
        task_table: tasks.Tasks,
    ) -> None:
        self._pools = pools
        self._inflight = inflight
        self._uses = uses
        self._grants = grants
        self._sources = sources
        self._trash = trash
        self._tasks = task_table

    # -- create ------------------------------------------------------------------------------------------------------

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
            current = await self.get(volume.id)
            if current.state == "ready":
                return current
        words = running.words if running else "not started"
        raise errors.Busy(f"volume {volume.name} is still being filled from its source ({words}); try again")

    # -- delete, look up, list ---------------------------------------------------------------------------------------

    async def delete(self, volume_id: str) -> None:
        """No volume of that id exists (CSI DeleteVolume). InUse or FailedPrecondition, with the remedy, changes nothing."""
        if not volume_id:
            raise errors.InvalidArgument("volume_id is empty; it is required")
        if not ids.is_kind(volume_id, ids.VOLUME) or not self._pools.knows(volume_id):
            return
        await self._inflight.run(volume_id, ("delete", volume_id), lambda: self._delete(volume_id))

    async def _delete(self, volume_id: str) -> None:
        pool = self._pools.of(volume_id)
        volume = await pool.get("volume", volume_id)
        if volume is None:
            return
        assert isinstance(volume, Volume)
        if use := self._uses.of(volume_id):
            raise errors.InUse(f"volume {volume_id} is staged at {use.staging_path}; unpublish and unstage it first")
        if nodes := self._grants.nodes_of(volume_id):
            raise errors.InUse(f"volume {volume_id} is attached to node {', '.join(nodes)}; unpublish it there first")
        await self._refuse_shared_wipe(pool, volume)
        also: list[Change] = []
        if running := self._tasks.find(f"fill-{volume_id}"):
            running.stopping = True
            await asyncio.wait({running.finished})
        if volume.state != "ready":
            also.append(Drop("task", f"fill-{volume_id}"))
        if isinstance(pool.backend, base.Devices):
            await pool.run(pool.backend.detach, volume)
        await self._trash.discard(pool, volume, also)

    async def _refuse_shared_wipe(self, pool: Pool, volume: Volume) -> None:
        wipe = volume.attributes.get("wipe", "none")
        if wipe == "none":
            return
        snapshots = await pool.run(lambda: pool.ledger.page("snapshot", parent=volume.id, limit=5))
        clones = await pool.run(lambda: pool.ledger.page("volume", tag=volume.id, limit=5))
        if sharers := [record.id for record in (*snapshots, *clones)]:
            raise errors.FailedPrecondition(
                f"volume {volume.id} is to be wiped (wipe={wipe}), but its data is shared with {', '.join(sharers)}; "
                "delete those first, or set wipe=none"
            )

    async def get(self, volume_id: str) -> Volume:
        """The complete volume. NotFound."""
        if not volume_id:
            raise errors.InvalidArgument("volume_id is empty; it is required")
        if ids.is_kind(volume_id, ids.VOLUME):
            pool = self._pools.of(volume_id)
            record = await pool.get("volume", volume_id)
            if isinstance(record, Volume):
                return record
        raise errors.NotFound(f"volume {volume_id[:200]} does not exist")

    async def page(self, starting_token: str, limit: int) -> "listing.Page[VolumeEntry]":
        """Complete volumes in order of id (CSI ListVolumes). StaleToken; Unavailable rather than a list with holes."""

        async def read(pool: Pool, after: str, count: int) -> list[VolumeEntry]:
            records = await pool.run(lambda: pool.ledger.page("volume", after=after, limit=count, listed_only=True))
            return [self._entry(record) for record in records if isinstance(record, Volume)]

        shelves = self._pools.shelves(read)
        return await listing.page("volumes", starting_token, limit, shelves, lambda entry: entry.volume.id)

    async def entry(self, volume_id: str) -> VolumeEntry:
        """One volume with its nodes (CSI ControllerGetVolume). NotFound."""
        return self._entry(await self._ready(volume_id))

    def _entry(self, volume: Volume) -> VolumeEntry:
        nodes = set(self._grants.nodes_of(volume.id))
        if self._uses.of(volume.id):
            nodes.add(self._pools.node_id)
        return VolumeEntry(volume, tuple(sorted(nodes)))

    async def _ready(self, volume_id: str) -> Volume:
        volume = await self.get(volume_id)
        if volume.state != "ready":
            raise errors.NotFound(f"volume {volume_id} is not complete yet")
        return volume

    # -- change ------------------------------------------------------------------------------------------------------

    async def validate(
        self,
        volume_id: str,
        capabilities: Sequence[Capability],
        parameters: dict[str, str],
        mutable: dict[str, str],
        context: dict[str, str],
    ) -> str:
        """Empty when the volume can be had in all these ways, else why not (CSI ValidateVolumeCapabilities). NotFound."""
        volume = await self._ready(volume_id)
        if why := specification.refuse_capabilities(volume, capabilities):
            return why
        if context and context != volume.context:
            return f"volume_context of {volume_id} is {volume.context}, not {context}"
        if parameters and parameters != volume.asked:
            return f"volume {volume_id} was made with other parameters"
        for key, value in mutable.items():
            if volume.attributes.get(key, value) != value:
                return f"volume {volume_id} has {key}={volume.attributes[key]}, not {value}"
        return ""

    async def expand(self, volume_id: str, size: SizeRange) -> tuple[Volume, bool]:
        """The volume, at least as large as asked, and whether the node must grow a filesystem (ControllerExpandVolume)."""
        size.checked(f"volume {volume_id}")
        if not size.required and not size.limit:
            raise errors.InvalidArgument(f"capacity_range of volume {volume_id} is empty; required_bytes is wanted")
        return await self._inflight.run(volume_id, ("expand", size), lambda: self._expand(volume_id, size))

    async def _expand(self, volume_id: str, size: SizeRange) -> tuple[Volume, bool]:
        volume = await self._ready(volume_id)
        pool = self._pools.of(volume_id)
        specification.need_ability(
            pool.backend, pool.name, base.Expansion, "grow volumes", self._pools.able("expansion")
        )
        backend = pool.backend
        assert isinstance(backend, base.Expansion)
        if size.limit and volume.size > size.limit:
            raise errors.OutOfRange(
                f"volume {volume_id} has {volume.size} bytes, more than limit_bytes {size.limit}; volumes never shrink"
            )
        target = size.choose(default=volume.size, minimum=volume.size, what=f"volume {volume_id}")
        if target > volume.size:
            await pool.observe()
            added = target - volume.size
            if added > pool.capacity.available:
                await self._trash.wait_for_room(pool, added)
            if added > max(pool.capacity.total, pool.capacity.available):
                raise errors.OutOfRange(
                    f"volume {volume_id} of {target} bytes is larger than pool {pool.name} ({pool.capacity.total} bytes)"
                )
            with pool.capacity.promise(added):
                await pool.run(backend.ensure_resized, volume, target)
                volume = msgspec.structs.replace(
                    volume,
                    size=target,
                    reserved=volume.reserved + added,
                    grow=volume.formatted and backend.needs_node(volume),
                )
                await pool.commit(Put(volume))
        return volume, backend.needs_node(volume)

    async def modify(self, volume_id: str, changes: dict[str, str]) -> None:
        """All of ``changes`` are in force, or none (CSI ControllerModifyVolume). Keys not named do not change."""
        await self._inflight.run(volume_id, ("modify", changes), lambda: self._modify(volume_id, changes))

    async def _modify(self, volume_id: str, changes: dict[str, str]) -> None:
        volume = await self._ready(volume_id)
        if not changes:
            return
        pool = self._pools.of(volume_id)
        specification.need_ability(
            pool.backend, pool.name, base.Attributes, "change volumes", self._pools.able("attributes")
        )
        backend = pool.backend
        assert isinstance(backend, base.Attributes)
        attributes = backend.checked_attributes(volume, changes)
        if attributes != volume.attributes:
            await pool.run(backend.ensure_attributes, volume, attributes)
            await pool.commit(Put(msgspec.structs.replace(volume, attributes=attributes)))

    async def update(self, volume_id: str, **changes: object) -> Volume:
        """The record with ``changes``, durable: for the node, which formats and grows. NotFound."""
        volume = await self.get(volume_id)
        changed = msgspec.structs.replace(volume, **changes)
        if changed != volume:
            await self._pools.of(volume_id).commit(Put(changed))
        return changed

    async def capacity(
        self, capabilities: Sequence[Capability], parameters: dict[str, str], topology: dict[str, str] | None
    ) -> Room:
        """Room for such volumes in reachable pools (CSI GetCapacity). InvalidArgument when no pool could ever make one."""
        wanted = (
            specification.wanted_by(capabilities, parameters, "the capacity query")
            if capabilities
            else specification.Wanted("filesystem", placement.fs_type_of(parameters))
        )
        available = maximum = minimum = 0
        refusals: list[str] = []
        able = False
        for pool in self._pools.meant(parameters, [topology] if topology else []):
            try:
                shape = pool.backend.shape(
                    kind=wanted.kind,
                    fs_type=wanted.fs_type,
                    parameters=placement.backend_parameters(parameters),
                    mutable={},
                )
            except errors.InvalidArgument as error:
                refusals.append(f"pool {pool.name}: {error.message}")
                continue
            able = True
            if not pool.usable or not pool.config.schedulable:
                continue
            await pool.observe()
            room = pool.capacity.available + self._trash.waiting(pool)
            available += room
            maximum = max(maximum, min(room, shape.maximum))
            minimum = min(minimum or shape.minimum, shape.minimum)
        if refusals and not able:
            raise errors.InvalidArgument("no pool can make such volumes: " + "; ".join(refusals))
        return Room(available, maximum, minimum)


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

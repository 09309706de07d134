"""Volumes: delete, look up, list, validate; the way to what creates, changes and measures them.

Delete: engine/trash.py. Create: engine/creation.py. Expand and modify: engine/changes.py.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from ..backends import base
from ..model import errors, ids
from ..model.capability import Capability
from ..model.volume import Volume
from ..state.ledger import Change, Drop, Put
from . import listing, specification, tasks
from .changes import Changes
from .creation import Creation
from .grants import Grants
from .inflight import Inflight
from .pool import Pool
from .pools import Pools
from .rooms import Rooms
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
        self._trash = trash
        self._tasks = task_table
        creation, changes, rooms = (
            Creation(pools, inflight, sources, trash, task_table),
            Changes(pools, inflight, trash),
            Rooms(pools, trash),
        )
        self.create = creation.create
        self.expand = changes.expand
        self.modify = changes.modify
        self.capacity = rooms.capacity

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
        """The volume, complete or not. NotFound."""
        return await self._pools.volume(volume_id)

    async def page(self, starting_token: str, limit: int) -> "listing.Page[VolumeEntry]":
        """Complete volumes in order of id (CSI ListVolumes). StaleToken; Unavailable rather than a list with holes."""

        async def read(pool: Pool, after: str, count: int) -> list[VolumeEntry]:
            records = await pool.run(lambda: pool.ledger.page("volume", after=after, limit=count, listed_only=True))
            return [self._entry(record) for record in records if isinstance(record, Volume)]

        shelves = self._pools.shelves(read)
        return await listing.page(listing.VOLUMES, starting_token, limit, shelves, lambda entry: entry.volume.id)

    async def entry(self, volume_id: str) -> VolumeEntry:
        """One volume with its nodes (CSI ControllerGetVolume). NotFound."""
        return self._entry(await self._pools.ready_volume(volume_id))

    def _entry(self, volume: Volume) -> VolumeEntry:
        nodes = set(self._grants.nodes_of(volume.id))
        if self._uses.of(volume.id):
            nodes.add(self._pools.node_id)
        return VolumeEntry(volume, tuple(sorted(nodes)))

    async def validate(
        self,
        volume_id: str,
        capabilities: Sequence[Capability],
        parameters: dict[str, str],
        mutable: dict[str, str],
        context: dict[str, str],
    ) -> str:
        """Empty when the volume can be had in all these ways, else why not (CSI ValidateVolumeCapabilities). NotFound."""
        volume = await self._pools.ready_volume(volume_id)
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

    async def update(self, volume_id: str, **changes: object) -> Volume:
        """The record with ``changes``, durable: for the node, which formats and grows. NotFound."""
        volume = await self.get(volume_id)
        changed = msgspec.structs.replace(volume, **changes)
        if changed != volume:
            await self._pools.of(volume_id).commit(Put(changed))
        return changed

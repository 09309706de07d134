"""Growing a volume and changing its mutable settings.

Expand: the backend resizes durably, then the record follows. A crash between leaves a volume larger than its record; the
retry finds it resized. Modify: the backend puts the attributes in force, then the record follows; the retry repeats it.
"""

import msgspec

from ..backends import base
from ..model import errors
from ..model.sizes import SizeRange
from ..model.volume import Volume
from ..state.ledger import Put
from . import placement, specification
from .inflight import Inflight
from .pools import Pools
from .trash import TrashCan


class Changes:
    """What may change during a volume's life, in all our pools."""

    def __init__(self, pools: Pools, inflight: Inflight, trash: TrashCan) -> None:
        self._pools = pools
        self._inflight = inflight
        self._trash = trash

    async def expand(self, volume_id: str, size: SizeRange) -> tuple[Volume, bool]:
        """The volume, at least as large as asked, and whether the node must grow a filesystem (ControllerExpandVolume)."""
        size.checked(f"volume {volume_id}")
        if not size.required and not size.limit:
            raise errors.InvalidArgument(f"capacity_range of volume {volume_id} is empty; required_bytes is wanted")
        return await self._inflight.run(volume_id, ("expand", size), lambda: self._expand(volume_id, size))

    async def _expand(self, volume_id: str, size: SizeRange) -> tuple[Volume, bool]:
        volume = await self._pools.ready_volume(volume_id)
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
        """All of ``changes`` are in force, or none (CSI ControllerModifyVolume). Keys not named do not change.

        What csi-resizer adds under ``csi.storage.k8s.io/`` is no change.
        """
        changes = placement.asked_by_people(changes)
        await self._inflight.run(volume_id, ("modify", changes), lambda: self._modify(volume_id, changes))

    async def _modify(self, volume_id: str, changes: dict[str, str]) -> None:
        volume = await self._pools.ready_volume(volume_id)
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

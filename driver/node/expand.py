"""NodeExpandVolume: the filesystem grows into what ControllerExpandVolume made room for."""

from ..backends import base
from ..engine import specification
from ..engine.engine import Engine
from ..engine.uses import Use
from ..host import block, filesystem
from ..model import errors
from ..model.capability import Capability
from ..model.sizes import SizeRange
from ..model.volume import Volume
from . import growth, paths, staged
from .reach import Reach


class Expand:
    """Growing what is staged here, in place."""

    def __init__(self, engine: Engine, reach: Reach) -> None:
        self._engine = engine
        self._reach = reach

    async def expand(self, volume_id: str, volume_path: str, size: SizeRange, capability: Capability | None) -> int:
        """The volume's size in bytes, all of it usable at ``volume_path``, one of its staging and target paths.

        NotFound for an unknown volume or another path; FailedPrecondition when it is not staged, or staged read-only
        with room left to grow into; OutOfRange when the volume itself is smaller than asked for, or larger than the
        limit; InvalidArgument when it cannot be had as ``capability``.
        """
        volume = await self._engine.volumes.get(volume_id)
        path = paths.checked(volume_path, "volume_path")
        size.checked(f"volume {volume_id}")
        if capability is not None and (why := specification.refuse_capabilities(volume, [capability])):
            raise errors.InvalidArgument(why)
        request = ("node expand", path, size)
        return await self._engine.inflight.run(volume_id, request, lambda: self._expand(volume_id, path, size))

    async def _expand(self, volume_id: str, path: str, size: SizeRange) -> int:
        volume = await self._engine.volumes.get(volume_id)
        use = self._engine.uses.of(volume_id)
        if use is None:
            raise errors.FailedPrecondition(f"volume {volume_id} is not staged here; stage it, then expand it")
        if path != use.staging_path and path not in use.targets:
            raise errors.NotFound(f"volume {volume_id} is not at {path}")
        _check_range(volume, size)
        pool = self._engine.pools.of(volume_id)
        if isinstance(pool.backend, base.Devices):
            await pool.run(_grow, pool.backend, volume, use)
        if volume.grow:
            await self._engine.volumes.update(volume_id, grow=False)
        return volume.size


def _check_range(volume: Volume, size: SizeRange) -> None:
    if size.required > volume.size:
        raise errors.OutOfRange(
            f"volume {volume.id} has {volume.size} bytes, {size.required} are asked for; ControllerExpandVolume comes first"
        )
    if size.limit and volume.size > size.limit:
        raise errors.OutOfRange(f"volume {volume.id} has {volume.size} bytes, more than limit_bytes {size.limit}")


def _grow(backend: base.Backend, volume: Volume, use: Use) -> None:
    if block.size_of(use.device) < volume.size and isinstance(backend, base.Expansion):
        backend.ensure_resized(volume, volume.size)
    if use.kind == "block":
        return
    if filesystem.fills(staged.source_of(use), use.device, use.fs_type):
        return
    if use.read_only:
        raise errors.FailedPrecondition(
            f"volume {volume.id} is staged read-only, which keeps its filesystem from growing; it grows when it is staged "
            "the next time"
        )
    growth.ensure_filled(use)

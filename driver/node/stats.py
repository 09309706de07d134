"""NodeGetVolumeStats: how full a volume is, asked of the filesystem that its user sees, or of the quota that holds it."""

from ..backends import base
from ..engine.engine import Engine
from ..engine.pool import Pool
from ..engine.uses import Use
from ..host import block, space
from ..model import errors
from ..model.usage import UsageRow
from . import paths, staged
from .reach import Reach


class Stats:
    """Usage of volumes that are staged or published here."""

    def __init__(self, engine: Engine, reach: Reach) -> None:
        self._engine = engine
        self._reach = reach

    async def of(self, volume_id: str, volume_path: str) -> list[UsageRow]:
        """Bytes and inodes of the volume at ``volume_path``, one of its staging and target paths.

        NotFound for an unknown volume or another path. Never waits for a dead mount longer than the pool's patience.
        """
        use = self._engine.uses.of(volume_id)
        if use is None:
            await self._engine.volumes.get(volume_id)
            paths.looked_up(volume_path, "volume_path")
            raise errors.NotFound(f"volume {volume_id} is neither staged nor published at {volume_path}")
        path = paths.looked_up(volume_path, "volume_path")
        if path != use.staging_path and path not in use.targets:
            raise errors.NotFound(f"volume {volume_id} is not at {path}")
        if use.kind == "block":
            return await self._reach.run(volume_id, _device_rows, use)
        pool = self._reach.pool(volume_id)
        if use.device or pool is None:
            return await self._reach.run(volume_id, _filesystem_rows, use, path)
        return await self._directory_rows(pool, use, path)

    async def _directory_rows(self, pool: Pool, use: Use, path: str) -> list[UsageRow]:
        backend = pool.backend
        if not isinstance(backend, base.Usage):
            return await self._reach.run(use.volume_id, _filesystem_rows, use, path)
        volume = await self._engine.volumes.get(use.volume_id)
        used, limit = await pool.run(backend.usage, volume)
        rows = await self._reach.run(use.volume_id, _filesystem_rows, use, path)
        room = rows[0].available or 0
        if limit and backend.enforces_size():
            rows[0] = UsageRow("bytes", limit, used, min(max(0, limit - used), room))
        else:
            # Nothing keeps it below its size: what it can grow to is what the filesystem has left.
            rows[0] = UsageRow("bytes", used + room, used, room)
        return rows


def _device_rows(use: Use) -> list[UsageRow]:
    return [UsageRow("bytes", block.size_of(use.device))]


def _filesystem_rows(use: Use, path: str) -> list[UsageRow]:
    if not staged.is_at(use, path):
        raise errors.NotFound(f"volume {use.volume_id} is not mounted at {path} any more")
    room = space.space(path)
    rows = [UsageRow("bytes", room.total, room.used, room.free)]
    if room.inodes:
        rows.append(UsageRow("inodes", room.inodes, room.inodes - room.inodes_free, room.inodes_free))
    return rows

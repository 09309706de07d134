"""Where work on a volume's mounts runs.

On a local filesystem a bind, an unmount or a statfs takes microseconds and waits for nobody, so it runs at once: a
thread would cost several times the work. Everything else, be it a pool behind a network or a FUSE process, or one whose
threads are stuck already, is reached through the pool's own threads, where it can hang without holding up others.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from ..engine import workers
from ..engine.engine import Engine
from ..engine.pool import Pool
from ..host import fsprobe
from ..model import errors

T = TypeVar("T")


class Reach:
    """Runs functions that may block, volume by volume."""

    def __init__(self, engine: Engine, patience: float) -> None:
        self._engine = engine
        self._near: dict[str, bool] = {}
        self._orphans = workers.Workers("mounts of volumes without a pool", 2, patience)

    def close(self) -> None:
        """The threads end as they become free."""
        self._orphans.close()

    async def run(self, volume_id: str, fn: Callable[..., T], *args: Any) -> T:
        """What ``fn(*args)`` returns or raises. Unavailable when the volume's pool is stuck."""
        pool = self.pool(volume_id)
        if pool is None:
            return await self._orphans.run(fn, *args)
        near = self._near.get(pool.id)
        if near is None:
            near = await self._probe(pool)
        if near and pool.usable:
            return fn(*args)
        return await pool.run(fn, *args)

    async def apart(self, volume_id: str, fn: Callable[..., T], *args: Any) -> T:
        """Like ``run``, for what waits for a disk even on a local filesystem: never on the event loop."""
        pool = self.pool(volume_id)
        return await (self._orphans.run(fn, *args) if pool is None else pool.run(fn, *args))

    def pool(self, volume_id: str) -> Pool | None:
        """The volume's pool; None when it is away or no longer configured: its mounts may still be there."""
        try:
            return self._engine.pools.of(volume_id)
        except (errors.NotFound, errors.Unavailable):
            return None

    async def _probe(self, pool: Pool) -> bool:
        kind = await pool.run(fsprobe.statfs_type, pool.backend.home)
        return self._near.setdefault(pool.id, not kind.is_network)

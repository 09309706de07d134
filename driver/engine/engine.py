"""The rules for the pools of one node, wired together."""

import functools
import os
from collections.abc import Callable
from pathlib import Path

import structlog

from ..backends import base
from ..host import owner
from ..model.config import Config
from ..model.records import TaskRecord
from ..state import notes
from .blocks import Blocks
from .doctor import Doctor
from .grants import Grants
from .groups import Groups
from .health import Health
from .inflight import Inflight
from .pool import Pool
from .pools import Pools
from .snapshots import Snapshots
from .sources import Sources
from .tasks import Running, Tasks
from .trash import TrashCan
from .uses import Uses
from .volumes import Volumes

log = structlog.get_logger()


class Engine:
    """Everything a node's edges call. Construct, ``start``, use, ``stop``; all on one event loop."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.node_id = config.node_id
        self.ready = False
        self._lock: owner.Lock | None = None
        Path(config.state_dir).mkdir(parents=True, exist_ok=True, mode=0o700)
        self.inflight = Inflight()
        self._notes = notes.NoteStore(f"{config.state_dir}/uses")
        self.uses = Uses(self._notes)
        self.tasks = Tasks()
        self.pools = Pools(config, self._opened, self._tended)
        self.trash = TrashCan(self.tasks)
        self.grants = Grants(lambda: self.pools, self.inflight, config.max_volumes_per_node)
        self.sources = Sources(self.tasks, self.uses, self.inflight, config.freeze_deadline)
        self.volumes = Volumes(self.pools, self.inflight, self.uses, self.grants, self.sources, self.trash, self.tasks)
        self.snapshots = Snapshots(self.pools, self.inflight, self.uses, self.sources, self.trash, self.tasks)
        self.groups = Groups(self.pools, self.inflight, self.snapshots, self.sources, self.trash)
        self.blocks = Blocks(self.pools, self.snapshots)
        self.health = Health(self.pools, self.uses)
        self.doctor = Doctor(self.pools, self.uses, self.trash, self.inflight)

    async def start(self) -> None:
        """Serving. Raises what is wrong with the state directory or a pool, and then holds nothing."""
        self._lock = owner.Lock.acquire(
            f"{self.config.state_dir}/lock", f"pid {os.getpid()}, holdall on node {self.node_id}"
        )
        try:
            self.uses.load()
            await self.pools.start()
        except BaseException:
            self._notes.close()
            self._lock.release()
            raise
        self.ready = True

    async def _opened(self, pool: Pool) -> None:
        """What a pool's last owner left half-done goes on; called each time one is opened."""
        await self.grants.load(pool)
        await self.trash.resume(pool)
        await self.snapshots.resume(pool)

    async def _tended(self, pool: Pool) -> None:
        """What the pool wants done from time to time runs as Tasks."""
        if not isinstance(pool.backend, base.Upkeep):
            return
        for name, body in await pool.run(pool.backend.chores):
            record = TaskRecord(id=f"{name}-{pool.id}", kind="rescan", subject=pool.id)
            self.tasks.start(record, pool.id, functools.partial(_chore, pool, body))

    def topology(self, pool_id: str) -> dict[str, str]:
        """Where volumes and snapshots of that pool of ours can be used; known also while the pool is away."""
        del pool_id  # every pool of a node is reachable from that node alone, so far
        return {self.config.topology_key: self.node_id}

    async def stop(self) -> None:
        """Mutations under way are finished, long work is stopped where it can resume, ledgers are synced."""
        self.ready = False
        await self.inflight.drain()
        await self.tasks.stop()
        await self.pools.stop()
        self._notes.close()
        if self._lock:
            self._lock.release()


async def _chore(pool: Pool, body: Callable[[base.Progress], None], running: Running) -> None:
    await pool.run_long(body, running)

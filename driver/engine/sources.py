"""Filling a new volume from a snapshot or another volume.

| step | a crash after it leaves |
|---|---|
| commit: record ``filling`` | an intent; a retry goes on, DeleteVolume forgets it |
| shared extents: the backend makes the volume, durable | a volume nobody lists; a retry finds it made |
| or copies: a Task copies, reporting what is durable | a part; the Task resumes there at the next start |
| commit: record ``ready`` (and the Task dropped) | the volume, listed |
"""

import contextlib
import threading
from collections.abc import Iterator

import msgspec
import structlog

from ..backends import base
from ..host import freeze
from ..model import errors
from ..model.records import TaskRecord
from ..model.snapshot import Snapshot
from ..model.volume import Source, Volume
from ..state.ledger import Drop, Put
from . import tasks
from .inflight import Inflight
from .pool import Pool
from .uses import Uses

log = structlog.get_logger()


class Sources:
    """How data gets from one volume or snapshot into another, in one pool."""

    def __init__(self, task_table: tasks.Tasks, uses: Uses, inflight: Inflight, freeze_deadline: float) -> None:
        self._tasks = task_table
        self._uses = uses
        self._inflight = inflight
        self._deadline = freeze_deadline
        self._still: set[str] = set()
        self._still_lock = threading.Lock()

    async def shares(self, pool: Pool) -> bool:
        """Whether copies in ``pool`` take constant time."""
        return isinstance(pool.backend, base.Snapshots) and await pool.run(pool.backend.shares_extents)

    def refuse_unless_quiet(self, volume_id: str, what: str) -> None:
        """InUse, with the remedy, when somebody may be writing to ``volume_id`` on this node."""
        use = self._uses.of(volume_id)
        if use and use.writable:
            where = ", ".join(use.targets) or use.staging_path
            raise errors.InUse(
                f"{what} needs a copy here, since the pool's filesystem does not share extents, and volume {volume_id} is "
                f"open for writing at {where}; unpublish it first, or use a pool on xfs or btrfs"
            )

    def frozen_paths(self, pool: Pool, volume: Volume) -> list[str]:
        """Mount points that must be frozen for a clean cut of ``volume``: its own, when mounted for writing."""
        use = self._uses.of(volume.id)
        wants = isinstance(pool.backend, base.Frozen) and pool.backend.wants_freeze(volume)
        if use and wants and use.kind == "filesystem" and use.device and not use.read_only:
            return [use.staging_path]
        return []

    def moves(self, pool: Pool, volume: Volume) -> bool:
        """Whether ``volume`` may be written to on this node and cannot be frozen: a subvolume, a raw block volume."""
        use = self._uses.of(volume.id)
        return use is not None and use.writable and not self.frozen_paths(pool, volume)

    @contextlib.contextmanager
    def still(self, paths: list[str]) -> Iterator[None]:
        """The filesystems at ``paths`` are clean and do not move. Blocks; raises when that cannot be kept, and Busy while
        another snapshot of ours keeps one of them still: the kernel could not tell it from somebody else's freeze."""
        if not paths:
            yield
            return
        with self._alone(paths), freeze.frozen(paths, self._deadline):
            yield

    @contextlib.contextmanager
    def _alone(self, paths: list[str]) -> Iterator[None]:
        with self._still_lock:
            if taken := self._still.intersection(paths):
                raise errors.Busy(f"the filesystem at {min(taken)} is held still for another snapshot; try again")
            self._still.update(paths)
        try:
            yield
        finally:
            with self._still_lock:
                self._still.difference_update(paths)

    async def find(self, pool: Pool, source: Source) -> Volume | Snapshot:
        """The source's record. NotFound; InvalidArgument when it cannot be read yet."""
        record = await pool.get(source.kind, source.id)
        if record is None:
            raise errors.NotFound(f"source {source.kind} {source.id} does not exist")
        assert isinstance(record, Volume | Snapshot)
        if record.state == "cutting" or (isinstance(record, Volume) and record.state != "ready"):
            raise errors.NotFound(f"source {source.kind} {source.id} is not complete")
        if isinstance(record, Snapshot) and not record.ready:
            raise errors.Busy(f"source snapshot {source.id} is still being copied; try again when it is ready to use")
        return record

    async def fill_shared(self, pool: Pool, volume: Volume, origin: Volume | Snapshot) -> Volume:
        """The volume, ready. Its ``filling`` record is committed already."""
        await pool.run(self._make_shared, pool, volume, origin)
        ready = msgspec.structs.replace(volume, state="ready")
        await pool.commit(Put(ready))
        return ready

    def _make_shared(self, pool: Pool, volume: Volume, origin: Volume | Snapshot) -> None:
        backend = pool.backend
        assert isinstance(backend, base.Snapshots)
        if isinstance(origin, Snapshot):
            backend.ensure_volume_from_snapshot(volume, origin)
        elif backend.exists(volume):
            backend.ensure_volume_from_volume(volume, origin)  # cut by an earlier try: only what is left to do
        else:
            with self.still(self.frozen_paths(pool, origin)):
                backend.ensure_volume_from_volume(volume, origin)

    def fill_by_copy(self, pool: Pool, volume: Volume, origin: Volume | Snapshot, task: TaskRecord) -> tasks.Running:
        """The Task that fills ``volume``; running. The source is held: it cannot be staged or deleted meanwhile."""

        async def body(running: tasks.Running) -> None:
            with self._inflight.hold(origin.id, f"the copy into volume {volume.id}"):
                backend = pool.backend
                assert isinstance(backend, base.Copies)
                progress = Durable(pool, running)
                await pool.run_long(backend.ensure_volume_copied, volume, origin, running.record.done, progress)
            if running.stopped():
                return
            if await pool.get("volume", volume.id) is None:
                return  # deleted while it was being filled
            await pool.commit(Put(msgspec.structs.replace(volume, state="ready")), Drop("task", task.id))

        return self._tasks.start(task, pool.id, body)

    def copy_snapshot(self, pool: Pool, snapshot: Snapshot, origin: Volume, task: TaskRecord) -> tasks.Running:
        """The Task that copies ``origin`` into ``snapshot``; running. The source is held meanwhile."""

        async def body(running: tasks.Running) -> None:
            with self._inflight.hold(origin.id, f"the copy into snapshot {snapshot.id}"):
                backend = pool.backend
                assert isinstance(backend, base.Copies)
                progress = Durable(pool, running)
                await pool.run_long(backend.ensure_snapshot_copied, snapshot, origin, running.record.done, progress)
            if running.stopped():
                return
            if await pool.get("snapshot", snapshot.id) is None:
                return
            await pool.commit(Put(msgspec.structs.replace(snapshot, state="ready")), Drop("task", task.id))

        return self._tasks.start(task, pool.id, body)


class Durable:
    """Progress that the ledger remembers now and then, so that a restart resumes near the end."""

    STEP = 256 * 1024 * 1024

    def __init__(self, pool: Pool, running: tasks.Running) -> None:
        self._pool = pool
        self._running = running
        self._noted = running.record.done

    def report(self, done: int, total: int) -> None:
        self._running.report(done, total)
        if done - self._noted >= self.STEP:
            self._noted = done
            self._pool.ledger.commit([Put(self._running.record)])

    def stopped(self) -> bool:
        return self._running.stopped()

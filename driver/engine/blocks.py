"""Changed-block tracking (CSI SnapshotMetadata): which bytes of a snapshot hold data, and which differ from another's."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec

from ..backends import base
from ..model import errors
from ..model.snapshot import Snapshot
from .pool import Pool
from .pools import Pools
from .snapshots import Snapshots

BATCH = 1024
"""Extents per message when the caller sets no limit."""


class BlockBatch(msgspec.Struct, frozen=True):
    """Part of an answer: extents strictly increase over all batches and never overlap."""

    volume_size: int
    extents: list[base.Extent]


class Blocks:
    """The two streams."""

    def __init__(self, pools: Pools, snapshots: Snapshots) -> None:
        self._pools = pools
        self._snapshots = snapshots

    async def allocated(self, snapshot_id: str, start: int, limit: int) -> AsyncIterator[BlockBatch]:
        """Runs that may hold data, from byte ``start``. NotFound, OutOfRange, FailedPrecondition when not ready."""
        pool, backend, snapshot = await self._open(snapshot_id, start, limit)
        async with self._present(snapshot):
            async for batch in _batches(pool, snapshot, lambda: backend.allocated_extents(snapshot, start), limit):
                yield batch

    async def delta(self, base_id: str, target_id: str, start: int, limit: int) -> AsyncIterator[BlockBatch]:
        """Runs of ``target_id`` that may differ from ``base_id``, from byte ``start``; both of one volume."""
        pool, backend, target = await self._open(target_id, start, limit)
        _, _, earlier = await self._open(base_id, 0, limit)
        if earlier.source_id != target.source_id or earlier.pool_id != target.pool_id:
            raise errors.InvalidArgument(
                f"snapshots {base_id} and {target_id} are of different volumes; a delta needs two of one volume"
            )
        async with self._present(earlier, target):
            async for batch in _batches(pool, target, lambda: backend.changed_extents(earlier, target, start), limit):
                yield batch

    @contextlib.asynccontextmanager
    async def _present(self, *snapshots: Snapshot) -> AsyncIterator[None]:
        """A snapshot that is deleted while it is read is NotFound, not damaged."""
        try:
            yield
        except errors.HostFailed:
            for snapshot in snapshots:
                await self._snapshots.get(snapshot.id)
            raise

    async def _open(self, snapshot_id: str, start: int, limit: int) -> tuple[Pool, base.ChangedBlocks, Snapshot]:
        if start < 0 or limit < 0:
            raise errors.InvalidArgument(f"starting_offset {start} and max_results {limit} may not be negative")
        snapshot = await self._snapshots.get(snapshot_id)
        if not snapshot.ready:
            raise errors.FailedPrecondition(f"snapshot {snapshot_id} is still being copied; wait until it is ready")
        if start and start >= snapshot.size:
            raise errors.OutOfRange(f"starting_offset {start} is past the end of {snapshot_id}, {snapshot.size} bytes")
        pool = self._pools.of(snapshot_id, "snapshot")
        if not isinstance(pool.backend, base.ChangedBlocks):
            able = ", ".join(self._pools.able("changed-blocks")) or "none"
            raise errors.FailedPrecondition(
                f"pool {pool.name} ({pool.backend.kind}) does not track changed blocks; pools that do: {able}"
            )
        return pool, pool.backend, snapshot


async def _batches(
    pool: Pool, snapshot: Snapshot, extents: Callable[[], Iterator[base.Extent]], limit: int
) -> AsyncIterator[BlockBatch]:
    iterator = await pool.run(extents)
    count = min(limit or BATCH, BATCH)
    while True:
        batch = await pool.run(lambda: list(itertools.islice(iterator, count)))
        if batch:
            yield BlockBatch(snapshot.size, batch)
        if len(batch) < count:
            return

"""Delete in two halves: the name is free and the record gone at once; the space comes back behind the caller.

The caller is answered after the first step. The second is the purge's, or the create's of a namesake that cannot wait.

| step | a crash after it leaves |
|---|---|
| one commit: record dropped, Trash put | data in place without a record; moved before a namesake is made |
| data renamed into the trash, synced | trash with its record; the start goes on purging |
| purged | a Trash record of nothing; purging nothing succeeds |
| Trash record dropped | nothing |
"""

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Literal

import structlog

from ..backends import base
from ..model import errors
from ..model.records import TaskRecord, Trash
from ..model.snapshot import Snapshot
from ..model.volume import Volume
from ..state.ledger import Change, Drop, Put
from . import tasks
from .pool import Pool

log = structlog.get_logger()

LINGER = 0.02
"""Seconds a purge waits for company, so that many deletes share one commit and one trim."""
RETRY = 30.0
"""Seconds until a failed purge is tried again."""


class TrashCan:
    """The trash of every pool, and the one purge Task per pool that empties it."""

    def __init__(self, task_table: tasks.Tasks) -> None:
        self._tasks = task_table
        self._queues: dict[str, dict[str, Trash]] = {}
        self._serial = itertools.count(time.time_ns())
        self._hurried: set[str] = set()
        self._moving: dict[str, asyncio.Task[None]] = {}

    async def discard(self, pool: Pool, thing: Volume | Snapshot, also: Sequence[Change] = ()) -> None:
        """``thing`` does not exist any more and its name is free; its space follows in a Task."""
        trash = Trash(
            id=f"{thing.id}.{next(self._serial):x}",
            volume=thing if isinstance(thing, Volume) else None,
            snapshot=thing if isinstance(thing, Snapshot) else None,
            wipe=thing.attributes.get("wipe", "none"),
            reserved=thing.reserved,
            deleted_at=time.time(),
        )
        await pool.commit(Drop(_kind(trash), thing.id), *also, Put(trash))
        pool.untrashed[thing.id] = trash
        self._enqueue(pool, trash)

    async def clear_way(self, pool: Pool, object_id: str) -> None:
        """Nothing of a deleted namesake lies in the way of making ``object_id``."""
        if trash := pool.untrashed.get(object_id):
            await self._set_aside(pool, trash)

    async def resume(self, pool: Pool) -> None:
        """What earlier deletes left is purged; called when a pool was opened."""
        for record in await pool.run(lambda: pool.ledger.page("trash")):
            assert isinstance(record, Trash)
            if await pool.get(_kind(record), _id(record)) is None:
                # In order of deletion: what lies in place can only be the last namesake's.
                pool.untrashed[_id(record)] = record
            self._enqueue(pool, record)

    async def wait_for_room(self, pool: Pool, size: int, patience: float = 5.0) -> None:
        """Returns when ``size`` bytes can be promised, when the trash is empty, or after ``patience`` seconds."""
        self._hurried.add(pool.id)
        try:
            until = time.monotonic() + patience
            while self._queues.get(pool.id) and time.monotonic() < until:
                reserved = sum(trash.reserved for trash in self._queues[pool.id].values())
                if pool.capacity.available >= size or pool.capacity.available + reserved < size:
                    return
                await asyncio.sleep(0.02)
        finally:
            self._hurried.discard(pool.id)

    def waiting(self, pool: Pool) -> int:
        """Bytes reserved by what is still to be purged."""
        return sum(trash.reserved for trash in self._queues.get(pool.id, {}).values())

    async def _set_aside(self, pool: Pool, trash: Trash) -> None:
        """The data is in the trash. Moved once only: a second move could take what a new namesake made meanwhile."""
        moving = self._moving.get(trash.id)
        if moving is None:
            moving = self._moving[trash.id] = asyncio.ensure_future(self._move(pool, trash))
        await asyncio.shield(moving)

    async def _move(self, pool: Pool, trash: Trash) -> None:
        try:
            if trash.volume:
                await pool.run(pool.backend.ensure_trashed, trash.volume, trash.id)
            elif trash.snapshot and isinstance(pool.backend, base.SnapshotStore):
                await pool.run(pool.backend.ensure_snapshot_trashed, trash.snapshot, trash.id)
            del pool.untrashed[_id(trash)]
        finally:
            del self._moving[trash.id]

    def _enqueue(self, pool: Pool, trash: Trash) -> None:
        self._queues.setdefault(pool.id, {})[trash.id] = trash
        record = TaskRecord(id=f"purge-{pool.id}", kind="purge", subject=pool.id)
        self._tasks.start(record, pool.id, lambda running: self._purge(pool, running))

    async def _purge(self, pool: Pool, running: tasks.Running) -> None:
        pool_id = pool.id
        queue = self._queues[pool_id]
        failed: set[str] = set()
        while (batch := [one for one in queue.values() if one.id not in failed]) and not running.stopped():
            if pool_id not in self._hurried:
                await asyncio.sleep(LINGER)
                batch = [one for one in queue.values() if one.id not in failed]
            purged = []
            for trash in batch:
                try:
                    if pool.untrashed.get(_id(trash)) is trash:
                        await self._set_aside(pool, trash)
                    await pool.run_long(
                        pool.backend.ensure_purged, trash.volume or trash.snapshot, trash.id, trash.wipe, running
                    )
                except errors.DomainError as error:
                    failed.add(trash.id)
                    log.warning("purge failed", trash_id=trash.id, pool_id=pool_id, message=error.message)
                    continue
                if running.stopped():
                    break
                purged.append(trash)
            if purged:
                if isinstance(pool.backend, base.Reclaim):
                    await pool.run_long(pool.backend.reclaim)
                await pool.commit(*(Drop("trash", trash.id) for trash in purged))
                for trash in purged:
                    queue.pop(trash.id, None)
        if failed:
            asyncio.get_running_loop().call_later(RETRY, self._again, pool)

    def _again(self, pool: Pool) -> None:
        if pool.usable:
            for trash in list(self._queues.get(pool.id, {}).values())[:1]:
                self._enqueue(pool, trash)


def _kind(trash: Trash) -> Literal["volume", "snapshot"]:
    return "volume" if trash.volume else "snapshot"


def _id(trash: Trash) -> str:
    thing = trash.volume or trash.snapshot
    assert thing is not None
    return thing.id

"""What ledger, pool contents, uses, mounts and loop devices say of each other, and what to do about every difference.

Repairs only what is certainly ours and certainly harmless: an empty orphan, a note of something that is not mounted, an
intent nobody finishes any more. Everything else is explained and left.
"""

import functools
import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import Literal

import msgspec

from ..backends import base
from ..host import loop, mounts
from ..model import errors, ids
from ..model.records import RecordKind
from ..model.snapshot import Snapshot
from ..model.volume import Volume
from .inflight import Inflight
from .pool import Pool
from .pools import Pools
from .trash import TrashCan
from .uses import Use, Uses

ABANDONED = 3600.0
"""Seconds after which an unfinished intent counts as abandoned: COs retry within minutes."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One difference: what it is, why it may be, what mends it, and whether that was done just now."""

    pool_id: str
    subject: str
    kind: str
    severity: Literal["info", "warning", "error"]
    explanation: str
    remedy: str = ""
    repaired: bool = False


class Doctor:
    """Looks at everything, slowly; safe to run beside normal work."""

    def __init__(self, pools: Pools, uses: Uses, trash: TrashCan, inflight: Inflight) -> None:
        self._pools = pools
        self._uses = uses
        self._trash = trash
        self._inflight = inflight

    async def examine(self, repair: bool) -> AsyncIterator[Finding]:
        """Every difference found; with ``repair``, those that are certainly ours are mended and say so."""
        for pool in self._pools.all():
            for ailment in pool.ailments:
                yield Finding(
                    pool_id=pool.id or pool.expected_id,
                    subject=pool.name,
                    kind=ailment.reason,
                    severity="error" if ailment.status > 1 else "warning",
                    explanation=ailment.message,
                )
            if not pool.usable:
                continue
            async for finding in self._examine_pool(pool, repair):
                yield finding
        for use in self._uses.all():
            if difference := await self._examine_use(use, repair):
                yield difference
        for loose in _loose_loops(self._pools.all()):
            yield loose

    async def _examine_pool(self, pool: Pool, repair: bool) -> AsyncIterator[Finding]:
        entries = await pool.run_long(lambda: list(pool.backend.contents()))
        unrecorded = []
        for entry in entries:
            if entry.where == "foreign":
                yield _foreign(pool, entry)
            elif await self._is_unrecorded(pool, entry):
                unrecorded.append(entry)
        if unrecorded:
            # Calls go on meanwhile: what was deleted or moved since the listing is no orphan.
            there = {(one.where, one.id) for one in await pool.run_long(lambda: list(pool.backend.contents()))}
            for entry in unrecorded:
                if (entry.where, entry.id) in there and await self._is_unrecorded(pool, entry):
                    yield await self._orphan(pool, entry, repair)
        async for finding in self._examine_records(pool, {entry.id for entry in entries}, repair):
            yield finding

    async def _is_unrecorded(self, pool: Pool, entry: base.Entry) -> bool:
        if entry.where == "trash":
            return await pool.get("trash", entry.id) is None
        kind: RecordKind = "volume" if entry.where == "volume" else "snapshot"
        return await pool.get(kind, entry.id) is None and entry.id not in pool.untrashed

    async def _orphan(self, pool: Pool, entry: base.Entry, repair: bool) -> Finding:
        if entry.where == "trash":
            return Finding(
                pool_id=pool.id,
                subject=entry.id,
                kind="TrashWithoutRecord",
                severity="warning",
                explanation=f"{entry.id} lies in the trash of pool {pool.name} and no record asks for its purge",
                remedy="remove it by hand once you are sure nobody wants it back",
            )
        repaired = False
        if repair and entry.where == "volume" and ids.is_kind(entry.id, ids.VOLUME) and not entry.allocated:
            repaired = await self._remove_empty(pool, entry)
        return Finding(
            pool_id=pool.id,
            subject=entry.id,
            kind="DataWithoutRecord",
            severity="warning",
            explanation=(
                f"{entry.where} data {entry.id} ({entry.allocated} bytes allocated) is in pool {pool.name} without a "
                "record: "
                + ("a create was cut short before anything was written" if not entry.allocated else "origin unknown")
            ),
            remedy="--repair removes it" if not entry.allocated else "look into it, then remove or move it by hand",
            repaired=repaired,
        )

    async def _remove_empty(self, pool: Pool, entry: base.Entry) -> bool:
        blank = Volume(id=entry.id, pool_id=pool.id, name=entry.id, kind="block", size=entry.size)

        async def body() -> bool:
            backend = pool.backend
            if await pool.get("volume", entry.id) is not None or not await pool.run(backend.exists, blank):
                return False
            if isinstance(backend, base.Devices) and not await pool.run(backend.is_blank, blank):
                return False
            await self._trash.discard(pool, blank)
            await self._trash.clear_way(pool, blank.id)
            return True

        try:
            return await self._inflight.run(entry.id, ("doctor", entry.id), body)
        except errors.Busy:
            return False

    async def _examine_records(self, pool: Pool, seen: set[str], repair: bool) -> AsyncIterator[Finding]:
        after = ""
        while records := await pool.run(functools.partial(pool.ledger.page, "volume", after=after, limit=500)):
            for record in records:
                assert isinstance(record, Volume)
                after = record.id
                if record.state == "filling":
                    if finding := await self._unfinished(pool, record, repair):
                        yield finding
                elif record.id not in seen and not await pool.run(pool.backend.exists, record):
                    yield _missing(pool, record)
        after = ""
        while records := await pool.run(functools.partial(pool.ledger.page, "snapshot", after=after, limit=500)):
            for record in records:
                assert isinstance(record, Snapshot)
                after = record.id
                if record.state == "cutting":
                    if finding := await self._unfinished(pool, record, repair):
                        yield finding
                elif record.ready and record.id not in seen:
                    yield _missing(pool, record)

    async def _unfinished(self, pool: Pool, record: Volume | Snapshot, repair: bool) -> Finding | None:
        age = time.time() - record.created_at
        if age < ABANDONED:
            return None
        repaired = False
        if repair:

            async def body() -> bool:
                kind: RecordKind = "volume" if isinstance(record, Volume) else "snapshot"
                if await pool.get(kind, record.id) != record:
                    return False
                await self._trash.discard(pool, record)
                await self._trash.clear_way(pool, record.id)
                return True

            try:
                repaired = await self._inflight.run(record.id, ("doctor", record.id), body)
            except errors.Busy:
                repaired = False
        return Finding(
            pool_id=pool.id,
            subject=record.id,
            kind="UnfinishedCreate",
            severity="info",
            explanation=f"{record.name} was begun {age / 3600:.1f} hours ago and nobody came back to finish it",
            remedy="--repair forgets it",
            repaired=repaired,
        )

    async def _examine_use(self, use: Use, repair: bool) -> Finding | None:
        if use.kind == "block":
            return None
        try:
            pool = self._pools.of(use.volume_id)
            if await pool.run(_is_mounted, use.staging_path):
                return None

            async def body() -> Finding | None:
                return await self._not_mounted(pool, use.volume_id, repair)

            return await self._inflight.run(use.volume_id, ("examine use", repair), body)
        except (errors.NotFound, errors.Unavailable, errors.Busy):
            return None  # nobody can tell now, or it is being staged: its note comes before its mount

    async def _not_mounted(self, pool: Pool, volume_id: str, repair: bool) -> Finding | None:
        """Looks again, with nobody else at work on the volume."""
        use = self._uses.of(volume_id)
        if use is None or await pool.run(_is_mounted, use.staging_path):
            return None
        repaired = repair and not await pool.run(_any_mounted, list(use.targets))
        if repaired:
            self._uses.drop(volume_id)
        return Finding(
            pool_id=pool.id,
            subject=volume_id,
            kind="StagedButNotMounted",
            severity="warning",
            explanation=f"volume {volume_id} is noted as staged at {use.staging_path}, where nothing is mounted",
            remedy="--repair forgets the note; the CO stages it again",
            repaired=repaired,
        )


def _any_mounted(paths: list[str]) -> bool:
    return any(_is_mounted(path) for path in paths)


def _is_mounted(path: str) -> bool:
    try:
        found = mounts.look(path)
    except errors.HostFailed:
        return True  # a dead filesystem, which is for the node to take away
    return found is not None and found.is_root


def _foreign(pool: Pool, entry: base.Entry) -> Finding:
    return Finding(
        pool_id=pool.id,
        subject=entry.id,
        kind="ForeignFile",
        severity="info",
        explanation=f"{entry.id} in pool {pool.name} is not of a form this driver makes",
        remedy="move it elsewhere; its space is not counted as free",
    )


def _missing(pool: Pool, record: Volume | Snapshot) -> Finding:
    if isinstance(record, Volume) and not record.formatted:
        return Finding(
            pool_id=pool.id,
            subject=record.id,
            kind="EmptyVolumeNotMade",
            severity="info",
            explanation=f"volume {record.name} was never used and its empty data is not there (a power cut after create)",
            remedy="nothing: its first stage makes it",
        )
    return Finding(
        pool_id=pool.id,
        subject=record.id,
        kind="RecordWithoutData",
        severity="error",
        explanation=f"{record.name} is recorded in pool {pool.name}, but its data is not there",
        remedy="restore it from a snapshot or backup; delete it to forget it",
    )


def _loose_loops(pools: list[Pool]) -> Iterator[Finding]:
    homes = {os.path.dirname(pool.backend.home): pool for pool in pools if pool.usable}
    for attached in loop.all_devices():
        for root, pool in homes.items():
            if attached.deleted and attached.backing_path.startswith(root + "/"):
                yield Finding(
                    pool_id=pool.id,
                    subject=attached.device.path,
                    kind="LoopOfDeletedFile",
                    severity="warning",
                    explanation=f"{attached.device.path} still holds the deleted file {attached.backing_path}",
                    remedy=f"unmount what uses it, then losetup -d {attached.device.path}",
                )

"""What Prometheus is told of pools and volumes: read on the event loop, within a budget, whatever a store is doing."""

import asyncio
import os
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from ..engine.uses import Use
from ..host import disk
from ..model import errors, ids
from ..model.health import Ailment
from ..model.usage import UsageRow
from ..telemetry.readings import Io, PoolReading, Trouble, VolumeReading

if TYPE_CHECKING:
    from ..engine.engine import Engine
    from ..node.plugin import NodePlugin

T = TypeVar("T")

BUDGET = 2.0
"""Seconds for all volumes of a scrape; one that has not answered by then is shown without its figures."""
AT_ONCE = 16
"""Volumes looked at at the same time."""


class Observed:
    """Called in the scrape's thread; made and answered on the engine's event loop."""

    def __init__(self, engine: "Engine", plugin: "NodePlugin") -> None:
        self._engine = engine
        self._plugin = plugin
        self._loop = asyncio.get_running_loop()
        self._looking: dict[str, asyncio.Task[VolumeReading]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)

    def pools(self) -> list[PoolReading]:
        """Every pool as of its last look."""
        return self._ask(self._pools())

    def volumes(self) -> list[VolumeReading]:
        """Every volume in use on this node."""
        return self._ask(self._volumes())

    def _ask(self, question: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(question, self._loop).result(BUDGET * 2)

    async def _pools(self) -> list[PoolReading]:
        return [
            PoolReading(
                id=view.id,
                name=view.name,
                backend=view.backend,
                reachable=view.reachable,
                total=view.total,
                available=view.available,
                reserved=view.reserved,
                volumes=view.volumes,
                snapshots=view.snapshots,
                troubles=_troubles(view.ailments),
            )
            for view in await self._engine.pools.views()
        ]

    async def _volumes(self) -> list[VolumeReading]:
        """A look that an earlier scrape began and that still hangs is not begun again: it would take one more thread."""
        uses = {use.volume_id: use for use in self._engine.uses.all()}
        for volume_id, use in uses.items():
            if volume_id not in self._looking:
                self._looking[volume_id] = asyncio.ensure_future(self._look(use))
        if self._looking:
            await asyncio.wait(set(self._looking.values()), timeout=BUDGET)
        readings = []
        for volume_id, task in list(self._looking.items()):
            if task.done():
                del self._looking[volume_id]
            if volume_id in uses:
                readings.append(task.result() if task.done() else _unanswered(uses[volume_id]))
        return readings

    async def _look(self, use: Use) -> VolumeReading:
        async with self._turns:
            rows = await self._usage(use)
            look = self._engine.health.look
            ailments = await look(use) if look else ()
        of = {row.unit: row for row in rows}
        size, inodes = of.get("bytes"), of.get("inodes")
        return VolumeReading(
            id=use.volume_id,
            pool_id=_pool_id(use.volume_id),
            size=size.total if size else None,
            used=size.used if size else None,
            available=size.available if size else None,
            inodes=inodes.total if inodes else None,
            inodes_used=inodes.used if inodes else None,
            io=_io(use.device),
            troubles=_troubles(ailments),
        )

    async def _usage(self, use: Use) -> list[UsageRow]:
        try:
            return await self._plugin.stats(use.volume_id, use.staging_path)
        except errors.DomainError:
            return []  # its troubles say why


def _unanswered(use: Use) -> VolumeReading:
    trouble = Trouble("INACCESSIBLE", "MountUnreachable")
    return VolumeReading(id=use.volume_id, pool_id=_pool_id(use.volume_id), io=_io(use.device), troubles=(trouble,))


def _io(device: str) -> Io | None:
    """What the volume's own device did: only a loop device is one volume's alone."""
    name = os.path.basename(device)
    if not name.startswith("loop"):
        return None
    try:
        seen = disk.io_counters(name)
    except errors.DomainError:
        return None
    return Io(
        seen.read_bytes, seen.write_bytes, seen.read_ops, seen.write_ops, seen.read_seconds, seen.write_seconds
    )  # fmt: skip


def _troubles(ailments: "tuple[Ailment, ...] | list[Ailment] | Any") -> tuple[Trouble, ...]:
    return tuple(Trouble(ailment.status.name, ailment.reason) for ailment in ailments)


def _pool_id(volume_id: str) -> str:
    parts = ids.split(volume_id)
    return parts[0] if parts else ""

"""What is wrong with volumes and pools now (CSI 1.13). Nothing is remembered: a problem mended is a status gone."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from ..model import errors, ids
from ..model.health import Ailment, Status
from ..model.pool import PoolView
from ..model.volume import Volume
from . import listing
from .pool import Pool
from .pools import Pools
from .uses import Use, Uses

Look = Callable[[Use], Awaitable[Sequence[Ailment]]]


class Health:
    """Pool, data and, through the node's ``look``, the mounts of a volume in use here."""

    def __init__(self, pools: Pools, uses: Uses) -> None:
        self._pools = pools
        self._uses = uses
        self.look: Look | None = None
        """Set by the node plugin: what is wrong with a use's mounts. Must not block on a dead one."""

    async def of(self, volume_id: str) -> list[Ailment]:
        """Everything wrong with the volume; empty means healthy. NotFound."""
        if not volume_id:
            raise errors.InvalidArgument("volume_id is empty; it is required")
        if not ids.is_kind(volume_id, ids.VOLUME):
            raise errors.NotFound(f"volume {volume_id[:200]} does not exist")
        try:
            pool = self._pools.of(volume_id)
            volume = await pool.get("volume", volume_id)
        except errors.Unavailable as away:
            return [Ailment(Status.INACCESSIBLE, "PoolUnreachable", away.message)]
        if not isinstance(volume, Volume) or volume.state != "ready":
            raise errors.NotFound(f"volume {volume_id} does not exist")
        return await self._examine(pool, volume)

    async def _examine(self, pool: Pool, volume: Volume) -> list[Ailment]:
        found = list(pool.ailments)
        if pool.usable:
            try:
                found += await pool.run(pool.backend.volume_ailments, volume)
            except errors.DomainError as error:
                found.append(Ailment(Status.INACCESSIBLE, "DataUnreadable", error.message))
        use = self._uses.of(volume.id)
        if use and self.look:
            found += await self.look(use)
        return _distinct(found)

    async def page(self, starting_token: str, limit: int) -> "listing.Page[tuple[str, list[Ailment]]]":
        """Only the volumes with a problem, in order of id (CSI ControllerListVolumeHealth)."""

        async def read(pool: Pool, after: str, count: int) -> list[tuple[str, list[Ailment]]]:
            ill: list[tuple[str, list[Ailment]]] = []
            while True:
                start = after
                records = await pool.run(
                    lambda start=start: pool.ledger.page("volume", after=start, limit=500, listed_only=True)
                )
                for record in records:
                    assert isinstance(record, Volume)
                    after = record.id
                    if ailments := await self._examine(pool, record):
                        ill.append((record.id, ailments))
                        if count and len(ill) >= count:
                            return ill
                if len(records) < 500:
                    return ill

        return await listing.page(listing.HEALTH, starting_token, limit, self._pools.shelves(read), lambda one: one[0])

    async def storage(self) -> list[tuple[PoolView, list[Ailment]]]:
        """Every pool with what is wrong with it; never blocks on one that hangs."""
        await asyncio.gather(*(_measured(pool) for pool in self._pools.all()))
        return [(pool.view(self._pools.topology(pool)), list(pool.ailments)) for pool in self._pools.all()]


async def _measured(pool: Pool) -> None:
    if not pool.usable:
        return
    with contextlib.suppress(TimeoutError, errors.DomainError):  # the pool's own ailments say so
        await asyncio.wait_for(pool.measure(walk=False), 2.0)


def _distinct(ailments: Sequence[Ailment]) -> list[Ailment]:
    first: dict[tuple[Status, str], Ailment] = {}
    for ailment in ailments:
        first.setdefault((ailment.status, ailment.reason), ailment)
    return list(first.values())

"""How much more there is room for (CSI GetCapacity)."""

from collections.abc import Sequence

from ..model import errors
from ..model.capability import Capability
from ..model.capacity import Room
from . import placement, specification
from .pools import Pools
from .trash import TrashCan


class Rooms:
    """Room in all our pools, by what a volume should be."""

    def __init__(self, pools: Pools, trash: TrashCan) -> None:
        self._pools = pools
        self._trash = trash

    async def capacity(
        self, capabilities: Sequence[Capability], parameters: dict[str, str], topology: dict[str, str] | None
    ) -> Room:
        """Room for such volumes in reachable pools (CSI GetCapacity). InvalidArgument when no pool could ever make one."""
        wanted = (
            specification.wanted_by(capabilities, parameters, "the capacity query")
            if capabilities
            else specification.Wanted("filesystem", placement.fs_type_of(parameters))
        )
        available = maximum = minimum = 0
        refusals: list[str] = []
        able = False
        for pool in self._pools.meant(parameters, [topology] if topology else []):
            try:
                shape = pool.backend.shape(
                    kind=wanted.kind,
                    fs_type=wanted.fs_type,
                    parameters=placement.backend_parameters(parameters),
                    mutable={},
                )
            except errors.InvalidArgument as error:
                refusals.append(f"pool {pool.name}: {error.message}")
                continue
            able = True
            if not pool.usable or not pool.config.schedulable:
                continue
            await pool.observe()
            room = pool.capacity.available + self._trash.waiting(pool)
            available += room
            maximum = max(maximum, min(room, shape.maximum))
            minimum = min(minimum or shape.minimum, shape.minimum)
        if refusals and not able:
            raise errors.InvalidArgument("no pool can make such volumes: " + "; ".join(refusals))
        return Room(available, maximum, minimum)

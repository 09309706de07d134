"""How much more can be made: CSI GetCapacity in our words. Sizes in bytes."""

import msgspec

from .capability import Capability


class CapacityQuery(msgspec.Struct, frozen=True):
    """For which kind of volume, and where. What is empty is not counted against a pool."""

    capabilities: tuple[Capability, ...] = ()
    parameters: dict[str, str] = {}
    topology: dict[str, str] | None = None


class Room(msgspec.Struct, frozen=True):
    """What more can be made: together, the largest single volume, the smallest."""

    available: int
    maximum: int
    minimum: int

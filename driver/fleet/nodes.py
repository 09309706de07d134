"""A node as the fleet sees it. The edge implements it (driver/rpc/routed/peer.py) and forwards the calls themselves."""

from typing import Literal, Protocol, TypeVar

import msgspec

from ..model.capacity import CapacityQuery, Room
from ..model.pool import PoolView

Listing = Literal["volumes", "snapshots", "health"]
"""What can be listed over the whole fleet: ListVolumes, ListSnapshots without a filter, ControllerListVolumeHealth."""

LISTINGS: tuple[Listing, ...] = ("volumes", "snapshots", "health")


class Description(msgspec.Struct, frozen=True):
    """Who a node says it is, and the pools it has now."""

    node_id: str
    driver_name: str
    version: str
    pools: tuple[PoolView, ...]


class Listed(msgspec.Struct, frozen=True):
    """An entry of a list: the id it is ordered by, and the entry itself, which only the edge can read."""

    id: str
    entry: bytes
    group_id: str = ""
    """Of a snapshot: the group it belongs to."""


class NodePage(msgspec.Struct, frozen=True):
    """Part of one node's list; ``next_token`` is empty at its end."""

    entries: list[Listed]
    next_token: str


class Node(Protocol):
    """Each call is answered within a few seconds or raises Unavailable naming the node; never anything but domain errors."""

    @property
    def name(self) -> str:
        """As configured."""

    async def describe(self) -> Description: ...

    async def room(self, query: CapacityQuery) -> Room:
        """InvalidArgument when the node could never make such a volume."""

    async def page(self, listing: Listing, token: str, limit: int) -> NodePage:
        """In order of id, after ``token`` (driver/engine/listing.py makes and reads them, here and there alike)."""

    async def close(self, grace: float) -> None:
        """It is not called any more; calls under way end within ``grace`` seconds."""


N = TypeVar("N", bound=Node)

"""Nodes in memory, which answer, refuse and get lost as a test says, and a fleet over them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from driver.engine import listing as pages
from driver.fleet.fleet import Fleet
from driver.fleet.membership import Fixed
from driver.fleet.merge import QUERIES
from driver.fleet.nodes import Description, Listed, Listing, NodePage
from driver.fleet.placement_file import PlacementFile
from driver.model import errors, ids
from driver.model.capability import Capability
from driver.model.capacity import CapacityQuery, Room
from driver.model.pool import PoolView
from driver.model.volume import VolumeRequest

GIB = 1 << 30
KEY = "holdall.csi.dev/node"


class Store:
    """A node: its pools, with the ids of what is in each, and the calls it got."""

    def __init__(self, name: str, *pool_ids: str, room: int = 10 * GIB) -> None:
        self.name = name
        self.pools: dict[str, set[str]] = {pool_id: set() for pool_id in pool_ids}
        self.free = room
        self.lost = False
        self.calls: list[str] = []
        self.refusal: errors.DomainError | None = None
        self.is_closed = False

    def _answer(self) -> None:
        if self.lost:
            raise errors.Unavailable(f"node {self.name}: connection refused")

    async def describe(self) -> Description:
        self._answer()
        return Description(f"id-of-{self.name}", "holdall.csi.dev", "1", tuple(self._view(one) for one in self.pools))

    def _view(self, pool_id: str) -> PoolView:
        return PoolView(
            id=pool_id, name=pool_id, backend="image", path="/", node_id=f"id-of-{self.name}", device_class="ssd",
            topology={KEY: f"id-of-{self.name}"}, schedulable=True, abilities=(), volumes=len(self.pools[pool_id]),
        )  # fmt: skip

    async def room(self, query: CapacityQuery) -> Room:
        self._answer()
        if self.refusal:
            raise self.refusal
        return Room(self.free, self.free, 4096)

    async def page(self, listing: Listing, token: str, limit: int) -> NodePage:
        self._answer()
        letter = "s" if listing == "snapshots" else "v"

        def shelf(pool_id: str) -> tuple[str, Callable[[str, int], Awaitable[list[str]]]]:
            async def read(after: str, count: int) -> list[str]:
                found = sorted(one for one in self.pools[pool_id] if one > after and ids.is_kind(one, letter))
                return found[:count] if count else found

            return pool_id, read

        shelves = [shelf(pool_id) for pool_id in sorted(self.pools)]
        page = await pages.page(QUERIES[listing], token, limit, shelves, lambda one: one)
        return NodePage([Listed(one, one.encode()) for one in page.entries], page.next_token)

    async def close(self, grace: float) -> None:
        self.is_closed = True

    # -- what a send does --------------------------------------------------------------------------------------------

    async def make(self, letter: str, name: str) -> str:
        """The id of what is called ``name``, found or made in the first pool."""
        self.calls.append(f"create {name}")
        self._answer()
        if self.refusal:
            raise self.refusal
        for pool_id in self.pools:
            if (made := ids.derive(pool_id, letter, name)) in self.pools[pool_id]:
                return made
        pool_id = next(iter(self.pools))
        made = ids.derive(pool_id, letter, name)
        self.pools[pool_id].add(made)
        return made

    async def remove(self, object_id: str, pool_id: str) -> None:
        """Gone; a pool that is not here is none of this node's business."""
        self.calls.append(f"delete {object_id}")
        self._answer()
        if pool_id and pool_id not in self.pools:
            raise errors.Unavailable(f"pool {pool_id} is not here any more")
        for held in self.pools.values():
            held.discard(object_id)


def making(letter: str, name: str) -> Callable[[Store, str], Awaitable[str]]:
    """A CreateVolume or CreateSnapshot to be sent."""
    return lambda node, _pool: node.make(letter, name)


def removing(object_id: str) -> Callable[[Store, str], Awaitable[None]]:
    """A delete to be sent."""
    return lambda node, pool_id: node.remove(object_id, pool_id)


def wanted(name: str, **changes: Any) -> VolumeRequest:
    """CreateVolume of that name."""
    return VolumeRequest(name, (Capability("mount"),), **changes)


@asynccontextmanager
async def running(directory: Path, *nodes: Store) -> AsyncIterator[Fleet[Store]]:
    """A fleet of ``nodes``, started, its state in ``directory``."""
    directory.mkdir(exist_ok=True)
    fleet = Fleet(Fixed(nodes), PlacementFile(directory), directory)
    await fleet.start()
    try:
        yield fleet
    finally:
        await fleet.stop()


async def heard(fleet: Fleet[Store], *nodes: Store) -> None:
    """Every one of ``nodes`` was heard out."""
    while any(not fleet._learning._done[node.name].is_set() for node in nodes if not node.lost):
        await _breath()
    for node in nodes:
        if not node.lost:
            for listing in QUERIES:
                while True:
                    try:
                        await fleet.memory.page(listing, node.name, "", 1)
                        break
                    except errors.Unavailable:
                        await _breath()


async def _breath() -> None:
    await asyncio.sleep(0.005)

"""Controllers that share their notes, stopped at every request they make, so that a test decides what happens next."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import msgspec

from driver.fleet.fleet import Fleet
from driver.fleet.membership import Fixed
from driver.fleet.nodes import Description, Listing, NodePage
from driver.model import errors, ids
from driver.model.capacity import CapacityQuery, Room
from driver.model.pool import PoolView
from tests.placements import Notes, SharedPlacement

from .conftest import GIB, KEY, wanted

NAME = "n"
PLACED = ids.local_part(ids.VOLUME, NAME)


class Node:
    """One pool, in which a volume of the one name is or is not; every try that reaches it looks for it first."""

    def __init__(self, name: str, pool_id: str) -> None:
        self.name = name
        self.pool_id = pool_id
        self.has_it = self.is_full = self.is_lost = False

    @property
    def volume_id(self) -> str:
        return ids.derive(self.pool_id, ids.VOLUME, NAME)

    async def describe(self) -> Description:
        self.check()
        view = PoolView(
            id=self.pool_id, name=self.name, backend="image", path="/", node_id=self.name, device_class="ssd",
            topology={KEY: self.name}, schedulable=True, abilities=(),
        )  # fmt: skip
        return Description(self.name, "holdall.csi.dev", "1", (view,))

    async def room(self, query: CapacityQuery) -> Room:
        self.check()
        return Room(GIB, GIB, 4096)

    async def page(self, listing: Listing, token: str, limit: int) -> NodePage:
        """Nothing: what controllers remember must not be what keeps names apart."""
        return NodePage([], "")

    async def close(self, grace: float) -> None: ...

    def check(self) -> None:
        if self.is_lost:
            raise errors.Unavailable(f"node {self.name} is lost")

    def create(self, refuses: bool) -> str:
        """A create arrives. ``refuses``: it is one that the node takes for wrong, whatever it has."""
        if refuses:
            raise errors.InvalidArgument("wrong")
        if not self.has_it and self.is_full:
            raise errors.NoSpace("full")
        self.has_it = True
        return self.volume_id


class OnItsWay(msgspec.Struct, frozen=True):
    """A create that nobody waits for any more, and that reaches its node yet."""

    node: Node
    refuses: bool
    since: float


class World:
    def __init__(self) -> None:
        self.nodes = [Node("a", "p00000000000a"), Node("b", "p00000000000b")]
        self.notes = Notes()
        self.notes.settled = True
        self.time = 1000.0
        self.late: list[OnItsWay] = []


class Controller:
    """One process, and the next after it was killed. It does one thing at a time; ``at`` says what it is about to do."""

    def __init__(self, world: World, directory: Path) -> None:
        self._world = world
        self._directory = directory
        self._count = 0
        self._fleet: Fleet[Node] | None = None
        self._task: asyncio.Task[str | None] | None = None
        self._gate: asyncio.Future[None] | None = None
        self._reached = asyncio.Event()
        self._sending: OnItsWay | None = None
        self.error: errors.DomainError | None = None
        self.result: str | None = None

    @property
    def is_busy(self) -> bool:
        return self._task is not None

    @property
    def sending(self) -> OnItsWay | None:
        """The create that has left and not arrived."""
        return self._sending

    async def begin_create(self, refuses: bool) -> None:
        fleet = await self._running()

        async def send(node: Node, _pool: str) -> str:
            self._sending = OnItsWay(node, refuses, self._world.time)
            await self._pause()
            self._sending = None
            node.check()
            try:
                return node.create(refuses)
            finally:
                await self._pause()

        await self._begin(fleet.create_volume(wanted(NAME), send))

    async def begin_delete(self, node: Node) -> None:
        fleet = await self._running()

        async def send(node: Node, _pool: str) -> None:
            await self._pause()
            node.check()
            node.has_it = False
            await self._pause()

        await self._begin(fleet.delete(node.volume_id, send))

    async def proceed(self) -> None:
        """What it was about to do is done."""
        assert self._gate is not None
        self._gate.set_result(None)
        await self._settle()

    async def until_sent(self) -> None:
        """Its create has left, and not arrived; or it ended before it came so far."""
        while self.is_busy and not self._sending:
            await self.proceed()

    async def until_done(self) -> None:
        """What it does comes to its end; the answer is in ``result``, and what it was refused with in ``error``."""
        while self.is_busy:
            await self.proceed()

    async def fail(self, *, arrives: bool) -> None:
        """What it waits for never comes: the request or the answer is lost. ``arrives``: a create does so yet."""
        assert self._gate is not None
        self._give_up(arrives)
        self._gate.set_exception(errors.Unavailable("lost"))
        await self._settle()

    async def kill(self, *, arrives: bool) -> None:
        """It ends where it is; what it sent may arrive yet."""
        self._give_up(arrives)
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._task = self._gate = None
        if self._fleet:
            await self._fleet.stop()
            self._fleet = None

    def _give_up(self, arrives: bool) -> None:
        if self._sending and arrives:
            self._world.late.append(self._sending)
        self._sending = None

    async def _running(self) -> Fleet[Node]:
        if self._fleet is None:
            self._count += 1
            directory = self._directory / str(self._count)
            directory.mkdir(parents=True)
            placement = SharedPlacement(self._world.notes, self._pause)
            self._fleet = Fleet(Fixed(self._world.nodes), placement, directory, clock=self._now)
            await self._fleet.start()
        return self._fleet

    def _now(self) -> float:
        return self._world.time

    async def _begin(self, work: Awaitable[str | None]) -> None:
        self._task = asyncio.ensure_future(work)
        await self._settle()

    async def _pause(self) -> None:
        if self._task is None or asyncio.current_task() is not self._task:
            return  # in the background
        self._gate = asyncio.get_running_loop().create_future()
        self._reached.set()
        await self._gate

    async def _settle(self) -> None:
        """It is at its next request, or has ended, in an answer or a domain error."""
        assert self._task is not None
        self._reached.clear()
        reached = asyncio.ensure_future(self._reached.wait())
        await asyncio.wait({reached, self._task}, return_when=asyncio.FIRST_COMPLETED)
        reached.cancel()
        if self._task.done():
            error = self._task.exception()
            assert error is None or isinstance(error, errors.DomainError), error
            self.error, self.result = error, None if error else self._task.result()
            self._task = self._gate = None

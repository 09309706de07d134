"""Members come, go and move while the fleet runs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from driver.fleet.fleet import Fleet
from driver.fleet.membership import Seat
from driver.model import errors, ids

from .conftest import Store, heard, making, wanted
from .sim import SharedPlacement, World

PA, PB = "p00000000000a", "p00000000000b"
ON_A, ON_B = ids.derive(PA, "v", "on-a"), ids.derive(PB, "v", "on-b")


class Table:
    """A membership as a test says."""

    def __init__(self, *nodes: Store) -> None:
        self._seats: dict[str, Seat[Store]] = {node.name: Seat(node, expected=False) for node in nodes}
        self._told: list[Callable[[], None]] = []
        self.given_up: set[str] = set()

    def seats(self) -> Mapping[str, Seat[Store]]:
        return self._seats

    def gives_up(self, name: str) -> bool:
        return name in self.given_up

    def follow(self, changed: Callable[[], None]) -> None:
        self._told.append(changed)

    async def sit(self, name: str, node: Store | None, reason: str = "") -> None:
        self._seats[name] = Seat(node, reason, expected=False)
        await self._tell()

    async def leave(self, name: str) -> None:
        del self._seats[name]
        self.given_up.add(name)
        await self._tell()

    async def _tell(self) -> None:
        for told in self._told:
            told()
        await asyncio.sleep(0.05)


@asynccontextmanager
async def seated(directory: Path, table: Table) -> AsyncIterator[Fleet[Store]]:
    fleet = Fleet(table, SharedPlacement(World().notes), directory)
    await fleet.start()
    try:
        yield fleet
    finally:
        await fleet.stop()


async def name_of(node: Store, _pool: str) -> str:
    node._answer()
    return node.name


async def test_a_new_node_is_used_without_a_restart(tmp_path: Path) -> None:
    a, b = Store("a", PA), Store("b", PB)
    table = Table(a)
    async with seated(tmp_path, table) as fleet:
        await table.sit("b", b)
        assert await fleet.call(ON_B, name_of) == "b"


async def test_a_member_without_a_pod_is_lost_at_once_and_speaks_from_memory(tmp_path: Path) -> None:
    """UNAVAILABLE for the reason known, naming it; its volumes are listed; others are not blocked."""
    a, b = Store("a", PA), Store("b", PB)
    a.pools[PA].add(ON_A)
    table = Table(a, b)
    async with seated(tmp_path, table) as fleet:
        await heard(fleet, a, b)
        await table.sit("a", None, "node a has no Holdall pod now")
        with pytest.raises(errors.Unavailable, match="node a has no Holdall pod now"):
            await fleet.call(ON_A, name_of)
        assert await fleet.call(ON_B, name_of) == "b"
        assert [one.id for one in (await fleet.merge.page("volumes", "", 100)).entries] == [ON_A]


async def test_a_member_that_moved_is_asked_at_its_new_place(tmp_path: Path) -> None:
    """A pod with another address is the same member; what it was called at is closed."""
    before, after = Store("a", PA), Store("a", PA)
    table = Table(before)
    async with seated(tmp_path, table) as fleet:
        before.lost = True
        await table.sit("a", after)
        assert await fleet.call(ON_A, name_of) == "a"
        assert (before.is_closed, after.is_closed) == (True, False)
    assert after.is_closed


async def test_a_node_that_never_answered_anybody_holds_up_no_list(tmp_path: Path) -> None:
    """It was never listed, so the list is not shorter for it: a new node's pod may take minutes to start."""
    a, b = Store("a", PA), Store("b", PB)
    a.pools[PA].add(ON_A)
    b.lost = True
    async with seated(tmp_path, Table(a, b)) as fleet:
        assert [one.id for one in (await fleet.merge.page("volumes", "", 100)).entries] == [ON_A]
        assert (await fleet.create_volume(wanted("n"), making("v", "n"))).startswith(PA)


async def test_a_note_of_a_node_not_known_here_is_waited_for(tmp_path: Path) -> None:
    """Another controller may have seen it first; once it is given up, the name is free."""
    a = Store("a", PA)
    table = Table(a)
    async with seated(tmp_path, table) as fleet:
        await fleet._placement.claim(ids.local_part("v", "n"), "b", "other.1")
        with pytest.raises(errors.Unavailable, match="went to node b, which this controller does not know"):
            await fleet.create_volume(wanted("n"), making("v", "n"))
        await fleet._placement.learn("b", [ids.local_part("v", "m")])
        table.given_up.add("b")
        assert (await fleet.create_volume(wanted("m"), making("v", "m"))).startswith(PA)


async def test_what_was_given_up_is_gone(tmp_path: Path) -> None:
    """Its volumes are not listed any more, and a delete of one is done: nobody has it."""
    a, b = Store("a", PA), Store("b", PB)
    a.pools[PA].add(ON_A)
    table = Table(a, b)
    async with seated(tmp_path, table) as fleet:
        await heard(fleet, a, b)
        with pytest.raises(errors.FailedPrecondition, match="node a answers"):
            await fleet.forgetting.give_up("a")
        await table.sit("a", None, "node a is not in the cluster any more")
        await fleet.forgetting.give_up("a")
        await table.leave("a")
        assert (await fleet.merge.page("volumes", "", 100)).entries == []
        assert await fleet.call(ON_A, name_of) == "b"

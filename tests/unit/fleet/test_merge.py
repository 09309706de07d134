"""Lists and capacity of the whole fleet."""

from pathlib import Path

import pytest

from driver.engine import listing as pages
from driver.fleet.fleet import Fleet
from driver.fleet.nodes import Listed
from driver.model import errors, ids
from driver.model.capacity import CapacityQuery, Room

from .conftest import GIB, KEY, Store, heard, removing, running

PA, PB, PC, PD = (f"p00000000000{letter}" for letter in "abcd")


def filled(name: str, *pool_ids: str, count: int = 5) -> Store:
    node = Store(name, *pool_ids)
    for pool_id in pool_ids:
        node.pools[pool_id] = {ids.derive(pool_id, "v", f"{number}") for number in range(count)}
    return node


def everything(*nodes: Store) -> list[str]:
    return sorted(one for node in nodes for held in node.pools.values() for one in held)


async def walk(fleet: Fleet[Store], limit: int) -> list[list[str]]:
    found, token = [], ""
    while True:
        page = await fleet.merge.page("volumes", token, limit)
        found.append([one.id for one in page.entries])
        token = page.next_token
        if not token:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 19, 20, 21, 4000])
async def test_pages_together_are_all_nodes_lists_in_order_of_id(limit: int, tmp_path: Path) -> None:
    """Issue: merged over nodes in id order; pools of the nodes interleave. next_token is empty only at the end."""
    a, b = filled("a", PA, PC), filled("b", PB, PD)
    async with running(tmp_path, a, b) as fleet:
        found = await walk(fleet, limit)
    assert [one for page in found for one in page] == everything(a, b)
    assert all(len(page) == limit for page in found[:-1])


async def test_a_lost_node_speaks_from_memory(tmp_path: Path) -> None:
    """Issue: never silently shorter: entries of a lost node come from memory."""
    a, b = filled("a", PA, PC), filled("b", PB, PD)
    before = everything(a, b)
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        b.lost = True
        for limit in (1, 3, 4000):
            assert [one for page in await walk(fleet, limit) for one in page] == before


async def test_what_was_listed_once_is_listed_when_its_node_is_lost(tmp_path: Path) -> None:
    """Made through another controller since the node was heard out: it was in our own answer, so it is in the next one."""
    a, b = filled("a", PA), filled("b", PB, PD)
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        b.pools[PB].add(ids.derive(PB, "v", "made elsewhere"))
        before = everything(a, b)
        for limit in (3, 4000):
            assert [one for page in await walk(fleet, limit) for one in page] == before
        b.lost = True
        assert [one for page in await walk(fleet, 3) for one in page] == before


async def test_a_node_lost_since_before_the_start_speaks_from_memory(tmp_path: Path) -> None:
    """A restart of the controller does not make the list shorter either."""
    a, b = filled("a", PA), filled("b", PB)
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
    b.lost = True
    async with running(tmp_path, a, b) as fleet:
        assert (await walk(fleet, 4000))[0] == everything(a, b)


async def test_a_node_neither_heard_nor_answering_makes_the_list_unavailable(tmp_path: Path) -> None:
    """Rather no list than one with holes: the CO takes what is not listed for gone."""
    a, b = filled("a", PA), filled("b", PB)
    b.lost = True
    async with running(tmp_path, a, b) as fleet:
        with pytest.raises(errors.Unavailable, match="node b"):
            await walk(fleet, 4000)


async def test_what_was_made_and_removed_since_is_in_the_memory_too(tmp_path: Path) -> None:
    """A node lost the moment after a create still has the volume."""
    a = filled("a", PA, count=2)
    gone = everything(a)[0]
    new = ids.derive(PA, "v", "new")
    async with running(tmp_path, a) as fleet:
        await heard(fleet, a)
        a.pools[PA].add(new)
        await fleet.remember("volumes", Listed(new, b""))
        await fleet.delete(gone, removing(gone))
        a.lost = True
        assert (await walk(fleet, 4000))[0] == everything(a)


async def test_a_pool_that_moved_is_listed_once(tmp_path: Path) -> None:
    """Its old node is lost and still remembered with it."""
    a, b = filled("a", PA, PC), filled("b", PB)
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        a.lost = True
        b.pools[PA] = set(a.pools[PA])
        fleet.roster._looked_at_all = float("-inf")
        found = (await walk(fleet, 4000))[0]
    assert len(found) == len(set(found)) == 15


@pytest.mark.parametrize("token", ["invalid-token", pages.token("snapshots  ", f"{PA}.v-x"), "~"])
async def test_a_foreign_token_is_stale(token: str, tmp_path: Path) -> None:
    """CSI ListVolumes: a token that was not given out here is ABORTED."""
    async with running(tmp_path, filled("a", PA)) as fleet:
        with pytest.raises(errors.StaleToken):
            await fleet.merge.page("volumes", token, 4000)


async def test_a_token_survives_the_entry_it_names(tmp_path: Path) -> None:
    """CSI: paging under concurrent change; nothing is listed twice or left out."""
    a = filled("a", PA, count=6)
    async with running(tmp_path, a) as fleet:
        first = await fleet.merge.page("volumes", "", 3)
        a.pools[PA].discard(first.entries[-1].id)
        rest = await fleet.merge.page("volumes", first.next_token, 3)
    assert [one.id for one in rest.entries] == everything(a)[-3:]


async def test_capacity_is_summed_and_the_largest_volume_is_one_nodes(tmp_path: Path) -> None:
    """CSI GetCapacity: available together, maximum_volume_size for a single volume."""
    a, b = Store("a", PA, room=3 * GIB), Store("b", PB, room=2 * GIB)
    async with running(tmp_path, a, b) as fleet:
        assert await fleet.merge.room(CapacityQuery()) == Room(5 * GIB, 3 * GIB, 4096)


async def test_capacity_of_a_segment_is_that_nodes_alone(tmp_path: Path) -> None:
    """CSI GetCapacity.accessible_topology; a segment of nobody has none."""
    a, b = Store("a", PA, room=3 * GIB), Store("b", PB, room=2 * GIB)
    async with running(tmp_path, a, b) as fleet:
        assert await fleet.merge.room(CapacityQuery(topology={KEY: "id-of-b"})) == Room(2 * GIB, 2 * GIB, 4096)
        assert await fleet.merge.room(CapacityQuery(topology={KEY: "x"})) == Room(0, 0, 0)


async def test_a_lost_node_has_no_room(tmp_path: Path) -> None:
    """The scheduler must not send a pod where no volume can be made now."""
    a, b = Store("a", PA, room=3 * GIB), Store("b", PB, room=2 * GIB)
    async with running(tmp_path, a, b) as fleet:
        b.lost = True
        assert await fleet.merge.room(CapacityQuery()) == Room(3 * GIB, 3 * GIB, 4096)


async def test_a_query_that_every_node_refuses_is_refused(tmp_path: Path) -> None:
    """A wrong parameter is INVALID_ARGUMENT; one that only some nodes know is not wrong."""
    a, b = Store("a", PA, room=3 * GIB), Store("b", PB)
    b.refusal = errors.InvalidArgument("parameter pool names no pool here")
    async with running(tmp_path, a, b) as fleet:
        assert (await fleet.merge.room(CapacityQuery())).available == 3 * GIB
        a.refusal = b.refusal
        with pytest.raises(errors.InvalidArgument):
            await fleet.merge.room(CapacityQuery())

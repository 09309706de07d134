"""Which node a new volume is tried on, and in which order."""

from pathlib import Path

import pytest

from driver.fleet.choice import Offer, order
from driver.model import errors
from driver.model.capacity import Room
from driver.model.sizes import SizeRange

from .conftest import GIB, KEY, Store, heard, making, running, wanted


def offer(name: str, maximum: int | None) -> Offer:
    return Offer(name, None if maximum is None else Room(maximum, maximum, 4096))


@pytest.mark.parametrize(
    ("offers", "size", "tried"),
    [
        ([offer("a", 5), offer("b", 9)], 3, ["b", "a"]),
        ([offer("a", 2), offer("b", 9)], 3, ["b"]),
        ([offer("a", 1), offer("b", 2)], 3, ["b"]),
        ([offer("a", None), offer("b", 0)], 0, ["b"]),
        ([offer("a", None)], 0, ["a"]),
        ([offer("b", 5), offer("a", 5)], 3, ["a", "b"]),
    ],
)
def test_the_emptiest_first(offers: list[Offer], size: int, tried: list[str]) -> None:
    """Issue: the node with the most free room. Nothing with room: the nearest is asked, and says why not."""
    assert order(offers, size) == tried


async def test_a_volume_goes_to_the_node_with_the_most_room(tmp_path: Path) -> None:
    """Issue: else the node with the most free room by GetCapacity."""
    a, b = Store("a", "p00000000000a", room=1 * GIB), Store("b", "p00000000000b", room=2 * GIB)
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        assert (await fleet.create_volume(wanted("n"), making("v", "n"))).startswith("p00000000000b")


async def test_topology_decides_before_room(tmp_path: Path) -> None:
    """Issue: accessibility requirements, preferred first."""
    a, b = Store("a", "p00000000000a", room=1 * GIB), Store("b", "p00000000000b", room=2 * GIB)
    on_a, on_b = {KEY: "id-of-a"}, {KEY: "id-of-b"}
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        made = await fleet.create_volume(wanted("n", requisite=(on_a,)), making("v", "n"))
        assert made.startswith("p00000000000a")
        made = await fleet.create_volume(wanted("m", requisite=(on_a, on_b), preferred=(on_a,)), making("v", "m"))
        assert made.startswith("p00000000000a")


@pytest.mark.parametrize("lost", [False, True])
async def test_another_node_is_no_substitute_for_the_preferred_one(tmp_path: Path, lost: bool) -> None:
    """Issue: a plain create uses the preferred node or is RESOURCE_EXHAUSTED, so that the scheduler chooses again: the pod
    may be able to run on that node only, and then a volume elsewhere keeps it from ever starting."""
    a, b = Store("a", "p00000000000a", room=1 * GIB), Store("b", "p00000000000b", room=20 * GIB)
    on_a, on_b = {KEY: "id-of-a"}, {KEY: "id-of-b"}
    request = wanted("n", size=SizeRange(5 * GIB), requisite=(on_a, on_b), preferred=(on_a, on_b))

    async def send(node: Store, _pool: str) -> str:
        if node.free < request.size.required:
            raise errors.NoSpace(f"{node.name} is full")
        return await node.make("v", "n")

    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        a.lost = lost
        await fleet.roster.look(fleet.roster.all()[0])
        with pytest.raises(errors.Unplaceable if lost else errors.NoSpace, match="node a"):
            await fleet.create_volume(request, send)
        a.lost, a.free = False, 20 * GIB
        await fleet.roster.look(fleet.roster.all()[0])
        assert (await fleet.create_volume(request, send)).startswith("p00000000000a")


async def test_a_topology_of_nobody_is_resource_exhausted(tmp_path: Path) -> None:
    """CSI CreateVolume: unable to provision in accessible_topology is RESOURCE_EXHAUSTED, not a wrong argument."""
    a = Store("a", "p00000000000a")
    async with running(tmp_path, a) as fleet:
        await heard(fleet, a)
        with pytest.raises(errors.Unplaceable, match="no node has a pool in the wanted topology; nodes: a"):
            await fleet.create_volume(wanted("n", requisite=({KEY: "elsewhere"},)), making("v", "n"))


async def test_when_all_of_the_wanted_topology_are_lost_the_scheduler_is_sent_elsewhere(tmp_path: Path) -> None:
    """Issue: a node lost before a Placement was made is RESOURCE_EXHAUSTED; after that UNAVAILABLE: it may be there."""
    a, b = Store("a", "p00000000000a"), Store("b", "p00000000000b")
    only_a = {"requisite": ({KEY: "id-of-a"},)}
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        await fleet.create_volume(wanted("noted", **only_a), making("v", "noted"))
        a.lost = True
        await fleet.roster.look(fleet.roster.all()[0])
        with pytest.raises(errors.Unplaceable, match="do not answer: node a: connection refused"):
            await fleet.create_volume(wanted("n", **only_a), making("v", "n"))
        with pytest.raises(errors.Unavailable, match="node a: connection refused"):
            await fleet.create_volume(wanted("noted", **only_a), making("v", "noted"))
        # and a volume that may be anywhere is made elsewhere meanwhile
        assert (await fleet.create_volume(wanted("m"), making("v", "m"))).startswith("p00000000000b")


async def test_when_no_node_answers_at_all_the_answer_names_them(tmp_path: Path) -> None:
    """There is no elsewhere: UNAVAILABLE, since any may come back."""
    a = Store("a", "p00000000000a")
    async with running(tmp_path, a) as fleet:
        await heard(fleet, a)
        a.lost = True
        await fleet.roster.look(fleet.roster.all()[0])
        with pytest.raises(errors.Unavailable, match="do not answer: node a: connection refused"):
            await fleet.create_volume(wanted("n"), making("v", "n"))


async def test_the_next_best_node_is_tried_when_the_best_refuses(tmp_path: Path) -> None:
    """What GetCapacity said may be gone by the time of the create."""
    a, b = Store("a", "p00000000000a", room=9 * GIB), Store("b", "p00000000000b", room=5 * GIB)

    async def send(node: Store, _pool: str) -> str:
        if node is a:
            raise errors.NoSpace("full meanwhile")
        return await node.make("v", "n")

    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        assert (await fleet.create_volume(wanted("n"), send)).startswith("p00000000000b")


async def test_a_refusal_by_all_says_each_ones_reason(tmp_path: Path) -> None:
    """Issue: a refusal says per pool why not; over a fleet, per node."""
    a, b = Store("a", "p00000000000a"), Store("b", "p00000000000b")
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)

        async def send(node: Store, _pool: str) -> str:
            raise errors.NoSpace(f"{node.name} is full")

        with pytest.raises(errors.NoSpace, match=r"node \w: \w is full; node \w: \w is full"):
            await fleet.create_volume(wanted("n"), send)

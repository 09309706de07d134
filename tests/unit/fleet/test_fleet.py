"""Where calls go: by id to the node that has it, by name to the node it went to before."""

import asyncio
from pathlib import Path

import pytest

from driver.fleet.turns import Turns
from driver.model import errors, ids
from driver.model.snapshot import GroupRequest, SnapshotRequest
from driver.model.volume import Source

from .conftest import GIB, Store, heard, making, removing, running, wanted

PA, PB = "p00000000000a", "p00000000000b"
ON_A, ON_B = ids.derive(PA, "v", "on-a"), ids.derive(PB, "v", "on-b")


def two() -> tuple[Store, Store]:
    return Store("a", PA, room=2 * GIB), Store("b", PB, room=1 * GIB)


async def named(node: Store, _pool: str) -> str:
    """A call that answers where it was answered."""
    node._answer()
    return node.name


# -- by id -----------------------------------------------------------------------------------------------------------


async def test_a_call_by_id_goes_to_the_node_that_has_its_pool(tmp_path: Path) -> None:
    """Issue: pool id to node; the id itself says which pool."""
    async with running(tmp_path, *two()) as fleet:
        assert [await fleet.call(ON_A, named), await fleet.call(ON_B, named)] == ["a", "b"]


async def test_the_node_is_told_which_pool_it_is_taken_to_have(tmp_path: Path) -> None:
    """So that a node that lost the pool refuses, instead of saying "no such volume, hence deleted"."""

    async def told(_node: Store, pool_id: str) -> str:
        return pool_id

    async with running(tmp_path, *two()) as fleet:
        assert [await fleet.call(ON_A, told), await fleet.call("no-id-of-ours", told)] == [PA, ""]


async def test_an_id_of_nobody_is_answered_by_any_node(tmp_path: Path) -> None:
    """Each says the same of it: NOT_FOUND, or OK for a delete."""
    async with running(tmp_path, *two()) as fleet:
        assert await fleet.call("no-id-of-ours", named) in ("a", "b")
        assert await fleet.call(ids.derive("p0000000000ff", "v", "x"), named) in ("a", "b")


async def test_a_lost_node_is_unavailable_by_its_name_and_others_are_not(tmp_path: Path) -> None:
    """Issue: a lost node answers UNAVAILABLE with its name, and never blocks calls to others."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        a.lost = True
        with pytest.raises(errors.Unavailable, match="node a"):
            await fleet.call(ON_A, named)
        assert await fleet.call(ON_B, named) == "b"


async def test_a_node_that_is_back_is_used_at_once(tmp_path: Path) -> None:
    """Not only at the next look in the background."""
    a, b = two()
    a.lost = True
    async with running(tmp_path, a, b) as fleet:
        with pytest.raises(errors.Unavailable):
            await fleet.call(ON_A, named)
        a.lost = False
        fleet.roster._looked_at_all = float("-inf")
        assert await fleet.call(ON_A, named) == "a"


async def test_an_id_that_could_be_on_a_node_never_heard_is_not_called_unknown(tmp_path: Path) -> None:
    """NOT_FOUND would be taken for the truth: a delete would be called done, and the volume stay for ever."""
    a, b = two()
    a.lost = True
    async with running(tmp_path, a, b) as fleet:
        with pytest.raises(errors.Unavailable, match="not all answer: node a: connection refused"):
            await fleet.call(ON_A, named)


async def test_whose_a_lost_nodes_pools_are_is_known_after_a_restart(tmp_path: Path) -> None:
    """The refusal can name the node, though it never answered this process."""
    a, b = two()
    async with running(tmp_path, a, b):
        pass
    a.lost = True
    async with running(tmp_path, a, b) as fleet:
        with pytest.raises(errors.Unavailable, match="node a"):
            await fleet.call(ON_A, named)


async def test_a_pool_that_moved_is_found_again(tmp_path: Path) -> None:
    """A disk that moves to another node brings its volumes along."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        b.pools[PA] = a.pools.pop(PA)
        await fleet.delete(ON_A, removing(ON_A))
    assert b.calls == [f"delete {ON_A}"]


async def test_without_any_node_the_answer_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as fleet:
        with pytest.raises(errors.Unavailable, match="no node answers: none is configured"):
            await fleet.call("x", named)


# -- by name ---------------------------------------------------------------------------------------------------------


async def test_a_retry_goes_where_the_first_try_went(tmp_path: Path) -> None:
    """Design: a retried create must find the first try's pool, also after a kill, also when another has more room."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)

        async def answer_lost(node: Store, _pool: str) -> str:
            await node.make("v", "n")
            raise errors.Unavailable("the answer was lost")

        with pytest.raises(errors.Unavailable):
            await fleet.create_volume(wanted("n"), answer_lost)
    a.free = 0
    async with running(tmp_path, a, b) as fleet:
        assert (await fleet.create_volume(wanted("n"), making("v", "n"))).startswith(PA)
    assert b.calls == []


async def test_a_name_whose_node_is_lost_waits_for_it(tmp_path: Path) -> None:
    """It may have been made there: elsewhere it would be a second volume of one name."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        await fleet.create_volume(wanted("n"), making("v", "n"))
        a.lost = True
        with pytest.raises(errors.Unavailable, match="node a"):
            await fleet.create_volume(wanted("n"), making("v", "n"))
    assert b.calls == []


@pytest.mark.parametrize(
    "refusal", [errors.InvalidArgument, errors.OutOfRange, errors.NoSpace, errors.FailedPrecondition]
)
async def test_a_final_refusal_of_a_first_try_frees_the_name(refusal: type[errors.DomainError], tmp_path: Path) -> None:
    """Issue: the placement is removed on a final refusal; nothing was made."""
    a, b = two()

    async def refuse(_node: Store, _pool: str) -> str:
        raise refusal("no")

    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        with pytest.raises(refusal):
            await fleet.create_volume(wanted("n"), refuse)
        a.free = 0
        assert (await fleet.create_volume(wanted("n"), making("v", "n"))).startswith(PB)


@pytest.mark.parametrize("refusal", [errors.AlreadyExists, errors.Busy, errors.Unavailable, errors.HostFailed])
async def test_any_other_answer_keeps_the_name_where_it_is(refusal: type[errors.DomainError], tmp_path: Path) -> None:
    """It exists there, is being made there, or nobody knows."""
    a, b = two()

    async def refuse(_node: Store, _pool: str) -> str:
        raise refusal("perhaps")

    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        with pytest.raises(refusal):
            await fleet.create_volume(wanted("n"), refuse)
        a.free = 0
        assert (await fleet.create_volume(wanted("n"), making("v", "n"))).startswith(PA)


async def test_a_later_wrong_request_does_not_free_a_name_in_use(tmp_path: Path) -> None:
    """Same name, bad parameter: INVALID_ARGUMENT says nothing about the volume that is there."""
    a, b = two()

    async def refuse(_node: Store, _pool: str) -> str:
        raise errors.InvalidArgument("unknown parameter")

    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        await fleet.create_volume(wanted("n"), making("v", "n"))
        with pytest.raises(errors.InvalidArgument):
            await fleet.create_volume(wanted("n"), refuse)
        a.free = 0
        assert (await fleet.create_volume(wanted("n"), making("v", "n"))).startswith(PA)


async def test_a_noted_name_that_is_not_there_goes_elsewhere_once_the_node_is_full(tmp_path: Path) -> None:
    """A note made just before a crash must not tie a name to a full node for ever: it looked for the name first."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        await fleet._placement.claim(ids.local_part("v", "n"), "a", "")

        async def send(node: Store, _pool: str) -> str:
            if node is a:
                raise errors.NoSpace("full")
            return await node.make("v", "n")

        a.free = 0
        assert (await fleet.create_volume(wanted("n"), send)).startswith(PB)


async def test_delete_frees_the_name(tmp_path: Path) -> None:
    """Issue: DeleteVolume removes the placement."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        made = await fleet.create_volume(wanted("n"), making("v", "n"))
        await fleet.delete(made, removing(made))
        a.free = 0
        assert (await fleet.create_volume(wanted("n"), making("v", "n"))).startswith(PB)


async def test_a_repeated_delete_does_not_free_a_later_volume_of_the_name(tmp_path: Path) -> None:
    """The CO may send a call twice: the second comes when the name is already somebody else's."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        first = await fleet.create_volume(wanted("n"), making("v", "n"))
        await fleet.delete(first, removing(first))
        a.free = 0
        second = await fleet.create_volume(wanted("n"), making("v", "n"))
        await fleet.delete(first, removing(first))
        a.free = 9 * GIB
        assert await fleet.create_volume(wanted("n"), making("v", "n")) == second


async def test_a_lost_state_directory_is_made_anew_from_the_nodes(tmp_path: Path) -> None:
    """Issue: placements are rebuilt by asking nodes. The name's volume is found where it is, with more room elsewhere."""
    a, b = two()
    async with running(tmp_path / "old", a, b) as fleet:
        await heard(fleet, a, b)
        made = await fleet.create_volume(wanted("n"), making("v", "n"))
    a.free = 0
    async with running(tmp_path / "new", a, b) as fleet:
        await heard(fleet, a, b)
        assert await fleet.create_volume(wanted("n"), making("v", "n")) == made


async def test_with_a_new_state_directory_a_silent_node_is_waited_for(tmp_path: Path) -> None:
    """The name could be on it. The refusal says which node, and what to do when it never comes back."""
    a, b = two()
    a.lost = True
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, b)
        with pytest.raises(errors.Unavailable, match=r"could exist already on node a, .* take it out"):
            await fleet.create_volume(wanted("n"), making("v", "n"))
    async with running(tmp_path, b) as fleet:
        await heard(fleet, b)
        assert (await fleet.create_volume(wanted("n"), making("v", "n"))).startswith(PB)


async def test_one_name_at_a_time(tmp_path: Path) -> None:
    """Two first tries of one name at once must not go to two nodes."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)

        async def slow(node: Store, _pool: str) -> str:
            await asyncio.sleep(0.02)
            node.free -= 2 * GIB
            return await node.make("v", "n")

        found = await asyncio.gather(*(fleet.create_volume(wanted("n"), slow) for _ in range(5)))
    assert len(set(found)) == 1
    assert b.calls == []
    assert len(fleet._turns) == 0


async def test_turns_empty_themselves() -> None:
    """Also when a holder fails and when a waiter is cancelled."""
    turns = Turns()

    async def hold() -> None:
        async with turns.of("x"):
            await asyncio.sleep(60)

    holder, waiter = asyncio.create_task(hold()), asyncio.create_task(hold())
    await asyncio.sleep(0)
    waiter.cancel()
    holder.cancel()
    await asyncio.gather(holder, waiter, return_exceptions=True)
    assert len(turns) == 0


# -- beside a source -------------------------------------------------------------------------------------------------


async def test_a_restore_goes_to_its_source(tmp_path: Path) -> None:
    """Issue: the source's node for restore and clone, whatever room there is elsewhere."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        source = Source("snapshot", ids.derive(PB, "s", "s"))
        assert (await fleet.create_volume(wanted("n", source=source), making("v", "n"))).startswith(PB)


async def test_a_snapshot_goes_to_its_source(tmp_path: Path) -> None:
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        made = await fleet.create_snapshot(SnapshotRequest("s", ON_B), making("s", "s"))
        assert made.startswith(PB)


async def test_one_snapshot_name_with_sources_on_two_nodes_already_exists(tmp_path: Path) -> None:
    """CSI CreateSnapshot: same name, other source. No single node could know it."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        await fleet.create_snapshot(SnapshotRequest("s", ON_A), making("s", "s"))
        with pytest.raises(
            errors.AlreadyExists, match="snapshot s exists, or was begun, on node a; its source is on node b"
        ):
            await fleet.create_snapshot(SnapshotRequest("s", ON_B), making("s", "s"))
    assert b.calls == []


async def test_one_volume_name_with_a_source_elsewhere_already_exists(tmp_path: Path) -> None:
    """CSI CreateVolume: same name, other content source."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        await fleet.create_volume(wanted("n"), making("v", "n"))
        with pytest.raises(errors.AlreadyExists):
            await fleet.create_volume(wanted("n", source=Source("volume", ON_B)), making("v", "n"))


async def test_a_group_over_two_nodes_is_refused_by_name(tmp_path: Path) -> None:
    """Issue: members on several nodes are refused, saying which is where."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        with pytest.raises(errors.FailedPrecondition, match=f"{ON_A} on node a; {ON_B} on node b"):
            await fleet.create_group(GroupRequest("g", (ON_A, ON_B)), making("g", "g"))
    assert a.calls + b.calls == []


async def test_a_group_on_one_node_goes_there(tmp_path: Path) -> None:
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        made = await fleet.create_group(GroupRequest("g", (ON_B, ids.derive(PB, "v", "also"))), making("g", "g"))
        assert made.startswith(PB)


async def test_which_node_ids_exist(tmp_path: Path) -> None:
    """CSI ControllerPublishVolume: an unknown node is NOT_FOUND; one that never spoke could be it."""
    a, b = two()
    b.lost = True
    async with running(tmp_path, a, b) as fleet:
        assert await fleet.roster.knows_node("id-of-a")
        with pytest.raises(errors.Unavailable, match="these never answered: b"):
            await fleet.roster.knows_node("id-of-b")
        b.lost = False
        assert await fleet.roster.knows_node("id-of-b")
        assert not await fleet.roster.knows_node("stranger")

"""Pools given up: what that means for calls, lists and names, and how it is taken back."""

from pathlib import Path

import pytest

from driver.fleet import views
from driver.fleet.fleet import Fleet
from driver.fleet.forgotten import ForgottenFile
from driver.model import errors, ids

from .conftest import Store, heard, making, removing, running, wanted

PA, PB, PC = "p00000000000a", "p00000000000b", "p00000000000c"
ON_A, ON_B = ids.derive(PA, "v", "on-a"), ids.derive(PB, "v", "on-b")


def two() -> tuple[Store, Store]:
    a, b = Store("a", PA), Store("b", PB)
    a.pools[PA].add(ON_A)
    b.pools[PB].add(ON_B)
    return a, b


async def listed(fleet: Fleet[Store]) -> list[str]:
    return [one.id for one in (await fleet.merge.page("volumes", "", 100)).entries]


async def lose(fleet: Fleet[Store], node: Store) -> None:
    node.lost = True
    await fleet.roster.look_again()


async def find(fleet: Fleet[Store], node: Store) -> None:
    node.lost = False
    await fleet.roster.look_again()


async def test_what_lay_in_a_forgotten_pool_is_deleted_without_asking_anybody(tmp_path: Path) -> None:
    """Issue: `holdall pool forget` lets DeleteVolume of a dead node's volumes succeed."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        await lose(fleet, b)
        with pytest.raises(errors.Unavailable):
            await fleet.delete(ON_B, removing(ON_B))
        given_up = await fleet.forgetting.forget(PB)
        assert (given_up.name, given_up.node) == (PB, "b")
        a.calls.clear()
        await fleet.delete(ON_B, removing(ON_B))
        assert a.calls == []


async def test_a_forgotten_pool_leaves_the_lists(tmp_path: Path) -> None:
    """A lost node's volumes and pools are listed from memory; a forgotten pool's are not."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        await lose(fleet, b)
        assert await listed(fleet) == [ON_A, ON_B]
        await fleet.forgetting.forget(PB)
        assert await listed(fleet) == [ON_A]
        assert [view.id for _, view in views.pools(fleet.roster)] == [PA]


async def test_a_pool_is_not_forgotten_while_its_node_answers(tmp_path: Path) -> None:
    """Then it can be asked to delete, and would be made to forget by mistake."""
    a, b = two()
    b.lost = True
    async with running(tmp_path, a, b) as fleet:
        b.lost = False
        await fleet.roster.look_again()
        with pytest.raises(errors.FailedPrecondition, match="is on node b, which answers"):
            await fleet.forgetting.forget(PB)
        with pytest.raises(errors.NotFound, match=PC):
            await fleet.forgetting.forget(PC)
        assert await listed(fleet) == [ON_A, ON_B]


async def test_names_of_a_forgotten_pool_are_free(tmp_path: Path) -> None:
    """A create that was pinned to the dead node goes elsewhere."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        a.free = 0
        await fleet.create_volume(wanted("vol"), making("v", "vol"))
        await fleet.remember("volumes", (await b.page("volumes", "", 0)).entries[-1])
        a.free = 1 << 40
        await lose(fleet, b)
        with pytest.raises(errors.Unavailable, match="node b"):
            await fleet.create_volume(wanted("vol"), making("v", "vol"))
        await fleet.forgetting.forget(PB)
        assert await fleet.create_volume(wanted("vol"), making("v", "vol")) == ids.derive(PA, "v", "vol")


async def test_a_name_noted_without_a_volume_is_free_as_well(tmp_path: Path) -> None:
    """The node was lost before it answered, so nobody knows which of its pools it would have been."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        await fleet._placement.claim(ids.local_part("v", "half"), "b", "somebody.1")
        await lose(fleet, b)
        await fleet.forgetting.forget(PB)
        fleet._claims._seen["somebody.1"] = float("-inf")
        assert await fleet.create_volume(wanted("half"), making("v", "half")) == ids.derive(PA, "v", "half")


async def test_nothing_waits_for_a_node_that_had_only_forgotten_pools(tmp_path: Path) -> None:
    """An id of nobody is answered, though one node is silent: what that had is given up."""
    a, b = two()
    stranger = ids.derive(PC, "v", "x")
    async with running(tmp_path, a, b) as fleet:
        await lose(fleet, b)
        with pytest.raises(errors.Unavailable):
            await fleet.roster.holder(stranger)
        await fleet.forgetting.forget(PB)
        assert await fleet.roster.holder(stranger) is None


async def test_a_forgotten_pool_that_turns_up_is_not_served(tmp_path: Path) -> None:
    """What was told deleted must not come back; its health says why, and what undoes it."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        await lose(fleet, b)
        await fleet.forgetting.forget(PB)
        await find(fleet, b)
        assert await listed(fleet) == [ON_A]
        with pytest.raises(errors.NotFound, match=f"holdall pool remember {PB}"):
            await fleet.call(ON_B, making("v", "x"))
        (shown,) = [view for _, view in views.pools(fleet.roster) if view.id == PB]
        assert (shown.reachable, shown.ailments[0].reason) == (False, "Forgotten")
        assert "holdall pool remember" in shown.ailments[0].message


async def test_nothing_new_goes_to_a_node_with_a_forgotten_pool(tmp_path: Path) -> None:
    """It would put new volumes into that pool, or find a deleted one there by its name."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await lose(fleet, b)
        await fleet.forgetting.forget(PB)
        await find(fleet, b)
        a.free = 0
        a.refusal = errors.NoSpace("a is full")
        with pytest.raises(errors.NoSpace):
            await fleet.create_volume(wanted("new"), making("v", "new"))
        a.lost = True
        await fleet.roster.look_again()
        with pytest.raises(errors.Unplaceable, match="node b takes no new volumes"):
            await fleet.create_volume(wanted("other"), making("v", "other"))
        assert b.calls == []


async def test_a_forgotten_pool_is_served_again_once_it_is_remembered(tmp_path: Path) -> None:
    """With all it has, in lists and by id."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        await lose(fleet, b)
        await fleet.forgetting.forget(PB)
        await find(fleet, b)
        await fleet.forgetting.remember(PB)
        assert await listed(fleet) == [ON_A, ON_B]
        await fleet.delete(ON_B, removing(ON_B))
        assert ON_B not in b.pools[PB]
        with pytest.raises(errors.NotFound, match="was not forgotten"):
            await fleet.forgetting.remember(PB)


async def test_forgetting_outlasts_the_controller_and_may_be_repeated(tmp_path: Path) -> None:
    """The decision is on the disk before anything follows from it."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        await heard(fleet, a, b)
        await lose(fleet, b)
        first = await fleet.forgetting.forget(PB)
    async with running(tmp_path, a, b) as fleet:
        assert await fleet.forgetting.forget(PB) == first
        await fleet.delete(ON_B, removing(ON_B))
        assert await listed(fleet) == [ON_A]


async def test_an_unreadable_decision_is_not_taken_for_none(tmp_path: Path) -> None:
    """Or every pool given up would be served again."""
    (tmp_path / "forgotten.json").write_text("{")
    with pytest.raises(errors.DataDamaged, match=r"forgotten\.json"):
        await ForgottenFile(tmp_path).open()


async def test_a_pool_that_left_its_new_node_is_its_old_one_s_again(tmp_path: Path) -> None:
    """As far as anybody knows: else nobody would be waited for, and it could not be given up."""
    a, b = two()
    async with running(tmp_path, a, b) as fleet:
        b.pools[PA] = set()
        await lose(fleet, a)
        holder = fleet.roster.at_hand(PA)
        assert holder is not None
        assert holder.name == "b"
        del b.pools[PA]
        await fleet.roster.look_again()
        assert (await fleet.forgetting.forget(PA)).node == "a"

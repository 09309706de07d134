"""The ways two controllers could make two volumes of one name, each tried by hand (test_two_controllers.py tries at random)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from driver.fleet.claims import FRESH, ON_ITS_WAY
from driver.model import errors

from .sim import PLACED, Controller, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def two(world: World, tmp_path: Path) -> AsyncIterator[tuple[Controller, Controller]]:
    both = Controller(world, tmp_path / "x"), Controller(world, tmp_path / "y")
    yield both
    for one in both:
        await one.kill(arrives=False)


Two = tuple[Controller, Controller]


def homes(world: World) -> str:
    return "".join(node.name for node in world.nodes if node.has_it)


def noted(world: World) -> str:
    note = world.notes.notes.get(PLACED)
    return note.node if note else ""


async def created(controller: Controller) -> None:
    await controller.begin_create(refuses=False)
    await controller.until_done()


async def test_who_comes_second_goes_where_the_first_went(world: World, two: Two) -> None:
    """Design: claim conflict: the note that was first."""
    x, y = two
    await x.begin_create(refuses=False)
    await y.begin_create(refuses=False)
    await x.until_sent()
    world.nodes[1].is_full = False
    await y.until_done()
    await x.until_done()
    assert x.result == y.result == world.nodes[0].volume_id
    assert homes(world) == "a"


async def test_a_first_try_that_is_refused_leaves_the_note_to_who_joined_it(world: World, two: Two) -> None:
    """Design: a drop that lost against another's join is not an error: join again and retry there."""
    x, y = two
    world.nodes[0].is_full = True
    await x.begin_create(refuses=False)
    await x.until_sent()
    await y.begin_create(refuses=False)
    await y.until_sent()
    await x.proceed()  # refused: it is about to drop
    world.nodes[0].is_full = False
    await x.until_done()
    await y.until_done()
    assert x.result == y.result == world.nodes[0].volume_id
    assert (homes(world), noted(world)) == ("a", "a")


async def test_who_joined_does_not_drop_the_note_under_the_first_try(world: World, two: Two) -> None:
    """The other way round: the first try may reach the node after the second was refused there."""
    x, y = two
    world.nodes[0].is_full = True
    await x.begin_create(refuses=False)
    await x.until_sent()
    await created(y)
    assert isinstance(y.error, errors.Busy)
    assert f"try again in {ON_ITS_WAY:.0f} s" in y.error.message
    world.nodes[0].is_full = False
    await x.until_done()
    await created(y)
    assert y.result == world.nodes[0].volume_id
    assert (homes(world), noted(world)) == ("a", "a")


async def test_what_a_killed_controller_sent_is_waited_for(world: World, two: Two) -> None:
    """It may arrive yet; when it cannot any more, the name goes elsewhere."""
    x, y = two
    world.nodes[0].is_full = True
    await x.begin_create(refuses=False)
    await x.until_sent()
    await x.kill(arrives=True)
    await created(y)
    assert isinstance(y.error, errors.Busy)
    world.late.clear()
    world.time += ON_ITS_WAY
    await created(y)
    assert y.result == world.nodes[1].volume_id
    assert (homes(world), noted(world)) == ("b", "b")


async def test_a_try_of_our_own_without_an_answer_is_waited_for(world: World, two: Two) -> None:
    """It may be on a connection that broke, and arrive after the next one's refusal."""
    x, _ = two
    world.nodes[0].is_full = True
    await x.begin_create(refuses=False)
    await x.until_sent()
    await x.fail(arrives=True)
    await x.until_done()
    assert isinstance(x.error, errors.Unavailable)
    await created(x)
    assert isinstance(x.error, errors.Busy)
    world.nodes[0].is_full = False
    late = world.late.pop()
    late.node.create(late.refuses)
    await created(x)
    assert (homes(world), noted(world)) == ("a", "a")


async def test_a_controller_that_stood_still_does_not_send_what_nobody_expects(world: World, two: Two) -> None:
    """Between its claim and its call an hour passed: others may have given the name to another node."""
    x, y = two
    world.nodes[0].is_full = True
    await x.begin_create(refuses=False)
    while noted(world) == "":
        await x.proceed()
    await created(y)
    world.time += ON_ITS_WAY
    await created(y)
    assert homes(world) == "b"
    world.nodes[0].is_full = False
    await x.until_done()
    assert isinstance(x.error, errors.Busy)
    assert f"more than {FRESH:g} s" in x.error.message
    await created(x)
    assert x.result == world.nodes[1].volume_id
    assert homes(world) == "b"


async def test_a_delete_drops_only_the_note_it_saw_before(world: World, two: Two) -> None:
    """Design: a create that joined meanwhile has its volume under the note."""
    x, y = two
    await created(x)
    await x.begin_delete(world.nodes[0])
    await x.proceed()  # the node has deleted it, and answers
    await created(y)
    await x.until_done()
    assert x.error is None
    assert (homes(world), noted(world)) == ("a", "a")


async def test_a_deleted_name_is_free(world: World, two: Two) -> None:
    """One note per name that exists."""
    x, _ = two
    await created(x)
    await x.begin_delete(world.nodes[0])
    await x.until_done()
    assert noted(world) == ""
    assert world.notes.notes == {}


async def test_a_delete_is_done_while_the_notes_are_away(world: World, two: Two) -> None:
    """Issue: API server away: calls by id keep working; creates that need a claim are UNAVAILABLE."""
    x, y = two
    await created(x)
    world.notes.is_away = True
    await x.begin_delete(world.nodes[0])
    await x.until_done()
    assert x.error is None
    assert homes(world) == ""
    await created(y)
    assert isinstance(y.error, errors.Unavailable)
    assert homes(world) == ""


async def test_the_answer_to_a_claim_that_was_lost_costs_nothing(world: World, two: Two) -> None:
    """The note is there, and nobody knows it: the retry joins it, wherever it comes."""
    x, y = two
    await x.begin_create(refuses=False)
    while noted(world) == "":
        await x.proceed()
    await x.fail(arrives=False)
    assert isinstance(x.error, errors.Unavailable)
    await created(y)
    await created(x)
    assert x.result == y.result == world.nodes[0].volume_id

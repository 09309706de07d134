"""Backend: what every pool does, whatever it is made of."""

import msgspec
import pytest

from driver.backends import base
from driver.model import errors
from driver.model.volume import Volume

from . import death, pools
from .world import MIB, Quiet, World, only, pattern

STRANGE = ("", ".", "..", "../../etc", "a/b", "x" * 300, "p0123456789ab.s-x-0123456789abcdef01234567", "p\0")


def test_space_is_that_of_the_filesystem(world: World) -> None:
    """``space``: bytes, free no more than there are, and at least half of the test's filesystem."""
    space = world.backend.space()
    assert pools.SIZE // 2 < space.free <= space.total <= pools.SIZE


def test_allocated_grows_with_data_and_not_with_size(world: World) -> None:
    """``allocated``: bytes volumes take up now."""
    before = world.backend.allocated()
    volume = world.create(size=64 * MIB)
    world.write(volume, pattern("a", 8 * MIB))
    world.idle(volume)
    assert 8 * MIB <= world.backend.allocated() - before < 12 * MIB


def test_a_shape_is_complete(world: World) -> None:
    """``shape``: every attribute in force has a value, also those nobody asked for."""
    shape = world.backend.shape(kind="filesystem", fs_type="", parameters={}, mutable={})
    assert shape.kind == "filesystem"
    assert shape.attributes.get("wipe") == "none"
    assert shape.minimum <= shape.default <= shape.maximum


def test_mutable_parameters_win(world: World) -> None:
    """``shape``: ``mutable`` wins over ``parameters``."""
    shape = world.backend.shape(kind="filesystem", fs_type="", parameters={"wipe": "none"}, mutable={"wipe": "discard"})
    assert shape.attributes["wipe"] == "discard"


def test_unknown_parameters_and_values_are_refused_by_name(world: World) -> None:
    """``shape``: InvalidArgument naming what is wrong and what is known."""
    for key, value, known in (("colour", "red", "wipe"), ("wipe", "shred", "discard"), ("wipe", "", "discard")):
        for given, mutable in (({key: value}, {}), ({}, {key: value})):
            with pytest.raises(errors.InvalidArgument, match=key) as refusal:
                world.backend.shape(kind="filesystem", fs_type="", parameters=given, mutable=mutable)
            assert known in refusal.value.message


def test_an_unknown_filesystem_is_refused_by_name(world: World) -> None:
    """``shape``: InvalidArgument naming the filesystem."""
    with pytest.raises(errors.InvalidArgument, match="minix"):
        world.backend.shape(kind="filesystem", fs_type="minix", parameters={}, mutable={})


def test_a_volume_exists_once_created(world: World) -> None:
    """``ensure_created``, ``exists``."""
    volume = world.volume(formatted=False)
    assert not world.backend.exists(volume)
    world.backend.ensure_created(volume)
    assert world.backend.exists(volume)


def test_creating_again_keeps_the_data(world: World) -> None:
    """Every ``ensure_…`` looks before it acts."""
    volume = world.create()
    world.write(volume, b"kept")
    world.backend.ensure_created(msgspec.structs.replace(volume, formatted=False))
    assert world.read(volume, 4) == b"kept"


def test_a_volume_never_formatted_is_made_again(world: World) -> None:
    """``ensure_created``: one that is not ``formatted`` and missing after a crash is made again by the next call."""
    volume = world.volume(formatted=False)
    for _ in range(2):
        world.backend.ensure_created(volume)
        assert world.backend.exists(volume)
        world.trash(volume, "t1")
        world.purge(volume, "t1")


def test_no_strange_id_becomes_a_path(world: World) -> None:
    """An id that is none of ours is InvalidArgument, and nothing in or beside the pool is touched."""
    before = world.names()
    for strange in STRANGE:
        volume = msgspec.structs.replace(world.volume(formatted=False), id=strange)
        with pytest.raises(errors.InvalidArgument):
            world.backend.ensure_created(volume)
        with pytest.raises(errors.InvalidArgument):
            world.backend.exists(volume)
        with pytest.raises(errors.InvalidArgument):
            world.backend.ensure_trashed(volume, "t1")
    assert world.names() == before


def test_no_strange_trash_id_becomes_a_path(world: World) -> None:
    """Ids of trash are names in one directory, or InvalidArgument."""
    volume = world.create()
    for strange in ("", ".", "..", "../volumes", "a/b", "x" * 300, "-rf\n"):
        with pytest.raises(errors.InvalidArgument):
            world.backend.ensure_trashed(volume, strange)
        with pytest.raises(errors.InvalidArgument):
            world.backend.ensure_purged(volume, strange, "none", Quiet())
        with pytest.raises(errors.InvalidArgument):
            world.backend.trash_allocated(strange)
    assert world.backend.exists(volume)


def test_trashing_frees_the_id_and_keeps_the_space(world: World) -> None:
    """``ensure_trashed``: the data lies in the trash, its id is free; ``trash_allocated``: what purging gives back."""
    volume = world.create()
    world.write(volume, pattern("a", 4 * MIB))
    world.idle(volume)
    world.trash(volume, "t1")
    assert not world.backend.exists(volume)
    assert world.entries("trash") == {"t1"}
    assert 4 * MIB <= world.backend.trash_allocated("t1") < 6 * MIB


def test_trashing_what_is_not_there_does_nothing(world: World) -> None:
    """``ensure_trashed``: nothing to do when it is not there."""
    before = world.names()
    world.trash(world.volume(), "t1")
    assert world.names() == before
    assert world.backend.trash_allocated("t1") == 0


def test_a_late_repeat_does_not_trash_a_namesake(world: World) -> None:
    """The same trash id again, after the name came again: the new volume stays."""
    volume = world.create()
    world.trash(volume, "t1")
    world.create()
    world.write(volume, b"new")
    world.idle(volume)
    world.trash(volume, "t1")
    assert world.read(volume, 3) == b"new"


def test_a_name_may_be_trashed_many_times(world: World) -> None:
    """Trash ids are unique also when a name comes again: each keeps its own data."""
    volume = world.volume()
    for number in range(3):
        world.create()
        world.trash(volume, f"t{number}")
    assert world.entries("trash") == {"t0", "t1", "t2"}


def test_purging_leaves_nothing_and_gives_the_space_back(world: World) -> None:
    """``ensure_purged``: nothing under the trash id is left; the space is given back."""
    before, names = world.backend.allocated(), world.names()
    volume = world.create(size=64 * MIB)
    world.write(volume, pattern("a", 48 * MIB))
    world.idle(volume)
    free = world.backend.space().free
    world.purge(volume, "t1")
    assert world.backend.allocated() - before < MIB
    assert world.names() == names
    world.settle()
    assert world.backend.space().free - free >= 40 * MIB


def test_purging_nothing_succeeds(world: World) -> None:
    """A purge may be repeated after a crash at any point, also after its last."""
    volume = world.create()
    for _ in range(3):
        world.purge(volume, "t1")


@only(lambda kind: kind.backend != "btrfs")
def test_a_purge_reports_and_stops(world: World) -> None:
    """Progress: asked to stop, it returns without finishing; called again, it finishes. (A subvolume goes in one step.)"""
    volume = world.create()
    world.write(volume, pattern("a", 4 * MIB))
    world.idle(volume)
    world.trash(volume, "t1")
    world.backend.ensure_purged(volume, "t1", "discard", Quiet(patience=0))
    assert world.entries("trash") == {"t1"}
    progress = Quiet()
    world.backend.ensure_purged(volume, "t1", "discard", progress)
    assert world.entries("trash") == set()
    assert progress.reports
    assert all(done <= total for done, total in progress.reports)


def test_contents_tells_ours_from_foreign(world: World) -> None:
    """``contents``: everything in the pool's directories, ours or not; foreign names as they stand."""
    volume = world.create("one")
    trashed = world.create("two")
    world.trash(trashed, "t1")
    (world.pool_path / "volumes" / "notes.txt").write_text("mine")
    assert world.entries("volume") == {volume.id}
    assert world.entries("trash") == {"t1"}
    assert "notes.txt" in world.entries("foreign")


def test_vanished_data_is_an_ailment_of_its_volume(world: World) -> None:
    """``volume_ailments``: data that is gone, of a volume that held some."""
    volume = world.create()
    world.trash(volume, "t1")
    (found,) = world.backend.volume_ailments(volume)
    assert volume.id in found.message
    assert list(world.backend.volume_ailments(msgspec.structs.replace(volume, formatted=False))) == []


@pytest.mark.parametrize("act", ["create", "trash", "purge", "purge-discard"])
def test_a_death_after_any_call_heals_on_repeat(world: World, act: str) -> None:
    """Every ``ensure_…`` may be repeated after a crash at any point: nothing lost, nothing doubled, nothing left over."""
    empty = world.names()

    def prepared(number: int) -> Volume:
        volume = world.volume(f"n{number}", 2 * MIB)
        if act != "create":
            world.create(f"n{number}", 2 * MIB)
            world.write(volume, b"data")
            world.idle(volume)
        if act.startswith("purge"):
            world.trash(volume, f"t{number}")
        return volume

    def body(volume: Volume, number: int) -> None:
        if act == "create":
            world.backend.ensure_created(msgspec.structs.replace(volume, formatted=False))
        elif act == "trash":
            world.backend.ensure_trashed(volume, f"t{number}")
        else:
            world.backend.ensure_purged(volume, f"t{number}", "discard" if act == "purge-discard" else "none", Quiet())

    for number in range(1, 40):
        volume = prepared(number)
        fate = death.after_effect(number, lambda volume=volume, number=number: body(volume, number))
        body(volume, number)
        assert world.backend.exists(volume) == (act == "create")
        assert world.entries("trash") == ({f"t{number}"} if act == "trash" else set())
        if act == "create":
            world.trash(volume, f"t{number}")
        world.backend.ensure_purged(volume, f"t{number}", "none", Quiet())
        assert world.names() == empty
        if fate == "finished":
            return
    pytest.fail("more than 39 effects")


def test_abilities_are_derived(world: World) -> None:
    """What a pool can do is derived from the Protocols its backend satisfies: volumes are devices or directories."""
    found = base.abilities(world.backend)
    assert ("devices" in found) != ("directories" in found)

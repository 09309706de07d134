"""Snapshots, Copies and SnapshotStore: points in time, whichever way a pool makes them."""

import msgspec
import pytest

from driver.backends import base
from driver.model import errors
from driver.model.snapshot import Snapshot
from driver.model.volume import Volume

from . import death
from .world import MIB, World, only, pattern

ABILITY = base.SnapshotStore


def store(world: World) -> base.SnapshotStore:
    assert isinstance(world.backend, base.SnapshotStore)
    return world.backend


def test_pools_share_extents_where_their_filesystem_does(world: World) -> None:
    """``shares_extents``: found out by really trying."""
    backend = world.backend
    assert (isinstance(backend, base.Snapshots) and backend.shares_extents()) == world.kind.shares


def test_a_snapshot_holds_what_the_volume_held(world: World) -> None:
    """``ensure_cut``, ``ensure_snapshot_copied``: the source's content as of one moment during this call."""
    volume = world.filled()
    snapshot = world.cut(volume)
    assert store(world).snapshot_exists(snapshot)
    world.write(volume, pattern("later", MIB))
    copy = world.restored(snapshot)
    assert world.read(copy, MIB) == pattern("one", MIB)
    assert world.read(volume, MIB) == pattern("later", MIB)


def test_a_clone_holds_what_the_volume_held(world: World) -> None:
    """``ensure_volume_from_volume``, ``ensure_volume_copied``; and neither sees what is written to the other."""
    volume = world.filled()
    clone = world.restored(volume, "clone")
    world.write(clone, b"clone")
    world.write(volume, b"source")
    assert world.read(clone, 16) == b"clone" + pattern("one", 16)[5:]
    assert world.read(volume, 16) == b"source" + pattern("one", 16)[6:]


def test_a_clone_cut_by_an_earlier_try_is_not_cut_again(world: World) -> None:
    """``ensure_volume_from_volume`` on a clone that exists does only what is left to do: its source may move by now."""
    volume = world.filled()
    clone = world.restored(volume, "clone")
    world.write(volume, b"moved on")
    world.fill(clone, volume)
    assert world.read(clone, MIB) == pattern("one", MIB)


@only(lambda kind: kind.backend == "image" and kind.shares)
def test_a_snapshot_is_of_the_call_that_cuts_it(world: World) -> None:
    """``ensure_cut``: as of one moment during this call, not of a call before."""
    volume = world.filled()
    snapshot = world.cut(volume)
    world.write(volume, b"moved on")
    world.make_snapshot(snapshot, volume)
    assert world.read(world.restored(snapshot), 8) == b"moved on"


def test_a_snapshot_outlives_its_volume(world: World) -> None:
    """The rest of a snapshot's life does not depend on its source."""
    volume = world.filled()
    snapshot = world.cut(volume)
    world.purge(volume, "t1")
    assert world.read(world.restored(snapshot), MIB) == pattern("one", MIB)


def test_a_restored_volume_outlives_the_snapshot(world: World) -> None:
    """Nor a volume's on the snapshot it was made from."""
    volume = world.filled()
    snapshot = world.cut(volume)
    copy = world.restored(snapshot)
    world.purge(snapshot, "t1")
    assert not store(world).snapshot_exists(snapshot)
    assert world.read(copy, MIB) == pattern("one", MIB)


def test_a_name_can_be_snapshot_again_after_a_delete(world: World) -> None:
    """A snapshot that was trashed frees its id, and the next of that name is cut anew."""
    volume = world.filled()
    snapshot = world.cut(volume)
    world.trash(snapshot, "t1")
    world.write(volume, b"second")
    world.idle(volume)
    world.cut(volume)
    assert world.read(world.restored(snapshot), 6) == b"second"


def test_a_volume_in_use_is_cut_with_what_was_written(world: World) -> None:
    """What a user wrote to the raw device without a flush is in the cut: the device is flushed first."""
    volume = world.filled()
    if isinstance(world.backend, base.Devices):
        with open(world.backend.attach(volume), "r+b", buffering=0) as device:
            device.write(b"unflushed")
            snapshot = world.cut(volume)
    else:
        world.write(volume, b"unflushed")
        snapshot = world.cut(volume)
    assert world.read(world.restored(snapshot), 9) == b"unflushed"


@only(lambda kind: kind.backend == "image")
def test_a_copy_has_its_own_size(world: World) -> None:
    """``volume`` is ``volume.size`` bytes large, and reads as zeros beyond the source's end."""
    assert isinstance(world.backend, base.Devices)
    volume = world.filled()
    snapshot = world.cut(volume)
    for number, source in enumerate((volume, snapshot)):
        larger = world.restored(source, f"larger{number}", 24 * MIB)
        with open(world.backend.attach(larger), "rb") as device:
            assert device.seek(0, 2) == 24 * MIB
        assert world.read(larger, MIB) == pattern("one", MIB)
        assert world.read(larger, 8 * MIB, offset=16 * MIB) == bytes(8 * MIB)


@only(lambda kind: kind.shares)
def test_shared_extents_take_no_more_space(world: World) -> None:
    """A cut and a clone share their source's extents: constant time, and hardly less room than before."""
    volume = world.create(size=128 * MIB)
    for offset in range(0, 96 * MIB, 32 * MIB):
        world.write(volume, pattern("a", 32 * MIB), offset)
    world.idle(volume)
    free = world.backend.space().free
    snapshot = world.cut(volume)
    world.restored(snapshot, size=128 * MIB)
    # btrfs keeps some room back for the metadata of each subvolume.
    assert free - world.backend.space().free < 64 * MIB


@only(lambda kind: kind.shares and kind.backend == "image")
def test_allocated_counts_a_shared_block_once(world: World) -> None:
    """``allocated``: bytes taken up; a block of several images is one block, or others' data would look smaller."""
    volume = world.filled()
    before = world.backend.allocated()
    world.restored(world.cut(volume))
    assert world.backend.allocated() == before
    world.write(volume, pattern("other", MIB // 2))
    assert world.backend.allocated() == before + MIB // 2


def test_a_snapshot_reserves_what_it_takes_up(world: World) -> None:
    """``snapshot_allocated``: bytes to reserve at the cut, shared or not; before the cut, those of its source."""
    volume = world.create(size=64 * MIB)
    world.write(volume, pattern("a", 8 * MIB))
    world.idle(volume)
    snapshot = world.snapshot(volume)
    assert 8 * MIB <= store(world).snapshot_allocated(snapshot, volume) < 12 * MIB
    world.make_snapshot(snapshot, volume)
    assert 8 * MIB <= store(world).snapshot_allocated(snapshot, None) < 12 * MIB


def test_a_missing_source_is_damage_and_nothing_is_made(world: World) -> None:
    """A snapshot or clone of data that is gone is refused, and leaves nothing behind."""
    volume = world.filled()
    world.purge(volume, "t1")
    before = world.names()
    for act in (lambda: world.cut(volume), lambda: world.restored(volume)):
        with pytest.raises(errors.DomainError):
            act()
    assert world.names() == before


def test_contents_shows_snapshots(world: World) -> None:
    """``contents``: snapshots in their own place, and trashed ones in the trash."""
    volume = world.filled()
    kept, gone = world.cut(volume, "kept"), world.cut(volume, "gone")
    world.trash(gone, "t1")
    assert world.entries("snapshot") == {kept.id}
    assert world.entries("volume") == {volume.id}
    assert world.entries("trash") == {"t1"}


def test_no_strange_snapshot_id_becomes_a_path(world: World) -> None:
    """An id that is none of ours is InvalidArgument, also a volume's."""
    volume = world.filled()
    before = world.names()
    for strange in ("", "..", "../x", volume.id):
        snapshot = msgspec.structs.replace(world.snapshot(volume), id=strange)
        for act in (
            store(world).snapshot_exists,
            lambda one: world.make_snapshot(one, volume),
            lambda one: world.trash(one, "t1"),
        ):
            with pytest.raises(errors.InvalidArgument):
                act(snapshot)
    assert world.names() == before


@pytest.mark.parametrize("act", ["snapshot", "restore", "clone", "trash"])
def test_a_death_after_any_call_heals_on_repeat(world: World, act: str) -> None:
    """A cut, a copy or a delete may be repeated after a crash at any point: complete, once, and nothing left over."""
    source = world.filled()
    cut = world.cut(source)
    before = world.names()
    for number in range(1, 60):
        snapshot = world.snapshot(source, f"n{number}")
        volume = world.volume(f"n{number}")

        def body(snapshot: Snapshot = snapshot, volume: Volume = volume, number: int = number) -> None:
            if act == "snapshot":
                world.make_snapshot(snapshot, source)
            elif act == "trash":
                world.trash(snapshot, f"t{number}")
            else:
                world.fill(volume, cut if act == "restore" else source)

        if act == "trash":
            world.make_snapshot(snapshot, source)
        fate = death.after_effect(number, body)
        body()
        if act == "snapshot":
            world.fill(volume, snapshot)
        if act == "trash":
            assert world.entries("trash") == {f"t{number}"}
        else:
            assert world.read(volume, MIB) == pattern("one", MIB)
            world.idle(volume)
        world.purge(volume, f"v{number}")
        world.purge(snapshot, f"t{number}")
        assert world.names() == before
        if fate == "finished":
            return
    pytest.fail("more than 59 effects")


@only(lambda kind: kind.backend == "image" and not kind.shares)
def test_cutting_where_extents_are_not_shared_fails(world: World) -> None:
    """Never a slow copy in place of a cut: the engine is told, and nothing is left."""
    assert isinstance(world.backend, base.Snapshots)
    volume = world.filled()
    before = world.names()
    with pytest.raises(errors.HostFailed):
        world.backend.ensure_cut(world.snapshot(volume), volume)
    assert world.names() == before

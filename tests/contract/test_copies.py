"""Copies: snapshots and clones by copying, from a source that nobody has open for writing; resumable."""

import pytest

from driver.backends import base

from .world import MIB, Quiet, World, only, pattern

ABILITY = base.Copies


@pytest.mark.parametrize("act", ["snapshot", "volume"])
@only(lambda kind: kind.name in ("image-ext4", "directory-ext4"))
def test_a_copy_stops_and_goes_on(world: World, act: str) -> None:
    """``Progress``: asked to stop it returns early and nobody sees it; continued where it was durable, it is complete."""
    assert isinstance(world.backend, base.Copies)
    source = world.create(size=128 * MIB)
    world.write(source, pattern("a", 96 * MIB))
    world.idle(source)
    snapshot, volume = world.snapshot(source), world.volume("copy", 128 * MIB)

    def copy(start: int, progress: Quiet) -> None:
        assert isinstance(world.backend, base.Copies)
        if act == "snapshot":
            world.backend.ensure_snapshot_copied(snapshot, source, start, progress)
        else:
            world.backend.ensure_volume_copied(volume, source, start, progress)

    first = Quiet(patience=10)
    copy(0, first)
    assert not world.backend.exists(volume)
    store = world.backend
    assert isinstance(store, base.SnapshotStore)
    assert not store.snapshot_exists(snapshot)
    done = max((report[0] for report in first.reports), default=0)
    world.reopen()
    second = Quiet()
    copy(done, second)
    assert done <= second.reports[-1][0] <= second.reports[-1][1]
    if act == "snapshot":
        world.fill(volume, snapshot)
    assert world.read(volume, 96 * MIB) == pattern("a", 96 * MIB)


@only(lambda kind: not kind.shares)
def test_a_continued_copy_whose_part_is_gone_begins_anew(world: World) -> None:
    """A part that a crash took, or one of another size, is not trusted: nothing of it would be data."""
    assert isinstance(world.backend, base.Copies)
    source = world.filled()
    snapshot = world.snapshot(source)
    world.backend.ensure_snapshot_copied(snapshot, source, MIB // 2, Quiet())
    assert world.read(world.restored(snapshot), MIB) == pattern("one", MIB)


@only(lambda kind: not kind.shares)
def test_an_abandoned_copy_goes_with_its_delete(world: World) -> None:
    """A part nobody lists is trashed and purged with the snapshot or volume it was to become."""
    assert isinstance(world.backend, base.Copies)
    source = world.filled()
    before = world.names()
    snapshot, volume = world.snapshot(source), world.volume("copy")
    world.backend.ensure_snapshot_copied(snapshot, source, 0, Quiet(patience=0))
    world.backend.ensure_volume_copied(volume, source, 0, Quiet(patience=0))
    world.purge(snapshot, "t1")
    world.purge(volume, "t2")
    assert world.names() == before


@only(lambda kind: not kind.shares)
def test_a_copy_takes_no_more_than_the_data(world: World) -> None:
    """Holes stay holes: copying a sparse volume takes the space of its data."""
    source = world.create(size=64 * MIB)
    world.write(source, pattern("a", 4 * MIB), offset=32 * MIB)
    world.idle(source)
    before = world.backend.allocated()
    world.cut(source)
    assert 4 * MIB <= world.backend.allocated() - before < 8 * MIB

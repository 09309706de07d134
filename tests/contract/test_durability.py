"""What a backend calls durable outlives a power cut: every sync it needs is there, and in its place."""

import msgspec
import pytest

from driver.backends import base, registry

from .journal import Journal
from .world import MIB, Quiet, World, only, pattern

ABILITY = base.Devices


def check(journal: Journal) -> None:
    assert journal.errors == []
    assert journal.volatile == set()


def test_an_opened_pool_is_durable(world: World, scratch: object) -> None:
    """``open``: layout directories present; a pool whose directories a power cut takes would be begun a second time."""
    if world.kind.given:
        fresh = world.pool_path / "fresh"
        fresh.mkdir()
        config = msgspec.structs.replace(world.ground.config, path=str(fresh))
    else:
        config = msgspec.structs.replace(
            world.ground.config, options={**world.ground.config.options, "image": f"{scratch}/other.img"}
        )
    backend = registry.create(config, world.ground.root / "other")
    with Journal() as journal:
        backend.open()
    backend.close()
    journal.directories.discard(str(world.ground.root / "other"))
    check(journal)


def test_what_a_crash_left_unsynced_is_synced_by_the_repeat(world: World) -> None:
    """A name that is seen may still be lost: what finds its work done syncs it all the same."""
    volume = world.filled()
    snapshot = world.cut(volume)
    root = str(world.pool_path)
    with Journal() as journal:
        journal.unsure(root, world.backend.home)
        world.backend.open()
    check(journal)
    if not world.kind.shares:
        with Journal() as journal:
            journal.unsure(f"{root}/snapshots")
            world.make_snapshot(snapshot, volume)
        check(journal)
    world.trash(volume, "t1")
    with Journal() as journal:
        journal.unsure(f"{root}/volumes", f"{root}/.holdall/trash")
        world.trash(volume, "t1")
    check(journal)
    world.purge(volume, "t1")
    with Journal() as journal:
        journal.unsure(f"{root}/.holdall/trash")
        world.backend.ensure_purged(volume, "t1", "none", Quiet())
    check(journal)


def test_an_empty_thin_volume_need_not_be_durable(world: World) -> None:
    """``ensure_created`` need not be synced when it is empty: it is made again. That is what makes creating quick."""
    with Journal() as journal:
        world.create()
    assert journal.volatile


def test_a_thick_volume_is_durable(world: World) -> None:
    """A promise of blocks that a power cut takes would be none."""
    with Journal() as journal:
        world.create(provisioning="thick")
    check(journal)


@pytest.mark.parametrize("provisioning", ["thin", "thick"])
def test_a_snapshot_and_what_is_made_from_it_are_durable(world: World, provisioning: str) -> None:
    """``ensure_cut``, ``ensure_volume_from_…``, ``ensure_…_copied``: durable and complete when they return."""
    volume = world.filled()
    snapshot = world.snapshot(volume)
    with Journal() as journal:
        world.make_snapshot(snapshot, volume)
    check(journal)
    for name, source in (("restored", snapshot), ("clone", volume)):
        for size in (16 * MIB, 24 * MIB):
            with Journal() as journal:
                world.fill(world.volume(f"{name}{size}", size, provisioning=provisioning), source)
            check(journal)


@only(lambda kind: not kind.shares)
def test_what_a_copy_reports_is_durable(world: World) -> None:
    """``report``: ``done`` bytes are written AND durable, the name of the part as well: a resumed run may start there."""
    volume = world.create(size=128 * MIB)
    world.write(volume, pattern("a", 96 * MIB))
    world.idle(volume)
    seen: list[set[str]] = []

    class Watching(Quiet):
        def report(self, done: int, total: int) -> None:
            seen.append(set(journal.volatile))

    assert isinstance(world.backend, base.Copies)
    with Journal() as journal:
        world.backend.ensure_snapshot_copied(world.snapshot(volume), volume, 0, Watching())
    assert len(seen) > 1
    assert not any(seen)
    check(journal)


@pytest.mark.parametrize("provisioning", ["thin", "thick"])
def test_growth_is_durable(world: World, provisioning: str) -> None:
    """``ensure_resized``: durable; the record may rely on it."""
    volume = world.filled(provisioning=provisioning)
    assert isinstance(world.backend, base.Expansion)
    with Journal() as journal:
        world.backend.ensure_resized(volume, 32 * MIB)
    check(journal)


def test_growth_is_durable_also_when_a_crash_came_between(world: World) -> None:
    """A file that already has its size may not have been synced: the repeat does it."""
    volume = world.filled()
    assert isinstance(world.backend, base.Expansion)
    world.backend.ensure_resized(volume, 32 * MIB)
    with Journal() as journal:
        journal.unsure(str(world.pool_path / "volumes" / f"{volume.id}.img"))
        world.backend.ensure_resized(volume, 32 * MIB)
    check(journal)


def test_changed_attributes_are_durable(world: World) -> None:
    """``ensure_attributes``: in force, whatever comes."""
    volume = world.filled()
    assert isinstance(world.backend, base.Attributes)
    thick = world.backend.checked_attributes(volume, {"provisioning": "thick"})
    with Journal() as journal:
        world.backend.ensure_attributes(volume, thick)
    check(journal)
    with Journal() as journal:
        world.backend.ensure_attributes(msgspec.structs.replace(volume, attributes=thick), volume.attributes)
    check(journal)


def test_a_delete_is_durable(world: World) -> None:
    """``ensure_trashed``: the name is free also after a power cut, or a new volume of it would find the old data."""
    volume = world.filled()
    snapshot = world.cut(volume)
    for thing, trash in ((volume, "t1"), (snapshot, "t2")):
        with Journal() as journal:
            world.trash(thing, trash)
        check(journal)


@pytest.mark.parametrize("wipe", ["none", "discard"])
def test_a_purge_is_durable(world: World, wipe: str) -> None:
    """``ensure_purged``: what is gone does not come back, when nobody remembers that it was to go."""
    volume = world.filled()
    world.trash(volume, "t1")
    with Journal() as journal:
        world.backend.ensure_purged(volume, "t1", wipe, Quiet())
    check(journal)


@only(lambda kind: kind.name == "image-ext4")
def test_a_wipe_is_durable_before_the_name_goes(world: World) -> None:
    """``wipe=zero``: the zeros are on the disk before the blocks are free: nobody would write them afterwards."""
    volume = world.filled(wipe="zero")
    world.trash(volume, "t1")
    lost: list[str] = []

    class Watching(Journal):
        def before(self, name: str, args: tuple[object, ...]) -> None:
            if name == "files.punch" and not lost and self.files:
                lost.append("blocks were given back before their zeros were synced")
            super().before(name, args)

    with Watching() as journal:
        world.backend.ensure_purged(volume, "t1", "zero", Quiet())
    assert lost == []
    check(journal)


def test_a_flush_precedes_the_cut(world: World) -> None:
    """A block volume's snapshot: fsync of the device, then the cut."""
    volume = world.create()
    world.write(volume, pattern("a", MIB))
    assert isinstance(world.backend, base.Devices)
    device = world.backend.attached(volume)
    order: list[str] = []

    class Watching(Journal):
        def before(self, name: str, args: tuple[object, ...]) -> None:
            if args and args[0] == device:
                order.append("flush")
            if name in ("reflink.clone", "reflink.copy_range"):
                order.append("cut")
            super().before(name, args)

    with Watching():
        world.cut(volume)
    assert order[:2] == ["flush", "cut"]

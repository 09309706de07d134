"""A pool with nothing left: it can still be opened, and what is deleted gives room again."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from driver.backends import registry
from driver.model import errors
from driver.model.health import Status

from . import pools
from .journal import Journal
from .pools import Filesystems, Kind
from .world import MIB, Quiet, World, pattern

SMALL = {"xfs": 320 * MIB, "ext4": 64 * MIB, "btrfs": 128 * MIB, "own": 320 * MIB}


@pytest.fixture
def world(kind: Kind, scratch: Path) -> Iterator[World]:
    """A pool on a small filesystem of its own, which a test may fill to the last byte."""
    made = Filesystems(scratch / "small", SMALL)
    try:
        with kind.make(made, scratch) as ground:
            world = World(kind, ground)
            yield world
            world.backend.close()
    finally:
        made.close()


def fill_up(world: World) -> None:
    """No byte is free: large files first, then ever smaller ones, until not even an empty one fits or ends up with data."""
    target = world.pool_path / "ballast-of-the-test"
    target.mkdir(exist_ok=True)
    number = 0
    for size in (8 * MIB, MIB, 64 * 1024, 4096, 1):
        while _put(target / str(number), size):
            number += 1
    world.settle()


def _put(path: Path, size: int) -> bool:
    try:
        with open(path, "wb", buffering=0) as file:
            file.write(b"x" * size)
            os.fsync(file.fileno())
    except OSError as error:
        assert error.errno == errno.ENOSPC
        return False
    return True


def _free(world: World) -> int:
    """Bytes without the blocks that ext4 keeps for root, whom the test ran as when it filled them."""
    seen = os.statvfs(world.pool_path)
    return seen.f_bfree * seen.f_frsize


def test_deleting_works_with_nothing_free(world: World) -> None:
    """Trash and purge succeed at 0 bytes free, and give room again."""
    volume = world.create(size=8 * MIB)
    world.write(volume, pattern("a", 4 * MIB))
    world.idle(volume)
    fill_up(world)
    assert world.backend.space().free < MIB
    before = _free(world)
    world.purge(volume, "t1")
    assert not world.backend.exists(volume)
    assert world.entries("trash") == set()
    world.settle()
    assert _free(world) - before > 2 * MIB


def test_many_volumes_can_be_deleted_with_nothing_free(world: World) -> None:
    """Also when the trash's directory has to grow for their names: the pool has a reserve for that."""
    volumes = [world.volume(f"v{number}", 4096, formatted=False) for number in range(60)]
    for volume in volumes:
        world.backend.ensure_created(volume)
    fill_up(world)
    with Journal() as journal:
        for number, volume in enumerate(volumes):
            world.trash(volume, f"{volume.id}.{number:016x}")
    if world.kind.backend == "image":
        assert journal.directories == set()
    assert len(world.entries("trash")) == 60
    for number, volume in enumerate(volumes):
        world.backend.ensure_purged(volume, f"{volume.id}.{number:016x}", "none", Quiet())
    assert world.entries("trash") == set()


def test_a_full_pool_opens(world: World) -> None:
    """Otherwise nothing could be deleted from it any more."""
    volume = world.create(size=4 * MIB)
    world.write(volume, b"kept")
    world.idle(volume)
    fill_up(world)
    world.reopen()
    assert world.read(volume, 4) == b"kept"


def test_a_full_pool_says_so(world: World) -> None:
    """``ailments``: nearly full is DEGRADED, and goes away with the data that filled it."""
    fill_up(world)
    found = {(one.status, one.reason) for one in world.backend.ailments()}
    assert found <= {(Status.DEGRADED, "PoolNearlyFull")}
    if world.kind.backend == "image":
        assert found
    pools.run("rm", "-r", str(world.pool_path / "ballast-of-the-test"))
    world.settle()
    assert list(world.backend.ailments()) == []


def test_no_new_pool_is_begun_without_room(world: World) -> None:
    """``open`` of a new pool on a full filesystem: NoSpace naming path, found and wanted; nothing is left behind."""
    if not world.kind.given:
        return
    fresh = world.pool_path / "fresh"
    fresh.mkdir()
    fill_up(world)
    config = msgspec.structs.replace(world.ground.config, path=str(fresh))
    with pytest.raises(errors.NoSpace, match=str(fresh)):
        registry.create(config, world.ground.root / "other").open()
    assert os.listdir(fresh) == []


def test_a_copy_without_room_fails_and_leaves_what_can_be_purged(world: World) -> None:
    """NoSpace while a snapshot or volume is made: nothing is listed, and its delete gives back what it took."""
    volume = world.create(size=16 * MIB)
    world.write(volume, pattern("a", 12 * MIB))
    world.idle(volume)
    fill_up(world)
    snapshot = world.snapshot(volume)
    try:
        world.make_snapshot(snapshot, volume)
    except errors.NoSpace:
        assert snapshot.id not in world.entries("snapshot") or not _complete(world, snapshot.id)
    world.purge(snapshot, "t1")
    world.purge(volume, "t2")
    assert world.entries("snapshot") | world.entries("volume") | world.entries("trash") == set()


def _complete(world: World, snapshot_id: str) -> bool:
    return any(path.name in (snapshot_id, f"{snapshot_id}.img") for path in (world.pool_path / "snapshots").iterdir())

"""Backend: a pool is opened and closed, and says what is wrong with it."""

import os
from pathlib import Path

import msgspec
import pytest

from driver.backends import registry
from driver.model import errors, ids
from driver.model.health import Status

from ..conftest import PROOF
from . import death, pools
from .pools import Filesystems, Kind
from .world import POOL_ID, World, only

FULL = PROOF == "full"


def test_open_leaves_a_home_for_the_ledger(world: World) -> None:
    """``open``: layout directories present; ``home`` is valid after it, and nobody else may enter."""
    assert Path(world.backend.home).name == ".holdall"
    assert Path(world.backend.home).stat().st_mode & 0o777 == 0o700


def test_a_pool_opened_again_is_the_same_pool(world: World) -> None:
    """``close`` releases, and ``open`` finds everything as it was."""
    volume = world.create()
    world.write(volume, b"kept")
    world.idle(volume)
    world.reopen()
    assert world.read(volume, 4) == b"kept"


def test_opening_twice_changes_nothing(world: World) -> None:
    """A second ``open`` without a ``close`` is no error: the engine tries again after a failed start."""
    before = world.names()
    world.backend.open()
    assert world.names() == before


def test_closing_twice_is_no_error(world: World) -> None:
    """``close`` may be called when nothing is open."""
    world.backend.close()
    world.backend.close()


def test_an_unknown_key_is_refused_by_name(world: World) -> None:
    """Bad keys in ``config.options`` are InvalidArgument naming the key."""
    config = msgspec.structs.replace(world.ground.config, options={**world.ground.config.options, "colour": "red"})
    with pytest.raises(errors.InvalidArgument, match="'colour'"):
        registry.create(config, world.ground.root)


@only(lambda kind: kind.given)
def test_a_wrong_path_is_named_and_nothing_is_made(world: World) -> None:
    """``open`` raises naming path, found and wanted; then nothing was changed."""
    somewhere = world.pool_path / "somewhere"
    somewhere.mkdir()
    (somewhere / "file").write_text("mine")
    for wrong in ("missing", "file", "file/below"):
        config = msgspec.structs.replace(world.ground.config, path=f"{somewhere}/{wrong}")
        with pytest.raises(errors.FailedPrecondition, match=config.path) as refusal:
            registry.create(config, world.ground.root / "other").open()
        assert "found" in refusal.value.message
        assert "wanted" in refusal.value.message
        assert os.listdir(somewhere) == ["file"]


@only(lambda kind: kind.given)
def test_a_read_only_filesystem_is_refused(world: World) -> None:
    """``open`` on a read-only filesystem: FailedPrecondition, which waiting and mounting anew can mend."""
    world.backend.close()
    config = world.ground.config
    pools.run("mount", "--bind", config.path, config.path)
    try:
        pools.run("mount", "-o", "remount,ro,bind", config.path)
        with pytest.raises(errors.FailedPrecondition, match="read-only"):
            registry.create(config, world.ground.root).open()
    finally:
        pools.run("umount", config.path)
    world.reopen()


@only(lambda kind: kind.given)
def test_a_pool_whose_disk_is_not_mounted_is_not_made_anew(world: World) -> None:
    """Its place is remembered: an empty directory where a pool was is refused, with the remedy, and stays empty."""
    world.backend.close()
    config = world.ground.config
    aside = f"{config.path}-aside"
    os.rename(config.path, aside)
    os.mkdir(config.path)
    with pytest.raises(errors.FailedPrecondition, match="mounted"):
        registry.create(config, world.ground.root).open()
    assert os.listdir(config.path) == []
    os.rmdir(config.path)
    os.rename(aside, config.path)
    world.reopen()


@only(lambda kind: kind.given)
def test_volumes_of_somebody_else_are_refused(world: World, scratch: Path) -> None:
    """A directory that holds ``volumes`` but no pool is not taken over."""
    foreign = world.pool_path / "foreign"
    (foreign / "volumes").mkdir(parents=True)
    config = msgspec.structs.replace(world.ground.config, path=str(foreign))
    with pytest.raises(errors.FailedPrecondition, match="volumes"):
        registry.create(config, scratch / "other").open()
    assert os.listdir(foreign) == ["volumes"]


@only(lambda kind: kind.given)
def test_directories_of_the_pool_are_no_symbolic_links(world: World) -> None:
    """A link in place of a directory of the layout could lead anywhere: refused."""
    world.backend.close()
    volumes = world.pool_path / "volumes"
    volumes.rename(world.pool_path / "elsewhere")
    volumes.symlink_to("elsewhere")
    with pytest.raises(errors.FailedPrecondition, match="symbolic link"):
        registry.create(world.ground.config, world.ground.root).open()
    volumes.unlink()
    (world.pool_path / "elsewhere").rename(volumes)
    world.reopen()


def test_a_healthy_pool_has_no_ailments(world: World) -> None:
    """``ailments``, ``volume_ailments``: empty is healthy."""
    volume = world.create()
    assert list(world.backend.ailments()) == []
    assert list(world.backend.volume_ailments(volume)) == []


def test_a_pool_moved_away_is_ill_until_it_is_back(world: World) -> None:
    """``ailments``: a vanished path is INACCESSIBLE, and the status goes away when it is mended."""
    if not world.kind.given:
        pools.run("umount", "-l", str(world.pool_path))
        assert [one.status for one in world.backend.ailments()] == [Status.INACCESSIBLE]
        world.reopen()
    else:
        path, aside = world.pool_path, f"{world.pool_path}-aside"
        path.rename(aside)
        assert [one.status for one in world.backend.ailments()] == [Status.INACCESSIBLE]
        with pytest.raises(errors.Unavailable):
            world.backend.space()
        os.rename(aside, path)
    assert list(world.backend.ailments()) == []


def test_a_pool_gone_read_only_is_degraded(world: World) -> None:
    """``ailments``: read-only."""
    path = str(world.pool_path)
    if world.kind.given:
        pools.run("mount", "--bind", path, path)
    pools.run("mount", "-o", "remount,ro,bind", path)
    try:
        found = [(one.status, one.reason) for one in world.backend.ailments()]
        # A bind mount over the pool's path is another mount of the same directory: the pool is still there.
        assert found == [(Status.DEGRADED, "PoolReadOnly")]
    finally:
        if world.kind.given:
            pools.run("umount", path)
        else:
            pools.run("mount", "-o", "remount,rw,bind", path)
    assert list(world.backend.ailments()) == []


@only(lambda kind: kind.given or FULL)
def test_a_death_while_a_pool_is_opened_heals_on_the_next(kind: Kind, filesystems: Filesystems, scratch: Path) -> None:
    """``open`` may die after any call; the next one completes what it began, and makes one pool. (What is more to an
    image of the pool's own is in test_default_pool.py.)"""
    for number in range(1, 60):
        with kind.make(filesystems, scratch.with_name(f"{scratch.name}{number}")) as ground:
            fate = death.after_effect(number, lambda ground=ground: registry.create(ground.config, ground.root).open())
            world = World(kind, ground)
            world.create()
            assert world.entries("volume") == {ids.derive(POOL_ID, ids.VOLUME, "one")}
            assert list(world.backend.ailments()) == []
            world.backend.close()
        if fate == "finished":
            return
    pytest.fail("more than 59 effects")

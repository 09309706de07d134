"""The pool without configuration (docs/design.md, "The default pool")."""

import os
from pathlib import Path

import pytest

from driver.backends import registry
from driver.model import errors
from driver.model.volume import Volume

from . import pools
from .pools import Filesystems
from .state import State, state_on
from .world import MIB, Quiet, World, discard, pattern


def test_a_filesystem_that_shares_extents_is_used_itself(filesystems: Filesystems, scratch: Path) -> None:
    """In the state directory if its filesystem can share extents: no image, and the floor is the pool's own."""
    with state_on(filesystems.get("xfs")[0], scratch.name) as state:
        config = state.config(floor="1GiB", thin_factor=2)
        assert (config.name, config.backend, config.path) == ("default", "image", str(state.path / "pool"))
        assert (config.floor, config.thin_factor, config.options) == (1 << 30, 2.0, {})
        backend = registry.create(config, state.root)
        backend.open()
        assert backend.home == str(state.path / "pool" / ".holdall")
        assert backend.shares_extents()
        backend.close()
        with pytest.raises(errors.InvalidArgument, match="size"):
            state.config(size="1GiB")


def test_elsewhere_it_is_an_image_of_our_own(state: State) -> None:
    """Else in our own sparse XFS image: shares extents, in blocks of 4096 bytes, and takes hardly any room while empty."""
    world = state.world()
    assert world.backend.shares_extents()
    assert state.mounted
    assert "sectsz=4096" in pools.run("xfs_info", str(state.mount_point))
    assert state.image.stat().st_size == 320 * MIB
    assert state.image.stat().st_blocks * 512 < 128 * MIB
    assert state.image.stat().st_mode & 0o077 == 0
    world.backend.close()
    assert not state.mounted
    assert state.devices == []


def test_a_restart_finds_the_same_pool(state: State) -> None:
    """On restart it finds and reuses what it made, also after the filesystem became one that it would choose otherwise."""
    world = state.world()
    volume = world.create()
    world.write(volume, b"kept")
    world.idle(volume)
    inode = state.image.stat().st_ino
    world.reopen()
    assert world.read(volume, 4) == b"kept"
    assert state.image.stat().st_ino == inode
    world.idle(volume)
    world.backend.close()


def test_its_size_is_what_the_host_has_free_less_a_floor(small: State) -> None:
    """Default size: the host filesystem's free space less the floor."""
    seen = os.statvfs(small.path)
    free = seen.f_bavail * seen.f_frsize
    backend = small.opened(floor="64MiB")
    size = small.image.stat().st_size
    assert free - 66 * MIB < size <= free - 64 * MIB
    assert size % MIB == 0
    backend.close()


def test_free_is_never_more_than_the_host_has_above_the_floor(small: State) -> None:
    """Free space is min(pool, host less floor)."""
    backend = small.opened(size="2GiB", floor="64MiB")
    space = backend.space()
    seen = os.statvfs(small.path)
    assert space.free <= seen.f_bavail * seen.f_frsize - 64 * MIB
    assert space.total > 1 << 30
    backend.close()


def test_without_room_it_is_not_begun(small: State) -> None:
    """NoSpace naming found and wanted, and nothing is left behind."""
    with pytest.raises(errors.NoSpace, match="300 MiB"):
        small.opened(floor="300MiB")
    assert not any(path.name.startswith("pool.img") for path in small.path.iterdir() if path.suffix != ".lock")
    assert small.devices == []


def test_a_purge_ends_with_the_hosts_room_given_back(state: State) -> None:
    """``reclaim``: what purges freed takes no room on the host any more."""
    world = state.world()
    volume = world.create(size=128 * MIB)
    for offset in range(0, 96 * MIB, 32 * MIB):
        world.write(volume, pattern("a", 32 * MIB), offset)
    world.idle(volume)
    snapshot = world.cut(volume)
    full = state.image.stat().st_blocks * 512
    world.purge(volume, "t1")
    world.purge(snapshot, "t2")
    world.backend.reclaim()
    assert full - state.image.stat().st_blocks * 512 > 90 * MIB
    world.backend.close()


def test_a_thick_volume_has_its_room_on_the_host(state: State) -> None:
    """``provisioning=thick`` down to the host's filesystem: others who fill it take nothing away, nor does a trim."""
    world = state.world()
    before = state.image.stat().st_blocks * 512
    world.create(size=64 * MIB, provisioning="thick")
    world.backend.reclaim()
    # Some of the blocks may have been there before.
    assert state.image.stat().st_blocks * 512 - before >= 60 * MIB
    world.backend.close()


def test_a_thick_volume_needs_room_on_the_host(small: State) -> None:
    """What the pool has and the host has not is no room: NoSpace, and nothing is left."""
    world = small.world(size="2GiB", floor=0)
    with pytest.raises(errors.NoSpace):
        world.create(size=1 << 30, provisioning="thick")
    assert world.entries("volume") == set()
    world.backend.close()


def test_what_a_user_discards_comes_back_to_the_host(state: State) -> None:
    """``chores``: what is free inside and taken on the host is given back without a purge, once it is much."""
    world = state.world()
    volume = world.create(size=160 * MIB)
    write_everywhere(world, volume)
    assert list(world.backend.chores()) == []
    with open(world.backend.attach(volume), "r+b") as device:
        assert discard(device.fileno(), 0, 160 * MIB)
        os.fsync(device.fileno())
    full = state.image.stat().st_blocks * 512
    ((name, chore),) = world.backend.chores()
    chore(Quiet())
    assert name == "reclaim"
    assert full - state.image.stat().st_blocks * 512 > 100 * MIB
    assert list(world.backend.chores()) == []
    world.idle(volume)
    world.backend.close()


def test_a_full_host_is_no_space_and_the_pool_goes_on(small: State) -> None:
    """A host filled to the last byte fails writes; the filesystem of the pool stays usable, and a purge mends it."""
    world = small.world(size="2GiB", floor=0)
    volume, other = world.create("one", 1 << 30), world.create("two")
    with pytest.raises(OSError, match="Errno"):
        write_everywhere(world, volume)
    assert world.backend.space().free == 0
    world.idle(volume)
    world.purge(volume, "t1")
    world.backend.reclaim()
    assert world.backend.space().free > 200 * MIB
    world.write(other, pattern("b", MIB))
    world.idle(other)
    world.reopen()
    assert world.read(other, MIB) == pattern("b", MIB)
    world.idle(other)
    world.backend.close()


def write_everywhere(world: World, volume: Volume) -> None:
    for offset in range(0, volume.size, 16 * MIB):
        world.write(volume, pattern("a", 16 * MIB), offset)


def test_wrong_settings_are_refused_by_name(state: State) -> None:
    """A wrong key or type in ``[default_pool]`` is InvalidArgument naming it; nothing is made."""
    for settings, named in (
        ({"colour": "red"}, "colour"),
        ({"size": "a lot"}, "size"),
        ({"size": -1}, "size"),
        ({"thin_factor": "much"}, "thin_factor"),
        ({"direct_io": "perhaps"}, "direct_io"),
    ):
        with pytest.raises(errors.InvalidArgument, match=named):
            state.opened(**settings)
    assert list(state.path.iterdir()) == []

"""The pool without configuration, and a pool's own filesystem in an image (docs/design.md, "The default pool")."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from driver.backends import default_pool, registry
from driver.backends.base import Backend
from driver.host import loop, mounts
from driver.model import errors
from driver.model.pool import PoolConfig
from driver.model.volume import Volume

from . import death, pools
from .pools import Filesystems, Ground
from .world import MIB, Quiet, World, discard, pattern

OWN = next(kind for kind in pools.KINDS if kind.name == "image-default")
SETTINGS = {"size": "320MiB", "floor": 0}


class State:
    """A state directory on a given filesystem, and what the driver makes of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = path / "pools" / "default"
        self.image = path / "pool.img"
        self.mount_point = self.root / "mnt"
        self._opened: list[Backend] = []

    def config(self, **settings: object) -> PoolConfig:
        return default_pool.config(str(self.path), settings or SETTINGS)

    def opened(self, **settings: object) -> Backend:
        backend = registry.create(self.config(**settings), self.root)
        self._opened.append(backend)
        backend.open()
        return backend

    def world(self, **settings: object) -> World:
        world = World(OWN, Ground(self.config(**settings), self.root, str(self.image), ""))
        self._opened.append(world.backend)
        return world

    @property
    def devices(self) -> list[str]:
        return [one.device.path for one in loop.all_devices() if one.backing_path.startswith(str(self.path))]

    @property
    def mounted(self) -> bool:
        found = mounts.look(str(self.mount_point))
        return found is not None and found.is_root

    def clear(self) -> None:
        for backend in self._opened:
            backend.close()
        pools.release(str(self.mount_point))
        mounts.ensure_unmounted(str(self.mount_point))
        pools.release(str(self.path))


@contextlib.contextmanager
def state_on(mount_point: str, name: str) -> Iterator[State]:
    path = Path(mount_point) / name
    path.mkdir()
    state = State(path)
    try:
        yield state
    finally:
        state.clear()
        pools.run("rm", "-rf", "--one-file-system", str(path))


@pytest.fixture
def state(filesystems: Filesystems, scratch: Path) -> Iterator[State]:
    """A state directory whose filesystem cannot share extents."""
    with state_on(filesystems.get("ext4")[0], scratch.name) as made:
        yield made


@pytest.fixture
def small(scratch: Path) -> Iterator[State]:
    """A state directory on a small filesystem of its own that cannot share extents."""
    made = Filesystems(scratch / "small", {"ext4": 460 * MIB})
    try:
        with state_on(made.get("ext4")[0], "state") as found:
            yield found
    finally:
        made.close()


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


def test_a_killed_driver_leaves_a_mount_that_is_used_again(state: State) -> None:
    """What a kill leaves attached and mounted is reused, not stacked."""
    death.after_effect(10**6, lambda: state.opened())
    assert state.mounted
    devices = state.devices
    backend = state.opened()
    assert state.devices == devices
    assert sum(mount.target == str(state.mount_point) for mount in mounts.mountinfo()) == 1
    backend.close()
    assert not state.mounted


def test_a_volume_in_use_outlives_the_driver(state: State) -> None:
    """``close``: volumes that are attached stay usable, and the next ``open`` finds the pool mounted."""
    world = state.world()
    volume = world.create()
    world.write(volume, b"kept")
    device = world.backend.attach(volume)
    world.backend.close()
    assert state.mounted
    with open(device, "rb") as file:
        assert file.read(4) == b"kept"
    world.backend.open()
    assert world.backend.attached(volume) == device
    world.idle(volume)
    world.backend.close()
    assert not state.mounted


def test_a_death_while_it_is_made_leaves_nothing_or_all(state: State) -> None:
    """mkfs only by our own record: under another name, formatted, synced, renamed. A crash leaves nothing half made."""
    for number in range(1, 60):
        fate = death.after_effect(number, lambda: state.opened())
        if state.image.exists():
            assert "xfs" in pools.run("blkid", "-p", "-o", "value", "-s", "TYPE", str(state.image))
        backend = state.opened()
        assert not Path(f"{state.image}.new").exists()
        assert len(state.devices) == 1
        backend.close()
        assert state.devices == []
        for path in (state.image, state.root / "pool.json"):
            path.unlink()
        if fate == "finished":
            return
    pytest.fail("more than 59 effects")


def test_an_open_that_fails_leaves_no_mount(state: State) -> None:
    """The mount must not leak when ``open`` fails after it."""
    backend = state.opened()
    backend.close()
    device = loop.attach(str(state.image)).path
    pools.run("mount", device, str(state.mount_point))
    (state.mount_point / "volumes").rmdir()
    (state.mount_point / "volumes").write_text("mine")
    pools.run("umount", str(state.mount_point))
    pools.run("losetup", "-d", device)
    with pytest.raises(errors.FailedPrecondition, match="volumes"):
        state.opened()
    assert not state.mounted
    assert state.devices == []


def test_a_second_driver_is_refused_by_name(state: State) -> None:
    """Exactly one process opens a pool: the second is told who has it, and takes nothing away from the first."""
    world = state.world()
    volume = world.create()
    with pytest.raises(errors.InUse, match=f"pid {os.getpid()}"):
        state.opened()
    world.write(volume, b"still works")
    world.idle(volume)
    world.backend.close()


def test_a_stale_mount_is_taken_away(state: State) -> None:
    """A mount of an image that was deleted does not stand in the way of the one that is there now."""
    backend = state.opened()
    backend.close()
    device = loop.attach(str(state.image)).path
    pools.run("mount", device, str(state.mount_point))
    pools.run("cp", "--sparse=always", str(state.image), f"{state.image}.copy")
    pools.run("xfs_admin", "-U", "generate", f"{state.image}.copy")
    os.rename(f"{state.image}.copy", state.image)
    backend = state.opened()
    assert mounts.look(str(state.mount_point)).dev == loop.find(str(state.image)).rdev
    backend.close()
    pools.run("losetup", "-d", device)


def test_something_else_at_the_mount_point_is_refused(state: State) -> None:
    """A mount that is none of ours stays, and is named."""
    state.mount_point.mkdir(parents=True)
    pools.run("mount", "-t", "tmpfs", "none", str(state.mount_point))
    with pytest.raises(errors.FailedPrecondition, match=str(state.mount_point)):
        state.opened()
    assert state.mounted
    pools.run("umount", str(state.mount_point))
    assert state.devices == []


def test_an_image_that_is_gone_is_not_made_anew(state: State) -> None:
    """Its place is remembered: a missing image is refused with the remedy, and nothing is made in its place."""
    state.opened().close()
    os.rename(state.image, f"{state.image}-aside")
    with pytest.raises(errors.FailedPrecondition, match=r"pool\.json"):
        state.opened()
    assert not state.image.exists()
    os.rename(f"{state.image}-aside", state.image)
    state.opened().close()


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


def test_an_image_may_be_mounted_where_its_pool_says(state: State) -> None:
    """A configured pool may have ``image`` and ``path``: the one is mounted at the other."""
    target = state.path / "visible"
    target.mkdir()
    config = PoolConfig(
        name="tested",
        backend="image",
        path=str(target),
        options={"image": str(state.path / "own.img"), "size": 320 * MIB, "host_floor": 0},
    )
    backend = registry.create(config, state.root)
    backend.open()
    assert backend.home == f"{target}/.holdall"
    backend.close()
    assert list(target.iterdir()) == []
    missing = msgspec.structs.replace(config, options={**config.options, "image": str(state.path / "no" / "own.img")})
    with pytest.raises(errors.FailedPrecondition, match="no directory"):
        registry.create(missing, state.root / "other").open()

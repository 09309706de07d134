"""A pool's own filesystem in an image: made once, mounted while open, never leaked. Shown by the default pool's."""

import os
from pathlib import Path

import msgspec
import pytest

from driver.backends import registry
from driver.host import loop, mounts
from driver.model import errors
from driver.model.pool import PoolConfig

from . import death, pools
from .state import State
from .world import MIB


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

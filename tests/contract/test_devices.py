"""Devices: volumes are block devices."""

import os
import stat
import subprocess
from pathlib import Path

import msgspec
import pytest

from driver.backends import base, registry
from driver.host import loop
from driver.model import errors
from driver.model.health import Status
from driver.model.pool import PoolConfig

from . import death
from .world import MIB, World, pattern

ABILITY = base.Devices


def device_of(world: World) -> base.Devices:
    assert isinstance(world.backend, base.Devices)
    return world.backend


def size_of(device: str) -> int:
    fd = os.open(device, os.O_RDONLY)
    try:
        return os.lseek(fd, 0, os.SEEK_END)
    finally:
        os.close(fd)


def queue(device: str, name: str) -> int:
    return int(Path(f"/sys/block/{os.path.basename(device)}/queue/{name}").read_text())


def test_a_device_holds_exactly_the_volume(world: World) -> None:
    """``attach``: path of the device that holds exactly this volume."""
    volume = world.create(size=16 * MIB)
    device = device_of(world).attach(volume)
    assert stat.S_ISBLK(os.stat(device).st_mode)
    assert size_of(device) == volume.size


def test_attaching_again_gives_the_same_device(world: World) -> None:
    """``attach``: the same one when already attached, also after a restart."""
    volume = world.create()
    device = device_of(world).attach(volume)
    assert device_of(world).attach(volume) == device
    world.reopen()
    assert device_of(world).attached(volume) == device
    assert device_of(world).attach(volume) == device


def test_two_volumes_have_two_devices(world: World) -> None:
    """Each device holds its own volume."""
    one, two = world.create("one"), world.create("two")
    world.write(one, b"one")
    world.write(two, b"two")
    assert device_of(world).attach(one) != device_of(world).attach(two)
    assert world.read(one, 3) == b"one"


def test_attached_tells_the_device_while_there_is_one(world: World) -> None:
    """``attached``: the device, when attached now."""
    volume = world.create()
    assert device_of(world).attached(volume) is None
    device = device_of(world).attach(volume)
    assert device_of(world).attached(volume) == device
    device_of(world).detach(volume)
    assert device_of(world).attached(volume) is None


def test_a_device_that_was_taken_away_is_not_believed(world: World) -> None:
    """What is remembered is looked at once more: another file may have the number now."""
    volume = world.create()
    device = device_of(world).attach(volume)
    subprocess.run(["losetup", "-d", device], check=True)
    assert device_of(world).attached(volume) is None
    other = world.create("other")
    device_of(world).attach(other)
    assert device_of(world).attached(volume) is None


def test_detaching_what_is_not_attached_does_nothing(world: World) -> None:
    """``detach`` may be repeated."""
    volume = world.create()
    device_of(world).detach(volume)
    device_of(world).attach(volume)
    device_of(world).detach(volume)
    device_of(world).detach(volume)
    device_of(world).detach(world.volume("never made"))


def test_data_outlives_the_device(world: World) -> None:
    """What was written to the device is in the volume when it is attached again."""
    volume = world.create()
    data = pattern("a", MIB)
    world.write(volume, data, offset=3 * MIB)
    world.idle(volume)
    assert world.read(volume, MIB, offset=3 * MIB) == data


def test_unflushed_writes_are_not_lost_by_detach(world: World) -> None:
    """``detach`` flushes what the user of the raw device left in the page cache."""
    volume = world.create()
    fd = os.open(device_of(world).attach(volume), os.O_WRONLY)
    os.pwrite(fd, b"late", 0)
    os.close(fd)
    world.idle(volume)
    assert world.read(volume, 4) == b"late"


def test_a_device_that_is_mounted_is_in_use(world: World, scratch: Path) -> None:
    """``detach``: InUse when the kernel still uses it; nothing changed, and it can be detached afterwards."""
    volume = world.create(size=32 * MIB)
    device = device_of(world).attach(volume)
    subprocess.run(["mkfs.ext4", "-q", device], check=True)
    target = scratch / "mounted"
    target.mkdir()
    subprocess.run(["mount", device, target], check=True)
    try:
        with pytest.raises(errors.InUse):
            device_of(world).detach(volume)
        with pytest.raises(errors.InUse):
            world.backend.ensure_trashed(volume, "t1")
        assert world.backend.exists(volume)
        (target / "file").write_text("still works")
    finally:
        subprocess.run(["umount", target], check=True)
    device_of(world).detach(volume)
    assert device_of(world).attached(volume) is None


def test_blocks_have_4096_bytes_for_life(world: World) -> None:
    """Also after the first shared extents: otherwise a filesystem on it could not be mounted again."""
    volume = world.create()
    device = device_of(world).attach(volume)
    assert queue(device, "logical_block_size") == 4096
    world.write(volume, pattern("a", MIB))
    snapshot = world.snapshot(volume)
    world.make_snapshot(snapshot, volume)
    assert queue(device, "logical_block_size") == 4096
    world.idle(volume)
    assert queue(device_of(world).attach(volume), "logical_block_size") == 4096
    restored = world.volume("restored")
    world.fill(restored, snapshot)
    assert queue(device_of(world).attach(restored), "logical_block_size") == 4096


def test_a_read_only_device_refuses_writes(world: World) -> None:
    """``attach(read_only=True)``: a device nobody can write to; asked for writing, it becomes writable."""
    volume = world.create()
    world.write(volume, b"kept")
    world.idle(volume)
    device = device_of(world).attach(volume, read_only=True)
    fd = os.open(device, os.O_RDWR)
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"lost", 0)
    os.close(fd)
    assert world.read(volume, 4) == b"kept"
    world.write(volume, b"more")
    assert world.read(volume, 4) == b"more"


def test_a_new_volume_is_blank_until_it_is_written(world: World) -> None:
    """``is_blank``: whether the volume provably holds no data at all."""
    for name, given in (("thin", {}), ("thick", {"provisioning": "thick"})):
        volume = world.create(name, **given)
        assert device_of(world).is_blank(volume)
        world.read(volume, volume.size)
        assert device_of(world).is_blank(volume)
        world.write(volume, b"x", offset=volume.size - 1)
        assert not device_of(world).is_blank(volume)


def test_a_device_follows_its_volume_when_it_was_grown(world: World) -> None:
    """``attach``: exactly this volume, also when its file grew behind a device that was attached before."""
    assert isinstance(world.backend, base.Expansion)
    volume = world.create(size=16 * MIB)
    device_of(world).attach(volume)
    path = next(one.backing_path for one in loop.all_devices() if one.device.path == device_of(world).attached(volume))
    os.truncate(path, 32 * MIB)
    grown = msgspec.structs.replace(volume, size=32 * MIB)
    assert size_of(device_of(world).attach(grown)) == 32 * MIB


def test_a_shorter_image_is_damage(world: World) -> None:
    """An image shorter than its volume is never attached: DataDamaged, and a status that says so."""
    volume = world.create(size=16 * MIB)
    longer = msgspec.structs.replace(volume, size=32 * MIB)
    with pytest.raises(errors.DataDamaged, match=volume.id):
        device_of(world).attach(longer)
    (found,) = world.backend.volume_ailments(longer)
    assert (found.status, found.reason) == (Status.DATA_LOSS, "ImageTruncated")


def test_a_missing_image_is_not_made_anew(world: World) -> None:
    """A volume that held data and is gone: DataDamaged from everything that would touch it, never an empty one."""
    volume = world.create()
    world.trash(volume, "t1")
    for act in (device_of(world).attach, world.backend.ensure_created):
        with pytest.raises(errors.DataDamaged, match=volume.id):
            act(volume)
    assert not world.backend.exists(volume)
    (found,) = world.backend.volume_ailments(volume)
    assert (found.status, found.reason) == (Status.INACCESSIBLE, "ImageMissing")


def test_something_else_in_place_of_an_image_is_refused(world: World) -> None:
    """A symbolic link or directory where an image should be is never followed or opened."""
    volume = world.create()
    world.trash(volume, "t1")
    path = world.pool_path / "volumes" / f"{volume.id}.img"
    path.symlink_to("/etc/passwd")
    with pytest.raises(errors.DataDamaged):
        device_of(world).attach(volume)
    path.unlink()


def test_a_purge_takes_a_forgotten_device_away(world: World) -> None:
    """A device somebody else gave an image in the trash would keep its space: it is freed first."""
    volume = world.create()
    world.trash(volume, "t1")
    (image,) = (world.pool_path / ".holdall" / "trash").iterdir()
    loop.attach(str(image))
    world.reopen()
    world.purge(volume, "t1")
    assert not [one for one in loop.all_devices() if one.backing_path.startswith(str(world.pool_path))]


@pytest.mark.parametrize("direct_io", ["auto", "on", "off"])
def test_direct_io_is_as_configured(world: World, direct_io: str) -> None:
    """``direct_io``: auto takes it where the filesystem offers it, as these do."""
    config: PoolConfig = world.ground.config
    world.backend.close()
    config = msgspec.structs.replace(config, options={**config.options, "direct_io": direct_io})
    world.backend = registry.create(config, world.ground.root)
    world.backend.open()
    device = device_of(world).attach(world.create())
    found = next(one.device for one in loop.all_devices() if one.device.path == device)
    assert found.direct_io == (direct_io != "off")


@pytest.mark.parametrize("act", ["attach", "detach"])
def test_a_death_after_any_call_heals_on_repeat(world: World, act: str) -> None:
    """``attach`` and ``detach`` may be repeated after a crash at any point: one device, or none."""
    for number in range(1, 20):
        volume = world.create(f"n{number}")
        if act == "detach":
            device_of(world).attach(volume)
        body = {
            "attach": lambda v=volume: device_of(world).attach(v),
            "detach": lambda v=volume: device_of(world).detach(v),
        }
        fate = death.after_effect(number, body[act])
        world.reopen()
        body[act]()
        # By the pool's own path: another run of this suite has volumes of the same ids at the same time.
        mine = [
            one for one in loop.all_devices() if one.backing_path.startswith(f"{world.pool_path}/volumes/{volume.id}")
        ]
        assert len(mine) == (act == "attach")
        world.idle(volume)
        if fate == "finished":
            return
    pytest.fail("more than 19 effects")

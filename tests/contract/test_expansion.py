"""Expansion and Attributes: what may change during a volume's life."""

import os

import msgspec
import pytest

from driver.backends import base
from driver.host import loop, loop_status
from driver.model import errors

from . import death
from .world import MIB, World, discard, only, pattern

ABILITY = base.Expansion


def expanding(world: World) -> base.Expansion:
    assert isinstance(world.backend, base.Expansion)
    return world.backend


def attributes(world: World) -> base.Attributes:
    assert isinstance(world.backend, base.Attributes)
    return world.backend


def blocks(world: World, name: str) -> int:
    """Bytes that the image of a volume takes."""
    return os.stat(world.pool_path / "volumes" / f"{world.volume(name).id}.img").st_blocks * 512


def size_of(world: World, name: str) -> int:
    return os.stat(world.pool_path / "volumes" / f"{world.volume(name).id}.img").st_size


def test_growing_keeps_the_data(world: World) -> None:
    """``ensure_resized``: the volume is larger, and holds what it held."""
    volume = world.create()
    world.write(volume, pattern("a", MIB))
    expanding(world).ensure_resized(volume, 32 * MIB)
    assert world.read(volume, MIB) == pattern("a", MIB)


def test_growing_again_changes_nothing(world: World) -> None:
    """Repeatable, and never less than before."""
    volume = world.create()
    expanding(world).ensure_resized(volume, 32 * MIB)
    before = world.names()
    expanding(world).ensure_resized(volume, 32 * MIB)
    expanding(world).ensure_resized(volume, 16 * MIB)
    assert world.names() == before
    if world.kind.backend == "image":
        assert size_of(world, "one") == 32 * MIB


@only(lambda kind: kind.backend == "image")
def test_an_attached_device_grows_with_its_volume(world: World) -> None:
    """``ensure_resized``: file and attached device."""
    assert isinstance(world.backend, base.Devices)
    volume = world.create()
    device = world.backend.attach(volume)
    expanding(world).ensure_resized(volume, 32 * MIB)
    with open(device, "rb") as file:
        assert file.seek(0, 2) == 32 * MIB


@only(lambda kind: kind.backend == "image")
def test_the_node_grows_filesystems_and_nothing_else(world: World) -> None:
    """``needs_node``: whether the node must grow a filesystem afterwards."""
    assert expanding(world).needs_node(world.volume("fs", kind="filesystem"))
    assert not expanding(world).needs_node(world.volume("raw", kind="block"))


@only(lambda kind: kind.backend == "image")
def test_growth_is_durable(world: World) -> None:
    """``ensure_resized`` syncs the image before it returns: the record may rely on it."""
    volume = world.create()
    with death.Recorder() as recorder:
        expanding(world).ensure_resized(volume, 32 * MIB)
    assert recorder.names.index("files.fsync_file") > recorder.names.index("files.truncate")


@only(lambda kind: kind.backend == "image")
def test_a_thick_volume_has_all_its_blocks(world: World) -> None:
    """``provisioning=thick``: at create, when grown, and for a volume made from another; durable each time."""
    volume = world.create(provisioning="thick")
    assert blocks(world, "one") >= 16 * MIB
    expanding(world).ensure_resized(volume, 32 * MIB)
    assert blocks(world, "one") >= 32 * MIB
    copy = world.volume("copy", 24 * MIB, provisioning="thick")
    world.fill(copy, msgspec.structs.replace(volume, size=16 * MIB))
    assert blocks(world, "copy") >= 24 * MIB


@only(lambda kind: kind.backend == "image")
def test_a_thick_volume_keeps_its_blocks_when_its_user_discards(world: World) -> None:
    """A trim of the whole device, as mkfs or fstrim would do it, gives no block back; of a thin volume it does."""
    assert isinstance(world.backend, base.Devices)
    for name, provisioning in (("thick", "thick"), ("thin", "thin")):
        volume = world.create(name, provisioning=provisioning)
        world.write(volume, pattern("a", 16 * MIB))
        device = world.backend.attach(volume)
        fd = os.open(device, os.O_RDWR)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            discarded = discard(fd, 0, 16 * MIB)
        finally:
            os.close(fd)
        assert discarded == (provisioning == "thin")
        assert (blocks(world, name) >= 16 * MIB) == (provisioning == "thick")


@only(lambda kind: kind.backend == "image")
def test_a_device_number_takes_discards_again_after_a_thick_volume(world: World) -> None:
    """A limit would stay with the number, for whoever gets it next."""
    assert isinstance(world.backend, base.Devices)
    thick = world.create(provisioning="thick")
    number = int(world.backend.attach(thick).removeprefix("/dev/loop"))
    assert loop_status.discard_lost(number)
    world.idle(thick)
    assert not loop_status.discard_lost(number)


@only(lambda kind: kind.backend == "image")
def test_growth_without_room_changes_nothing(world: World) -> None:
    """``ensure_resized``: NoSpace when preallocation finds no room, and then unchanged."""
    volume = world.create(provisioning="thick")
    world.write(volume, b"kept")
    world.idle(volume)
    free, before = world.backend.space().free, blocks(world, "one")
    with pytest.raises(errors.NoSpace):
        expanding(world).ensure_resized(volume, 1 << 40)
    assert size_of(world, "one") == 16 * MIB
    assert blocks(world, "one") == before
    assert free - world.backend.space().free < MIB
    assert world.read(volume, 4) == b"kept"


@only(lambda kind: kind.backend == "image")
def test_a_thick_volume_without_room_is_not_made(world: World) -> None:
    """``ensure_created``: NoSpace leaves nothing behind."""
    before = world.names()
    with pytest.raises(errors.NoSpace):
        world.create(size=1 << 40, provisioning="thick")
    assert world.names() == before


@only(lambda kind: kind.backend == "image")
def test_a_missing_image_is_never_grown_from_nothing(world: World) -> None:
    """A volume that held data and is gone is DataDamaged, not a new empty one."""
    volume = world.create()
    world.trash(volume, "t1")
    with pytest.raises(errors.DataDamaged):
        expanding(world).ensure_resized(volume, 32 * MIB)


def test_changes_are_checked_by_name_and_value(world: World) -> None:
    """``checked_attributes``: InvalidArgument naming key, value and what is allowed."""
    volume = world.volume()
    for changes in ({"colour": "red"}, {"wipe": "shred"}):
        with pytest.raises(errors.InvalidArgument) as refusal:
            attributes(world).checked_attributes(volume, changes)
        assert next(iter(changes)) in refusal.value.message
    changed = attributes(world).checked_attributes(volume, {"wipe": "discard"})
    assert changed == volume.attributes | {"wipe": "discard"}
    assert attributes(world).checked_attributes(volume, {}) == volume.attributes


def test_changing_attributes_may_be_repeated(world: World) -> None:
    """``ensure_attributes``: repeatable, and the data stays."""
    volume = world.create()
    world.write(volume, b"kept")
    wanted = attributes(world).checked_attributes(volume, {"wipe": "discard"})
    for _ in range(2):
        attributes(world).ensure_attributes(volume, wanted)
    assert world.read(volume, 4) == b"kept"


@only(lambda kind: kind.backend == "image")
def test_a_volume_becomes_thick_and_thin_again(world: World) -> None:
    """``provisioning`` has real effect when modified: blocks are taken, and unwritten ones given back."""
    volume = world.create()
    world.write(volume, pattern("a", MIB))
    world.idle(volume)
    thick = attributes(world).checked_attributes(volume, {"provisioning": "thick"})
    attributes(world).ensure_attributes(volume, thick)
    assert blocks(world, "one") >= 16 * MIB
    attributes(world).ensure_attributes(msgspec.structs.replace(volume, attributes=thick), volume.attributes)
    assert blocks(world, "one") == MIB
    assert world.read(volume, MIB) == pattern("a", MIB)


@only(lambda kind: kind.backend == "image")
def test_a_volume_in_use_becomes_thick(world: World) -> None:
    """Also while it is attached: its data stays, and from then on discards give nothing back."""
    assert isinstance(world.backend, base.Devices)
    volume = world.create()
    world.write(volume, pattern("a", MIB))
    thick = attributes(world).checked_attributes(volume, {"provisioning": "thick"})
    attributes(world).ensure_attributes(volume, thick)
    assert blocks(world, "one") >= 16 * MIB
    with open(world.backend.attach(volume), "r+b") as file:
        assert not discard(file.fileno(), 0, 16 * MIB)
    assert world.read(volume, MIB) == pattern("a", MIB)


@only(lambda kind: kind.backend == "image")
def test_becoming_thick_without_room_changes_nothing(world: World) -> None:
    """``ensure_attributes``: on failure what was in force before still is."""
    volume = world.create(size=1 << 40)
    world.write(volume, pattern("a", MIB))
    world.idle(volume)
    thick = attributes(world).checked_attributes(volume, {"provisioning": "thick"})
    with pytest.raises(errors.NoSpace):
        attributes(world).ensure_attributes(volume, thick)
    assert blocks(world, "one") == MIB
    assert world.read(volume, MIB) == pattern("a", MIB)


@only(lambda kind: kind.backend == "image")
@pytest.mark.parametrize("act", ["resize", "resize-thick", "create-thick", "thicken"])
def test_a_death_after_any_call_heals_on_repeat(world: World, act: str) -> None:
    """Every change may be repeated after a crash at any point."""
    for number in range(1, 30):
        given = {"provisioning": "thick"} if act in ("resize-thick", "create-thick") else {}
        volume = world.volume(f"n{number}", 4 * MIB, formatted=False, **given)
        thick = attributes(world).checked_attributes(volume, {"provisioning": "thick"})
        if act != "create-thick":
            world.backend.ensure_created(volume)
            world.write(volume, b"kept")
            world.idle(volume)

        def body(volume=volume, thick=thick) -> None:
            if act == "create-thick":
                world.backend.ensure_created(volume)
            elif act == "thicken":
                attributes(world).ensure_attributes(volume, thick)
            else:
                expanding(world).ensure_resized(volume, 8 * MIB)

        fate = death.after_effect(number, body)
        body()
        assert size_of(world, f"n{number}") == (8 * MIB if act.startswith("resize") else 4 * MIB)
        assert (blocks(world, f"n{number}") >= 4 * MIB) == (act != "resize")
        assert world.read(volume, 4) == (bytes(4) if act == "create-thick" else b"kept")
        world.idle(volume)
        world.purge(volume, "t")
        if fate == "finished":
            assert not [one for one in loop.all_devices() if one.backing_path.startswith(str(world.pool_path))]
            return
    pytest.fail("more than 29 effects")

"""Image pools on filesystems that lack something: ext4 without extents cannot preallocate, ramfs not even punch holes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from driver.backends import base, registry
from driver.backends.image import purge
from driver.host import loop
from driver.model import errors

from . import pools
from .pools import Ground
from .world import MIB, Quiet, World, pattern

PLAIN = next(kind for kind in pools.KINDS if kind.name == "image-ext4")


@pytest.fixture
def old(scratch: Path) -> Iterator[World]:
    """A pool on a filesystem as ext3 lays it out."""
    image, mount_point = scratch / "image", scratch / "mnt"
    image.touch()
    os.truncate(image, 128 * MIB)
    pools.run("mkfs.ext4", "-q", "-O", "^extent,^64bit", "-b", "4096", str(image))
    mount_point.mkdir()
    device = loop.attach(str(image)).path
    pools.run("mount", device, str(mount_point))
    try:
        config = pools._config("image", path=str(mount_point))
        world = World(PLAIN, Ground(config, scratch / "state", device, str(mount_point)))
        yield world
        world.backend.close()
    finally:
        pools.take_away(str(mount_point), device)


def test_thick_is_refused_where_nothing_can_be_preallocated(old: World) -> None:
    """InvalidArgument saying why, at create, when grown and when modified; nothing is left or changed."""
    before = old.names()
    with pytest.raises(errors.InvalidArgument, match="preallocate"):
        old.create(provisioning="thick")
    assert old.names() == before
    volume = old.create()
    backend = old.backend
    assert isinstance(backend, base.Attributes)
    with pytest.raises(errors.InvalidArgument, match="preallocate"):
        backend.ensure_attributes(volume, volume.attributes | {"provisioning": "thick"})


def test_everything_else_works_there(old: World) -> None:
    """Volumes, copies, growth and wipes need no more than the filesystem has."""
    volume = old.create(wipe="zero")
    old.write(volume, pattern("a", MIB))
    old.idle(volume)
    snapshot = old.cut(volume)
    backend = old.backend
    assert isinstance(backend, base.Expansion)
    backend.ensure_resized(volume, 32 * MIB)
    copy = old.volume("copy")
    old.fill(copy, snapshot)
    assert old.read(copy, MIB) == pattern("a", MIB)
    old.idle(copy)
    for number, (thing, wipe) in enumerate(((volume, "zero"), (copy, "discard"), (snapshot, "none"))):
        old.purge(thing, f"t{number}", wipe)
    assert old.entries("volume") | old.entries("snapshot") | old.entries("trash") == set()


def test_a_purge_needs_no_holes(scratch: Path) -> None:
    """Where holes cannot be punched, the file goes all the same."""
    pools.run("mount", "-t", "ramfs", "none", str(scratch))
    try:
        image = scratch / "image"
        image.write_bytes(pattern("a", MIB))
        assert purge.remove(str(image), "none", Quiet())
        assert not image.exists()
    finally:
        pools.run("umount", str(scratch))


def test_a_pool_without_room_to_tell_is_refused(scratch: Path) -> None:
    """ramfs says it has no room at all: NoSpace naming the path, and nothing is left there."""
    pools.run("mount", "-t", "ramfs", "none", str(scratch))
    try:
        config = pools._config("image", path=str(scratch))
        with pytest.raises(errors.NoSpace, match=str(scratch)):
            registry.create(config, scratch.with_name("root")).open()
        assert os.listdir(scratch) == []
    finally:
        pools.run("umount", str(scratch))

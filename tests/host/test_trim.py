"""Telling the device below what is free, and which device that is."""

import os
from pathlib import Path

import pytest

from driver.host import disk, extents, loop, mounts, space, trim
from driver.model.errors import HostFailed, NotFound

from .scratch import Scratch

MIB = 1 << 20


@pytest.mark.parametrize("fs_type", ["ext4", "xfs", "btrfs"])
def test_a_trim_gives_the_blocks_of_deleted_files_back_to_the_image(scratch: Scratch, fs_type: str) -> None:
    """It is done when the call returns: the secret is not in the image any more."""
    made = scratch.mounted(fs_type)
    secret = Path(made.path, "f")
    with secret.open("wb") as file:
        file.write(b"HOLDALL-SECRET--" * (8 * MIB // 16))
        os.fsync(file.fileno())
    before = extents.allocated_bytes(made.image)
    os.truncate(secret, 0)
    secret.unlink()
    assert trim.fitrim(made.path) >= 8 * MIB
    assert extents.allocated_bytes(made.image) <= before - 8 * MIB
    device = os.open(made.device.path, os.O_RDONLY)
    os.fsync(device)
    os.close(device)
    assert b"HOLDALL-SECRET--HOLDALL" not in Path(made.image).read_bytes()


def test_whether_discards_are_taken_is_told_for_paths_and_devices(scratch: Scratch) -> None:
    """A loop device on a real filesystem does; what has no block device does not."""
    made = scratch.mounted("ext4")
    assert trim.discard_supported(made.path)
    assert trim.discard_supported(made.device.path)
    assert not trim.discard_supported("/proc")


def test_a_device_that_takes_no_discards_is_told(scratch: Scratch) -> None:
    """``wipe=discard`` is refused there, and a trim says so."""
    made = scratch.mounted("ext4")
    limit = Path(f"/sys/block/{os.path.basename(made.device.path)}/queue/discard_max_bytes")
    limit.write_text("0")
    assert not trim.discard_supported(made.path)
    with pytest.raises(HostFailed, match="EOPNOTSUPP"):
        trim.fitrim(made.path)
    mounts.ensure_unmounted(made.path)
    loop.detach(made.device)
    loop.make_anew(made.device.number)


def test_a_partition_takes_what_its_disk_takes(filesystems: dict[str, Path]) -> None:
    """btrfs, whose files have device numbers of their own, is seen through."""
    assert trim.discard_supported(str(filesystems["btrfs"])) == trim.discard_supported(
        disk.device_below(str(filesystems["btrfs"]))
    )


def test_a_discarded_device_is_empty(scratch: Scratch) -> None:
    """All of it."""
    image = scratch.image(0)
    Path(image).write_bytes(b"x" * MIB)
    device = loop.attach(image)
    trim.discard_device(device.path)
    assert extents.allocated_bytes(image) == 0


def test_a_mounted_device_is_not_discarded(scratch: Scratch) -> None:
    """A mistake of the caller's must not cost data."""
    made = scratch.mounted("ext4")
    with pytest.raises(HostFailed, match="EBUSY"):
        trim.discard_device(made.device.path)


@pytest.mark.parametrize("fs_type", ["ext4", "btrfs"])
def test_the_disk_is_found_through_loop_devices(scratch: Scratch, fs_type: str) -> None:
    """The class of a pool in an image is that of the disk the image lies on."""
    made = scratch.mounted(fs_type)
    below = disk.describe(str(scratch.root))
    assert disk.describe(made.path) == below
    assert disk.describe(made.device.path) == below
    assert below.name
    assert not below.name.startswith("loop")


def test_where_there_is_no_disk_none_is_made_up() -> None:
    """tmpfs."""
    assert disk.describe("/dev/shm") == disk.NO_DISK


def test_the_counters_of_a_device_grow_with_its_work(scratch: Scratch) -> None:
    """Bytes and operations, apart for reading and writing."""
    made = scratch.mounted("ext4")
    name = os.path.basename(made.device.path)
    before = disk.io_counters(name)
    with open(f"{made.path}/f", "wb") as file:
        file.write(bytes(4 * MIB))
        os.fsync(file.fileno())
    after = disk.io_counters(name)
    assert after.write_bytes - before.write_bytes >= 4 * MIB
    assert after.write_ops > before.write_ops
    assert after.write_seconds >= before.write_seconds
    assert before.read_bytes > 0


def test_the_counters_of_a_device_that_is_gone_are_not_found() -> None:
    """A disk that was pulled."""
    with pytest.raises(NotFound, match="nosuchdisk"):
        disk.io_counters("nosuchdisk")


def test_room_is_told_as_df_does(scratch: Scratch) -> None:
    """Free is what a user may take; used and free need not add up to the total."""
    made = scratch.mounted("ext4")
    found, seen = space.space(made.path), os.statvfs(made.path)
    assert found.total == seen.f_blocks * seen.f_frsize
    assert found.free == seen.f_bavail * seen.f_frsize
    assert found.used == (seen.f_blocks - seen.f_bfree) * seen.f_frsize
    assert found.inodes > found.inodes_free > 0


def test_room_of_what_is_gone_is_an_error() -> None:
    """Not zero."""
    with pytest.raises(HostFailed, match="ENOENT"):
        space.space("/does/not/exist")

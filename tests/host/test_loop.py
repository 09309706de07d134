"""Loop devices: whose they are, how they are set up, and that they go."""

import fcntl
import os
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from driver.host import effect, loop, mounts, reflink
from driver.model.errors import FailedPrecondition, InUse, InvalidArgument

from .observers import Death, Killer, Recorder
from .scratch import Scratch

Observe = Callable[[effect.Observer], None]
BLKSSZGET = 0x1268


def _block_size(device: loop.LoopDevice) -> int:
    fd = os.open(device.path, os.O_RDONLY)
    try:
        return int(struct.unpack("i", fcntl.ioctl(fd, BLKSSZGET, bytes(4)))[0])
    finally:
        os.close(fd)


def test_a_device_shows_the_bytes_of_its_file_in_4096_byte_blocks(scratch: Scratch) -> None:
    """With direct IO, so that data is not cached twice."""
    image = scratch.image(0)
    Path(image).write_bytes(b"x" * 8192)
    device = loop.attach(image)
    assert Path(device.path).read_bytes() == b"x" * 8192
    assert _block_size(device) == 4096
    assert device.direct_io
    assert not device.read_only
    assert os.stat(device.path).st_rdev == device.rdev


def test_the_block_size_survives_a_reflink_of_the_file_on_xfs(scratch: Scratch, filesystems: dict[str, Path]) -> None:
    """Without 4096 from the start the kernel changes it then, and the volume no longer mounts."""
    image = scratch.image(1 << 20, at=scratch.place(filesystems["xfs"]))
    device = loop.attach(image)
    reflink.share(image, f"{image}-copy")
    assert _block_size(device) == 4096
    loop.detach(device)
    assert _block_size(loop.attach(image)) == 4096


def test_attaching_again_gives_the_same_device(scratch: Scratch) -> None:
    """Also by another name of the file: device and inode count, not the path."""
    image = scratch.image()
    device = loop.attach(image)
    os.link(image, f"{image}-other-name")
    assert loop.attach(f"{image}-other-name") == device


def test_a_renamed_file_is_still_found_and_a_new_one_of_its_name_is_not(scratch: Scratch) -> None:
    """The path a device was made with says nothing."""
    image = scratch.image()
    device = loop.attach(image)
    os.rename(image, f"{image}-moved")
    Path(image).write_bytes(bytes(8192))
    assert loop.find(image) is None
    assert loop.find(f"{image}-moved") == device
    assert loop.find(os.stat(f"{image}-moved")) == device


def test_a_deleted_file_is_still_told(scratch: Scratch) -> None:
    """An image that vanished below a mounted volume is a finding."""
    image = scratch.image()
    seen = os.stat(image)
    device = loop.attach(image)
    os.unlink(image)
    found = [attached for attached in loop.all_devices() if attached.device == device]
    assert found == [loop.Attached(device, seen.st_dev, seen.st_ino, image, True)]
    assert loop.find(seen) == device


def test_a_file_named_like_a_deleted_one_is_not_taken_for_one(scratch: Scratch) -> None:
    """The kernel marks deleted files by words a name may hold."""
    image = f"{scratch.image()} (deleted)"
    Path(image).write_bytes(bytes(8192))
    device = loop.attach(image)
    assert [attached.deleted for attached in loop.all_devices() if attached.device == device] == [False]


def test_a_remembered_device_is_verified_against_its_file(scratch: Scratch) -> None:
    """Numbers are used again."""
    image, other = scratch.image(), scratch.image()
    seen, another = os.stat(image), os.stat(other)
    device = loop.attach(image)
    assert loop.verify(device, seen.st_dev, seen.st_ino)
    assert not loop.verify(device, another.st_dev, another.st_ino)
    loop.detach(device)
    assert not loop.verify(device, seen.st_dev, seen.st_ino)


def test_a_read_only_device_takes_no_writes(scratch: Scratch) -> None:
    """Not even of root."""
    device = loop.attach(scratch.image(), read_only=True)
    assert device.read_only
    with open(device.path, "r+b", buffering=0) as opened, pytest.raises(PermissionError):
        opened.write(b"x" * 4096)


def test_a_device_attached_otherwise_is_refused_and_named(scratch: Scratch) -> None:
    """Using it would break what was promised."""
    image = scratch.image()
    device = loop.attach(image)
    with pytest.raises(FailedPrecondition, match=f"{device.path} already, but writable"):
        loop.attach(image, read_only=True)


def test_a_device_with_another_block_size_is_refused(scratch: Scratch) -> None:
    """An administrator's own losetup."""
    image = scratch.image()
    device = loop.attach(image)
    fd = os.open(device.path, os.O_RDONLY)
    fcntl.ioctl(fd, 0x4C09, 512)
    os.close(fd)
    with pytest.raises(FailedPrecondition, match="logical_block_size 512 instead of 4096"):
        loop.attach(image)


@pytest.mark.parametrize("size", [4097, 512])
def test_a_file_of_broken_blocks_is_refused(scratch: Scratch, size: int) -> None:
    """Its tail would not be on the device."""
    with pytest.raises(InvalidArgument):
        loop.attach(scratch.image(size))


def test_a_device_grows_with_its_file_when_told(scratch: Scratch) -> None:
    """Online."""
    image = scratch.image(8 << 20)
    device = loop.attach(image)
    os.truncate(image, 16 << 20)
    assert loop.refresh_size(device) == 16 << 20


def test_detaching_is_done_when_it_returns_and_repeats(scratch: Scratch) -> None:
    """The number is free then."""
    image = scratch.image()
    device = loop.attach(image)
    loop.detach(device)
    assert loop.find(image) is None
    loop.detach(device)


def test_detaching_brings_what_was_written_to_the_file(scratch: Scratch) -> None:
    """A pod that wrote to the raw device need not have synced."""
    image = scratch.image(1 << 20)
    device = loop.attach(image)
    fd = os.open(device.path, os.O_RDWR)
    os.pwrite(fd, b"x" * 5000, 100)
    os.close(fd)
    loop.detach(device)
    assert Path(image).read_bytes()[:5200] == bytes(100) + b"x" * 5000 + bytes(100)


def test_detaching_flushes_the_disk_below_first(scratch: Scratch, observe: Observe) -> None:
    """The kernel writes the pages to the file by itself, but leaves them in the disk's cache."""
    device = loop.attach(scratch.image())
    recorder = Recorder()
    observe(recorder)
    loop.detach(device)
    assert recorder.names == ["files.fsync_file", "loop.clear"]


def test_a_mounted_device_is_in_use_and_stays(scratch: Scratch) -> None:
    """The kernel would accept, and free it at some later unmount."""
    volume = scratch.mounted("ext4")
    with pytest.raises(InUse, match=volume.device.path):
        loop.detach(volume.device)
    mounts.ensure_unmounted(volume.path)
    assert loop.find(volume.image) == volume.device
    loop.detach(volume.device)


def test_a_device_held_open_is_reported_and_freed_at_its_last_close(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod may still have the block device open."""
    monkeypatch.setattr(loop, "PATIENCE", 0.1)
    image = scratch.image()
    device = loop.attach(image)
    fd = os.open(device.path, os.O_RDONLY)
    with pytest.raises(InUse, match="held open"):
        loop.detach(device)
    os.close(fd)
    loop.detach(device)
    assert loop.find(image) is None


def test_a_device_opened_for_a_moment_is_waited_for(scratch: Scratch) -> None:
    """udev looks at every device that changes."""
    image = scratch.image()
    device = loop.attach(image)
    fd = os.open(device.path, os.O_RDONLY)
    closer = threading.Timer(0.2, os.close, [fd])
    closer.start()
    loop.detach(device)
    closer.join()
    assert loop.find(image) is None


def test_more_devices_than_the_kernel_starts_with_attach_at_the_same_time(scratch: Scratch) -> None:
    """Each file gets one of its own, whoever is first at a free number."""
    images = [scratch.image(1 << 20) for _ in range(24)]
    with ThreadPoolExecutor(8) as pool:
        devices = list(pool.map(loop.attach, images))
        assert len({device.number for device in devices}) == 24
        assert [loop.find(image) for image in images] == devices
        list(pool.map(loop.detach, devices))
    assert [loop.find(image) for image in images] == [None] * 24


def test_a_crash_right_after_attaching_is_healed_by_a_repeat(scratch: Scratch, observe: Observe) -> None:
    """The device the dead process made is found."""
    image = scratch.image()
    observe(Killer("loop.configure"))
    with pytest.raises(Death):
        loop.attach(image)
    effect.uninstall()
    found = loop.find(image)
    assert found is not None
    assert loop.attach(image) == found


def test_discards_reach_the_file(scratch: Scratch) -> None:
    """Also on a number whose discard limit somebody had set to 0, which the kernel would keep."""
    image = scratch.image(0)
    Path(image).write_bytes(b"x" * (1 << 20))
    device = loop.attach(image)
    Path(f"/sys/block/loop{device.number}/queue/discard_max_bytes").write_text("0")
    loop.detach(device)
    device = loop.attach(image)
    fd = os.open(device.path, os.O_RDWR)
    fcntl.ioctl(fd, 0x1277, struct.pack("=QQ", 0, 1 << 20))
    os.close(fd)
    assert os.stat(image).st_blocks == 0


def test_a_number_taken_by_another_file_at_once_counts_as_freed(scratch: Scratch) -> None:
    """Many attach and detach at the same time; whoever waits for its own must not wait for theirs."""
    images = [scratch.image(1 << 20) for _ in range(8)]

    def churn(image: str) -> None:
        for _ in range(20):
            loop.detach(loop.attach(image))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(churn, images))
    assert [loop.find(image) for image in images] == [None] * 8

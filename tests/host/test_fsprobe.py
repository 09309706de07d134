"""What is on a device, and what a path lies on."""

import errno
import os
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from driver.host import fsprobe, loop
from driver.model.errors import FailedPrecondition, HostFailed

from .scratch import Scratch


def test_an_empty_device_has_no_signature(scratch: Scratch) -> None:
    """A device of zeros, or an image."""
    image = scratch.image(16 << 20)
    assert fsprobe.signature(image) is None
    assert fsprobe.signature(loop.attach(image).path) is None


@pytest.mark.parametrize("fs_type", ["ext4", "xfs", "btrfs"])
def test_a_filesystem_is_recognized(scratch: Scratch, fs_type: str) -> None:
    """With its UUID."""
    made = scratch.formatted(fs_type)
    found = fsprobe.signature(made.device.path)
    assert found is not None
    assert (found.kind, found.usage) == (fs_type, "filesystem")
    assert len(found.uuid) == 36


@pytest.mark.parametrize("label", ["plain", "a b", "quo'te\"", "back\\slash", "line\nbreak", "dollar$`"])
def test_a_label_is_told_as_it_is(scratch: Scratch, label: str) -> None:
    """blkid escapes what a shell would take amiss."""
    image = scratch.image(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", label, image], check=True)
    found = fsprobe.signature(image)
    assert found is not None
    assert found.kind == "ext4"
    assert found.label == label or "\n" in label


def test_a_partition_table_is_a_signature(scratch: Scratch) -> None:
    """A disk with partitions is not empty."""
    image = scratch.image(16 << 20)
    with open(image, "r+b") as file:
        # One Linux partition of 1 MiB from sector 2048 on, as fdisk(8) writes it.
        file.seek(446)
        file.write(struct.pack("<B3sB3sII", 0, b"\0\0\0", 0x83, b"\0\0\0", 2048, 2048))
        file.seek(510)
        file.write(b"\x55\xaa")
    found = fsprobe.signature(image)
    assert found is not None
    assert found.kind == "dos"


def test_swap_is_a_signature(scratch: Scratch) -> None:
    """Whatever blkid knows, not only filesystems."""
    image = scratch.image(16 << 20)
    subprocess.run(["mkswap", "-q", image], check=True, capture_output=True)
    found = fsprobe.signature(image)
    assert found is not None
    assert (found.kind, found.usage) == ("swap", "other")


def test_a_device_that_is_gone_is_an_error_and_not_empty(scratch: Scratch) -> None:
    """blkid answers as for an empty one: formatting would be next."""
    with pytest.raises(HostFailed, match="ENOENT"):
        fsprobe.signature(f"{scratch.root}/gone")


def test_a_device_that_cannot_be_read_is_an_error_and_not_empty(scratch: Scratch) -> None:
    """A loop device whose file was cut off below it fails with EIO, as a dying disk does."""
    image = scratch.image(16 << 20)
    device = loop.attach(image)
    os.truncate(image, 0)
    with pytest.raises(HostFailed, match="EIO"):
        fsprobe.signature(device.path)


def test_signatures_that_contradict_each_other_are_refused(scratch: Scratch) -> None:
    """Somebody must look at it."""
    image = scratch.image(320 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
    with open(image, "r+b") as file:
        ext4 = file.read(4096)
    os.unlink(image)
    image = scratch.image(320 << 20)
    subprocess.run(["mkfs.xfs", "-q", image], check=True, capture_output=True)
    with open(image, "r+b") as file:
        file.seek(1024)
        file.write(ext4[1024:2048])
    with pytest.raises(FailedPrecondition, match="several signatures"):
        fsprobe.signature(image)


def test_the_filesystem_of_a_path_is_told_by_name(filesystems: dict[str, Path]) -> None:
    """It decides the kind of ledger."""
    for name, path in filesystems.items():
        assert fsprobe.statfs_type(str(path)) == fsprobe.FsKind(name, is_network=False)
    assert fsprobe.statfs_type("/dev/shm") == fsprobe.FsKind("tmpfs", is_network=False)


def _answer(fuse: int) -> None:
    """Be a FUSE filesystem that can be mounted and asked for its room, until it is unmounted (fuse(4))."""
    while True:
        try:
            request = os.read(fuse, 1 << 18)
        except OSError:
            return
        _, operation, unique = struct.unpack_from("=IIQ", request)
        replies = {26: struct.pack("=IIIIHHI", 7, 31, 0, 0, 1, 1, 4096).ljust(64, b"\0"), 17: bytes(80)}
        body = replies.get(operation)
        error = 0 if body is not None else -errno.ENOSYS
        os.write(fuse, struct.pack("=IiQ", 16 + len(body or b""), error, unique) + (body or b""))


def test_fuse_counts_as_a_network(scratch: Scratch) -> None:
    """A process answers for it; nobody knows what lies behind."""
    target = scratch.directory()
    fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    data = f"fd={fuse},rootmode=40000,user_id=0,group_id=0"
    subprocess.run(["mount", "-i", "-t", "fuse", "-o", data, "x", target], check=True, pass_fds=[fuse])
    server = threading.Thread(target=_answer, args=[fuse])
    server.start()
    assert fsprobe.statfs_type(target) == fsprobe.FsKind("fuse", is_network=True)
    subprocess.run(["umount", target], check=True)
    server.join()
    os.close(fuse)


def test_a_filesystem_unknown_to_us_is_told_by_number_and_counts_as_network() -> None:
    """The careful choice."""
    assert fsprobe.statfs_type("/proc") == fsprobe.FsKind("0x9fa0", is_network=True)


def test_a_path_that_is_gone_has_no_kind(scratch: Scratch) -> None:
    """An error, not a default."""
    with pytest.raises(HostFailed, match="ENOENT"):
        fsprobe.statfs_type(f"{scratch.root}/gone")

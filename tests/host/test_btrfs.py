"""Subvolumes of btrfs."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from driver.host import btrfs, mounts
from driver.model.errors import HostFailed, InvalidArgument

from .scratch import Scratch, Volume


@pytest.fixture
def place(scratch: Scratch, filesystems: dict[str, Path]) -> str:
    """A private directory on btrfs."""
    return str(scratch.place(filesystems["btrfs"]))


@pytest.fixture
def own(scratch: Scratch) -> Volume:
    """A btrfs of its own."""
    return scratch.mounted("btrfs")


def test_a_subvolume_is_told_from_a_directory(place: str) -> None:
    """And from what is not there, or on another filesystem."""
    btrfs.create_subvolume(place, "sub")
    os.mkdir(f"{place}/dir")
    found = [btrfs.is_subvolume(path) for path in (f"{place}/sub", f"{place}/dir", f"{place}/gone", "/proc")]
    assert found == [True, False, False, False]


def test_each_subvolume_has_an_id_of_its_own(place: str) -> None:
    """What lies in it has its id."""
    btrfs.create_subvolume(place, "a")
    btrfs.create_subvolume(place, "b")
    os.mkdir(f"{place}/a/d")
    assert btrfs.subvolume_id(f"{place}/a/d") == btrfs.subvolume_id(f"{place}/a")
    assert len({btrfs.subvolume_id(path) for path in (place, f"{place}/a", f"{place}/b")}) == 3


def test_a_subvolume_of_a_taken_name_is_refused(place: str) -> None:
    """The caller looks at what is there."""
    btrfs.create_subvolume(place, "sub")
    with pytest.raises(HostFailed) as failed:
        btrfs.create_subvolume(place, "sub")
    assert failed.value.code == errno.EEXIST


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "x" * 256, "../x"])
def test_a_name_that_is_none_is_refused(place: str, name: str) -> None:
    """It would lie elsewhere."""
    for act in (
        lambda: btrfs.create_subvolume(place, name),
        lambda: btrfs.delete_subvolume(place, name),
        lambda: btrfs.snapshot(place, place, name, read_only=True),
    ):
        with pytest.raises(InvalidArgument):
            act()


def test_a_snapshot_holds_what_its_source_held_whatever_happens_to_that(place: str) -> None:
    """Also data that was not synced."""
    btrfs.create_subvolume(place, "sub")
    Path(place, "sub", "f").write_bytes(b"before")
    btrfs.snapshot(f"{place}/sub", place, "snap", read_only=True)
    Path(place, "sub", "f").write_bytes(b"after")
    btrfs.delete_subvolume(place, "sub")
    assert Path(place, "snap", "f").read_bytes() == b"before"


def test_a_read_only_snapshot_takes_no_writes_until_it_is_made_writable(place: str) -> None:
    """Restore in place, or not at all."""
    btrfs.create_subvolume(place, "sub")
    btrfs.snapshot(f"{place}/sub", place, "snap", read_only=True)
    assert btrfs.is_read_only(f"{place}/snap")
    with pytest.raises(OSError, match="Read-only"):
        Path(place, "snap", "f").write_bytes(b"x")
    btrfs.set_read_only(f"{place}/snap", False)
    Path(place, "snap", "f").write_bytes(b"x")
    assert not btrfs.is_read_only(f"{place}/snap")


def test_a_writable_snapshot_is_a_clone(place: str) -> None:
    """Neither sees what the other writes."""
    btrfs.create_subvolume(place, "sub")
    btrfs.snapshot(f"{place}/sub", place, "clone", read_only=False)
    Path(place, "clone", "f").write_bytes(b"x")
    assert os.listdir(f"{place}/sub") == []


def test_deleting_says_whether_something_was_there(place: str) -> None:
    """And is content when nothing was."""
    btrfs.create_subvolume(place, "sub")
    assert btrfs.delete_subvolume(place, "sub")
    assert not btrfs.delete_subvolume(place, "sub")


def test_a_directory_is_not_deleted_as_a_subvolume(place: str) -> None:
    """It is not what our record says."""
    os.mkdir(f"{place}/dir")
    with pytest.raises(HostFailed):
        btrfs.delete_subvolume(place, "dir")
    assert os.path.isdir(f"{place}/dir")


def test_subvolumes_nested_by_users_go_with_theirs(place: str) -> None:
    """In directories, in each other, read-only ones; names of any bytes; a link beside them leads nowhere."""
    btrfs.create_subvolume(place, "outside")
    Path(place, "outside", "precious").write_bytes(b"x")
    btrfs.create_subvolume(place, "top")
    os.makedirs(f"{place}/top/a/b")
    btrfs.create_subvolume(f"{place}/top/a/b", "one")
    btrfs.create_subvolume(f"{place}/top/a/b/one", "two")
    btrfs.create_subvolume(f"{place}/top/a/b/one", os.fsdecode(b"\xff\n"))
    os.mkdir(f"{place}/top/a/b/one/two/d")
    btrfs.create_subvolume(f"{place}/top/a/b/one/two/d", "three")
    os.symlink(f"{place}/outside", f"{place}/top/link")
    for path in ("a/b/one/two/d/three", "a/b/one/two", "a/b/one", ""):
        btrfs.set_read_only(f"{place}/top/{path}", True)
    assert len(btrfs.nested_in(f"{place}/top")) == 4
    assert btrfs.delete_subvolume(place, "top")
    assert sorted(os.listdir(place)) == ["outside"]
    assert Path(place, "outside", "precious").exists()


def test_a_commit_makes_subvolumes_durable(own: Volume, scratch: Scratch) -> None:
    """The image, copied while mounted and without any other sync, holds them."""
    btrfs.create_subvolume(own.path, "sub")
    btrfs.create_subvolume(own.path, "gone")
    btrfs.delete_subvolume(own.path, "gone")
    btrfs.commit(own.path)
    copy = f"{scratch.root}/copy"
    subprocess.run(["cp", "--sparse=always", own.image, copy], check=True)
    listed = subprocess.run(
        ["btrfs", "inspect-internal", "dump-tree", "-t", "root", copy], check=True, capture_output=True, text=True
    ).stdout
    assert "name sub\n" in listed
    assert "name gone\n" not in listed


def test_compression_is_set_for_what_is_made_from_now_on(place: str) -> None:
    """Really: the file takes a fraction of its bytes on the device."""
    btrfs.create_subvolume(place, "sub")
    assert btrfs.compression(f"{place}/sub") == ""
    btrfs.set_compression(f"{place}/sub", "zstd")
    assert btrfs.compression(f"{place}/sub") == "zstd"
    os.mkdir(f"{place}/sub/d")
    assert btrfs.compression(f"{place}/sub/d") == "zstd"
    btrfs.set_compression(f"{place}/sub", "")
    assert btrfs.compression(f"{place}/sub") == ""


def test_an_unknown_compression_is_an_invalid_argument(place: str) -> None:
    """Naming those that are known."""
    with pytest.raises(InvalidArgument, match="zstd, lzo, zlib"):
        btrfs.set_compression(place, "rar")


def test_the_devices_are_told_and_match_the_mount(own: Volume) -> None:
    """Files on btrfs have device numbers that say nothing of the disk."""
    assert btrfs.devices(own.path) == [own.device.path]
    assert btrfs.device_numbers(own.path) == {own.device.rdev}
    assert btrfs.device_numbers("/proc") == set()
    mounts.ensure_mounted(own.device.path, own.path, "btrfs")


def test_what_is_no_btrfs_is_a_host_failure() -> None:
    """ENOTTY, not nonsense."""
    with pytest.raises(HostFailed) as failed:
        btrfs.subvolume_id("/proc")
    assert failed.value.code == errno.ENOTTY

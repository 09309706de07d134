"""Mounts, as the state wanted."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from driver.host import effect, loop, mounts
from driver.model.errors import FailedPrecondition, HostFailed, InUse, InvalidArgument

from .observers import Death, Killer, Recorder
from .scratch import Scratch, Volume, vfs_options

Observe = Callable[[effect.Observer], None]
TYPES = ("ext4", "xfs", "btrfs")


@pytest.fixture(params=TYPES)
def made(request: pytest.FixtureRequest, scratch: Scratch) -> Volume:
    """An unmounted filesystem of each type."""
    return scratch.formatted(request.param)


def test_a_plain_path_is_no_mount(scratch: Scratch) -> None:
    """It has the device and inode that stat(2) tells."""
    seen, found = mounts.look(str(scratch.root)), os.stat(scratch.root)
    assert seen is not None
    assert (seen.dev, seen.inode, seen.is_root) == (found.st_dev, found.st_ino, False)


def test_nothing_is_seen_where_nothing_is(scratch: Scratch) -> None:
    """Also below a file."""
    (scratch.root / "f").write_bytes(b"")
    assert mounts.look(f"{scratch.root}/gone") is None
    assert mounts.look(f"{scratch.root}/f/x") is None


def test_a_link_to_a_mount_is_not_the_mount(scratch: Scratch) -> None:
    """kubelet's paths are no links."""
    volume = scratch.mounted("ext4")
    link = scratch.root / "link"
    link.symlink_to(volume.path)
    seen = mounts.look(str(link))
    assert seen is not None
    assert not seen.is_root


def test_a_filesystem_is_mounted_once_however_often_it_is_asked_for(made: Volume, observe: Observe) -> None:
    """For every type: the second call only looks."""
    fs_type = _type(made)
    recorder = Recorder()
    observe(recorder)
    for _ in range(3):
        mounts.ensure_mounted(made.device.path, made.path, fs_type, ["noatime", "nosuid"])
    assert recorder.names == ["mount_acts.mount_device"]
    assert {"rw", "noatime", "nosuid"} <= vfs_options(made.path)
    seen = mounts.look(made.path)
    assert seen is not None
    assert seen.is_root
    assert not seen.read_only


def test_another_filesystem_in_the_place_is_refused_by_name(made: Volume, scratch: Scratch) -> None:
    """Stacking over it would hide somebody's data."""
    mounts.ensure_mounted(made.device.path, made.path, _type(made))
    other = scratch.formatted("ext4")
    with pytest.raises(FailedPrecondition, match=f"{made.device.path} .*{other.device.path}"):
        mounts.ensure_mounted(other.device.path, made.path, "ext4")


@pytest.mark.parametrize(("first", "second"), [([], ["ro"]), (["ro"], []), (["nosuid"], []), ([], ["noatime"])])
def test_the_same_filesystem_with_other_flags_is_refused(scratch: Scratch, first: list[str], second: list[str]) -> None:
    """The message says what is there and what was wanted."""
    made = scratch.formatted("ext4")
    mounts.ensure_mounted(made.device.path, made.path, "ext4", first)
    with pytest.raises(FailedPrecondition, match="where it was to be"):
        mounts.ensure_mounted(made.device.path, made.path, "ext4", second)


def test_read_only_is_told_to_the_filesystem_too(made: Volume) -> None:
    """A read-only device could not be mounted otherwise."""
    loop.detach(made.device)
    device = loop.attach(made.image, read_only=True)
    mounts.ensure_mounted(device.path, made.path, _type(made), ["ro"])
    seen = mounts.look(made.path)
    assert seen is not None
    assert seen.read_only


@pytest.mark.parametrize("option", ["nonsense", "nonsense=1", "discard=maybe"])
def test_an_option_the_filesystem_does_not_know_is_refused_by_name(made: Volume, option: str) -> None:
    """And nothing is mounted."""
    with pytest.raises(InvalidArgument, match=option.partition("=")[0]):
        mounts.ensure_mounted(made.device.path, made.path, _type(made), [option])
    seen = mounts.look(made.path)
    assert seen is not None
    assert not seen.is_root


def test_an_option_the_filesystem_knows_reaches_it(scratch: Scratch) -> None:
    """What is no property of a mount is the filesystem's."""
    made = scratch.formatted("ext4")
    mounts.ensure_mounted(made.device.path, made.path, "ext4", ["discard,stripe=64"])
    (entry,) = [entry for entry in mounts.mountinfo() if entry.target == made.path]
    assert {"discard", "stripe=64"} <= set(entry.super_options)


def test_what_is_no_filesystem_fails_with_the_kernels_reason(scratch: Scratch) -> None:
    """A device that was never formatted."""
    device = loop.attach(scratch.image())
    with pytest.raises(HostFailed, match="EINVAL"):
        mounts.ensure_mounted(device.path, scratch.directory(), "ext4")


def test_a_crash_right_after_mounting_is_healed_by_a_repeat(scratch: Scratch, observe: Observe) -> None:
    """The mount is found."""
    made = scratch.formatted("xfs")
    observe(Killer("mount_acts.mount_device"))
    with pytest.raises(Death):
        mounts.ensure_mounted(made.device.path, made.path, "xfs")
    effect.uninstall()
    mounts.ensure_mounted(made.device.path, made.path, "xfs")
    assert len([entry for entry in mounts.mountinfo() if entry.target == made.path]) == 1


def test_unmounting_takes_stacked_mounts_and_repeats(scratch: Scratch) -> None:
    """Whatever an earlier mistake left."""
    first, second = scratch.formatted("ext4"), scratch.formatted("ext4")
    mounts.ensure_mounted(first.device.path, first.path, "ext4")
    subprocess.run(["mount", second.device.path, first.path], check=True)
    mounts.ensure_unmounted(first.path)
    seen = mounts.look(first.path)
    assert seen is not None
    assert not seen.is_root
    mounts.ensure_unmounted(first.path)


def test_unmounting_what_is_not_there_is_no_failure(scratch: Scratch) -> None:
    """Repeated unpublish."""
    mounts.ensure_unmounted(f"{scratch.root}/gone")


def test_a_busy_mount_is_in_use(scratch: Scratch) -> None:
    """Never detached lazily: data is still being written."""
    volume = scratch.mounted("ext4")
    with Path(volume.path, "f").open("wb"):
        with pytest.raises(InUse, match=volume.path):
            mounts.ensure_unmounted(volume.path)
    mounts.ensure_unmounted(volume.path)


def test_a_dead_filesystem_is_unmounted_without_being_asked(scratch: Scratch) -> None:
    """A FUSE filesystem whose process was killed answers ENOTCONN to everything."""
    target = scratch.directory()
    fuse = os.open("/dev/fuse", os.O_RDWR)
    data = f"fd={fuse},rootmode=40000,user_id=0,group_id=0"
    subprocess.run(["mount", "-i", "-t", "fuse", "-o", data, "dead", target], check=True, pass_fds=[fuse])
    os.close(fuse)
    with pytest.raises(HostFailed, match="ENOTCONN"):
        mounts.look(target)
    mounts.ensure_unmounted(target)
    seen = mounts.look(target)
    assert seen is not None
    assert not seen.is_root


def test_a_filesystem_that_shut_down_can_be_unmounted(scratch: Scratch) -> None:
    """XFS after an IO error; the loop device below is gone from under it."""
    volume = scratch.mounted("xfs")
    subprocess.run(["xfs_io", "-x", "-c", "shutdown", volume.path], check=True)
    mounts.ensure_unmounted(volume.path)
    seen = mounts.look(volume.path)
    assert seen is not None
    assert not seen.is_root


def test_the_mount_table_knows_hostile_names(scratch: Scratch) -> None:
    """Spaces, newlines and backslashes are escaped there."""
    volume = scratch.mounted("ext4")
    target = scratch.root / "a b\tc\nd\\e"
    target.mkdir()
    mounts.ensure_bound(volume.path, str(target), read_only=True)
    (entry,) = [entry for entry in mounts.mountinfo() if entry.target == str(target)]
    assert (entry.fs_type, entry.root, entry.source) == ("ext4", "/", volume.device.path)
    assert entry.dev == volume.device.rdev
    assert "ro" in entry.options
    seen = mounts.look(str(target))
    assert seen is not None
    assert entry.mount_id == seen.mount_id
    mounts.ensure_unmounted(str(target))


def _type(volume: Volume) -> str:
    return subprocess.run(
        ["blkid", "-p", "-o", "value", "-s", "TYPE", volume.image], check=True, capture_output=True, text=True
    ).stdout.strip()

"""Binds: a volume shown at another place, with flags of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from driver.host import effect, loop, mounts
from driver.model.errors import FailedPrecondition, HostFailed, InvalidArgument

from .observers import Death, Killer, Recorder
from .scratch import Scratch, vfs_options

Observe = Callable[[effect.Observer], None]


def test_a_directory_is_bound_once_however_often_it_is_asked_for(scratch: Scratch, observe: Observe) -> None:
    """With its own flags, added to those of the mount it comes from."""
    volume = scratch.mounted("ext4")
    target = scratch.directory()
    recorder = Recorder()
    observe(recorder)
    for _ in range(3):
        mounts.ensure_bound(volume.path, target, read_only=False, options=["nodev", "noexec"])
    assert recorder.names == ["mount_acts.bind"]
    assert {"rw", "nodev", "noexec"} <= vfs_options(target)
    assert "noexec" not in vfs_options(volume.path)
    Path(target, "f").write_bytes(b"x")
    assert Path(volume.path, "f").read_bytes() == b"x"


def test_a_read_only_bind_of_a_writable_volume_takes_no_writes(scratch: Scratch) -> None:
    """While the volume itself does."""
    volume = scratch.mounted("ext4")
    target = scratch.directory()
    mounts.ensure_bound(volume.path, target, read_only=True)
    with pytest.raises(OSError, match="Read-only"):
        Path(target, "f").write_bytes(b"x")
    Path(volume.path, "f").write_bytes(b"x")
    assert Path(target, "f").read_bytes() == b"x"


def test_a_read_only_bind_appears_read_only(scratch: Scratch, observe: Observe) -> None:
    """There is one act, and after it no writable mount: a crash between bind and remount would leave one."""
    volume = scratch.mounted("ext4")
    target = scratch.directory()
    observe(Killer("mount_acts.bind"))
    with pytest.raises(Death):
        mounts.ensure_bound(volume.path, target, read_only=True)
    assert "ro" in vfs_options(target)


def test_a_bind_keeps_what_its_source_is_not_allowed(scratch: Scratch) -> None:
    """nosuid of the pool's own mount holds for volumes in it."""
    made = scratch.formatted("ext4")
    mounts.ensure_mounted(made.device.path, made.path, "ext4", ["nosuid", "noatime"])
    target = scratch.directory()
    mounts.ensure_bound(made.path, target, read_only=False, options=["nodev"])
    assert {"nosuid", "noatime", "nodev"} <= vfs_options(target)
    mounts.ensure_bound(made.path, target, read_only=False, options=["nodev"])


def test_access_times_can_be_set_per_bind(scratch: Scratch) -> None:
    """They exclude each other, which the kernel wants said."""
    volume = scratch.mounted("ext4")
    target = scratch.directory()
    mounts.ensure_bound(volume.path, target, read_only=False, options=["noatime", "nodiratime"])
    assert {"noatime", "nodiratime"} <= vfs_options(target)


@pytest.mark.parametrize(("first", "second"), [(False, True), (True, False)])
def test_the_same_bind_with_other_access_is_refused(scratch: Scratch, first: bool, second: bool) -> None:
    """A caller that wants that unmounts first."""
    volume = scratch.mounted("ext4")
    target = scratch.directory()
    mounts.ensure_bound(volume.path, target, read_only=first)
    with pytest.raises(FailedPrecondition, match="where it was to be"):
        mounts.ensure_bound(volume.path, target, read_only=second)


def test_another_volume_bound_in_the_place_is_refused_by_name(scratch: Scratch) -> None:
    """Both are named."""
    first, second = scratch.mounted("ext4"), scratch.mounted("ext4")
    target = scratch.directory()
    mounts.ensure_bound(first.path, target, read_only=False)
    with pytest.raises(FailedPrecondition, match=f"{first.device.path} .*{second.path}"):
        mounts.ensure_bound(second.path, target, read_only=False)


def test_a_subdirectory_is_not_taken_for_its_filesystem(scratch: Scratch) -> None:
    """The inode tells them apart."""
    volume = scratch.mounted("ext4")
    inner = Path(volume.path, "inner")
    inner.mkdir()
    target = scratch.directory()
    mounts.ensure_bound(str(inner), target, read_only=False)
    with pytest.raises(FailedPrecondition, match="/inner"):
        mounts.ensure_bound(volume.path, target, read_only=False)


def test_a_read_only_source_cannot_be_bound_for_writing(scratch: Scratch) -> None:
    """Nothing is mounted that could not do what was asked."""
    made = scratch.formatted("ext4")
    mounts.ensure_mounted(made.device.path, made.path, "ext4", ["ro"])
    target = scratch.directory()
    with pytest.raises(FailedPrecondition, match="read-only"):
        mounts.ensure_bound(made.path, target, read_only=False)
    seen = mounts.look(target)
    assert seen is not None
    assert not seen.is_root


def test_a_device_is_bound_over_a_file(scratch: Scratch) -> None:
    """How a block volume is published."""
    device = loop.attach(scratch.image())
    target = scratch.root / "target"
    target.write_bytes(b"")
    for _ in range(2):
        mounts.ensure_bound(device.path, str(target), read_only=False)
    assert target.is_block_device()
    assert target.stat().st_rdev == device.rdev
    mounts.ensure_unmounted(str(target))
    assert target.is_file()


def test_an_option_of_filesystems_cannot_be_set_on_a_bind(scratch: Scratch) -> None:
    """It would change the volume for everybody."""
    volume = scratch.mounted("ext4")
    with pytest.raises(InvalidArgument, match="discard"):
        mounts.ensure_bound(volume.path, scratch.directory(), read_only=False, options=["discard"])


def test_a_bind_to_a_place_that_is_not_there_fails(scratch: Scratch) -> None:
    """Whoever makes targets is not us."""
    volume = scratch.mounted("ext4")
    with pytest.raises(HostFailed, match="ENOENT"):
        mounts.ensure_bound(volume.path, f"{scratch.root}/gone", read_only=False)

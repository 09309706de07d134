"""Removing trees that somebody else filled, and may be filling still."""

import fcntl
import os
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from driver.host import btrfs, effect, loop, mounts, tree
from driver.model.errors import InUse

from .observers import Death, Killer
from .scratch import Scratch

Observe = Callable[[effect.Observer], None]


def test_a_tree_goes_with_all_kinds_of_files(scratch: Scratch) -> None:
    """Files, links, sockets, pipes, devices: none is opened."""
    top = scratch.root / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "f").write_bytes(b"x")
    (top / "a" / "dangling").symlink_to("/does/not/exist")
    os.mkfifo(top / "pipe")
    os.mknod(top / "a" / "b" / "null", 0o600 | 0o020000, os.makedev(1, 3))
    tree.remove_tree(str(top))
    assert not list(scratch.root.iterdir())


def test_a_tree_that_is_gone_is_no_failure(scratch: Scratch) -> None:
    """A retried purge."""
    tree.remove_tree(f"{scratch.root}/gone")
    tree.remove_tree(f"{scratch.root}/gone/too")


def test_a_file_instead_of_a_tree_is_removed(scratch: Scratch) -> None:
    """What is named goes, whatever it is."""
    (scratch.root / "f").write_bytes(b"")
    tree.remove_tree(f"{scratch.root}/f")
    assert not list(scratch.root.iterdir())


def test_links_out_of_the_tree_are_removed_and_not_followed(scratch: Scratch) -> None:
    """Absolute ones, relative ones, and the tree itself being one."""
    outside = scratch.root / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"x")
    top = scratch.root / "top"
    top.mkdir()
    (top / "absolute").symlink_to(outside)
    (top / "relative").symlink_to("../outside")
    (scratch.root / "link").symlink_to("outside")
    tree.remove_tree(str(top))
    tree.remove_tree(str(scratch.root / "link"))
    assert [entry.name for entry in scratch.root.iterdir()] == ["outside"]
    assert (outside / "precious").exists()


def test_names_may_be_any_bytes(scratch: Scratch) -> None:
    """Not text, newlines, 255 bytes, looking like options."""
    top = os.fsencode(scratch.root / "top")
    os.mkdir(top)
    for name in (b"\xff\xfe", b"a\nb", b"-rf", b"x" * 255, b" ", b"\\", b"*", "ä".encode("latin-1")):
        os.mkdir(top + b"/" + name)
        with open(top + b"/" + name + b"/" + name, "wb"):
            pass
    tree.remove_tree(f"{scratch.root}/top")
    assert not list(scratch.root.iterdir())


def test_a_tree_may_be_deeper_than_paths_and_descriptors_reach(filesystems: dict[str, Path]) -> None:
    """Nothing keeps a user from nesting 1200 directories, with files at the bottom."""
    top = filesystems["xfs"] / "tree-deep"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("deeper", dir_fd=here)
        inner = os.open("deeper", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    tree.remove_tree(str(top))
    assert not top.exists()


def test_a_directory_may_be_large(filesystems: dict[str, Path]) -> None:
    """Entries are removed while they are listed."""
    top = filesystems["xfs"] / "tree-large"
    top.mkdir()
    for number in range(1500):
        (top / f"file-{number}").touch()
    tree.remove_tree(str(top))
    assert not top.exists()


@pytest.mark.parametrize("flag", [0x10, 0x20], ids=["immutable", "append-only"])
@pytest.mark.parametrize("place", ["top/f", "top"], ids=["file", "directory"])
def test_flags_that_forbid_removal_are_taken_off(scratch: Scratch, flag: int, place: str) -> None:
    """chattr +i and +a are in the power of a privileged pod, and would stop a purge for ever."""
    top = scratch.root / "top"
    top.mkdir()
    (top / "f").write_bytes(b"")
    fd = os.open(scratch.root / place, os.O_RDONLY)
    fcntl.ioctl(fd, 0x40086602, struct.pack("l", flag))
    os.close(fd)
    tree.remove_tree(str(top))
    assert not list(scratch.root.iterdir())


def test_a_filesystem_mounted_inside_is_not_touched(scratch: Scratch) -> None:
    """It is refused, naming the place, as that may be another volume."""
    top = scratch.root / "top"
    (top / "a" / "mount").mkdir(parents=True)
    volume = scratch.formatted("ext4")
    mounts.ensure_mounted(volume.device.path, str(top / "a" / "mount"), "ext4")
    (top / "a" / "mount" / "precious").write_bytes(b"x")
    with pytest.raises(InUse, match="top/a/mount"):
        tree.remove_tree(str(top))
    assert (top / "a" / "mount" / "precious").exists()


def test_a_bind_mount_of_the_same_filesystem_is_not_entered(scratch: Scratch) -> None:
    """Same device number, so only the mount tells them apart."""
    outside = scratch.root / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"x")
    top = scratch.root / "top"
    (top / "mount").mkdir(parents=True)
    mounts.ensure_bound(str(outside), str(top / "mount"), read_only=False)
    with pytest.raises(InUse):
        tree.remove_tree(str(top))
    assert (outside / "precious").exists()


def test_a_file_that_is_a_mount_point_is_in_use(scratch: Scratch) -> None:
    """A block volume's target is one."""
    top = scratch.root / "top"
    top.mkdir()
    (top / "device").write_bytes(b"")
    device = loop.attach(scratch.image())
    mounts.ensure_bound(device.path, str(top / "device"), read_only=False)
    with pytest.raises(InUse, match="top/device"):
        tree.remove_tree(str(top))


def test_a_mounted_tree_itself_is_in_use(scratch: Scratch) -> None:
    """Its content belongs to the mount."""
    volume = scratch.mounted("ext4")
    Path(volume.path, "precious").write_bytes(b"x")
    with pytest.raises(InUse):
        tree.remove_tree(volume.path)
    assert Path(volume.path, "precious").exists()


def test_nested_btrfs_subvolumes_go_too(scratch: Scratch, filesystems: dict[str, Path]) -> None:
    """They look like directories, and users may make them."""
    top = filesystems["btrfs"] / "tree-top"
    top.mkdir()
    btrfs.create_subvolume(str(top), "sub")
    (top / "sub" / "d").mkdir()
    (top / "sub" / "d" / "f").write_bytes(b"x")
    tree.remove_tree(str(top))
    assert not top.exists()


def test_directories_swapped_for_links_meanwhile_lead_nowhere(scratch: Scratch) -> None:
    """A pod that still runs renames as fast as it can; what is outside stays."""
    outside = scratch.root / "outside"
    outside.mkdir()
    for number in range(50):
        (outside / f"precious-{number}").write_bytes(b"x")
    stop = threading.Event()
    top = scratch.root / "top"

    def swap() -> None:
        while not stop.is_set():
            try:
                os.rename(top / "d", top / "e")
                os.symlink(outside, top / "d")
                os.unlink(top / "d")
                os.rename(top / "e", top / "d")
            except OSError:
                continue

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(30):
            (top / "d").mkdir(parents=True, exist_ok=True)
            for number in range(20):
                try:
                    (top / "d" / f"f-{number}").touch()
                except OSError:
                    continue
            try:
                tree.remove_tree(str(top))
            except InUse:
                continue
    finally:
        stop.set()
        swapper.join()
    assert len(list(outside.glob("precious-*"))) == 50


def test_a_crash_in_the_middle_is_finished_by_the_next_call(scratch: Scratch, observe: Observe) -> None:
    """A purge resumes."""
    top = scratch.root / "top"
    for name in ("a", "b"):
        (top / name).mkdir(parents=True)
        (top / name / "f").write_bytes(b"")
    observe(Killer("tree.unlink_at"))
    with pytest.raises(Death):
        tree.remove_tree(str(top))
    effect.uninstall()
    assert top.exists()
    tree.remove_tree(str(top))
    assert not top.exists()


def test_removal_leaves_no_descriptor_open(scratch: Scratch) -> None:
    """Also when it fails."""
    top = scratch.root / "top"
    (top / "a" / "mount").mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(top / "a" / "mount")], check=True)
    with pytest.raises(InUse):
        tree.remove_tree(str(top))
    subprocess.run(["umount", str(top / "a" / "mount")], check=True)
    tree.remove_tree(str(top))
    assert len(os.listdir("/proc/self/fd")) == before

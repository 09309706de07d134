"""Volumes in use, through the commands: grown, mounted, measured, snapshotted, restored, cut together."""

import os
import stat

import pytest

from tests.daemon import Daemon

from .command import Holdall, daemon
from .command import holdall_at_daemon as holdall

__all__ = ["daemon", "holdall"]

MIB = 1 << 20


def test_an_unmounted_volume_grows_and_its_filesystem_when_it_is_mounted(holdall: Holdall, daemon: Daemon) -> None:
    """Without a mount there is no filesystem to grow; the next mount does it."""
    target = daemon.directory / "grown"
    holdall.well("volume", "create", "grown", "--size", "64MiB")
    holdall.well("mount", "grown", target)
    holdall.well("umount", "grown")
    assert "its filesystem grows when it is mounted next" in holdall.well("volume", "expand", "grown", "128MiB")
    holdall.well("mount", "grown", target)
    room = os.statvfs(target)
    assert room.f_blocks * room.f_frsize > 100 * MIB
    holdall.well("umount", target)
    holdall.well("volume", "delete", "grown")


def test_a_mounted_volume_grows_with_its_filesystem(holdall: Holdall, daemon: Daemon) -> None:
    """``expand`` does both halves."""
    target = daemon.directory / "online"
    holdall.well("volume", "create", "online", "--size", "300MiB", "--fs-type", "xfs")
    holdall.well("mount", "online", target)
    before = os.statvfs(target).f_blocks
    assert holdall.well("volume", "expand", "online", "400MiB") == "Volume online has 400 MiB.\n"
    assert os.statvfs(target).f_blocks > before
    holdall.well("umount", target)
    holdall.well("volume", "delete", "online")


def test_a_volume_is_mounted_written_measured_and_unmounted(holdall: Holdall, daemon: Daemon) -> None:
    """At several targets, one of them read-only; the targets go with the mounts, the data stays."""
    first, second = daemon.directory / "first", daemon.directory / "second"
    holdall.well("volume", "create", "used", "--size", "32MiB")
    assert holdall.well("mount", "used", first) == f"Volume used is at {first}.\n"
    assert holdall.well("mount", "used", second, "--read-only") == f"Volume used is at {second} (read-only).\n"
    (first / "file").write_bytes(b"x" * MIB)
    assert (second / "file").stat().st_size == MIB
    with pytest.raises(OSError, match="Read-only"):
        (second / "other").touch()
    (row,) = holdall.json("stats", "used")
    assert row["used_bytes"] >= MIB
    assert row["health"] == []
    assert "used" in holdall.well("stats")
    shown = holdall.json("volume", "show", "used")
    assert shown["targets"] == [str(first), str(second)]
    assert shown["node_ids"] == ["node-a"]
    assert "staged at" in holdall.refused("volume", "delete", "used")
    holdall.well("umount", second)
    assert not second.exists()
    holdall.well("umount", "used")
    assert not first.exists()
    assert list((daemon.state / "mounted").iterdir()) == []
    holdall.well("mount", "used", first)
    assert (first / "file").stat().st_size == MIB
    holdall.well("umount", first)
    holdall.well("volume", "delete", "used")


def test_a_block_volume_is_mounted_as_a_device(holdall: Holdall, daemon: Daemon) -> None:
    """Of exactly its size; as a filesystem it is refused, and then nothing stays staged."""
    target = daemon.directory / "device"
    holdall.well("volume", "create", "raw", "--size", "8MiB", "--block")
    assert "is a block volume" in holdall.refused("mount", "raw", target)
    holdall.well("mount", "raw", target, "--block")
    assert stat.S_ISBLK(target.stat().st_mode)
    with target.open("rb") as device:
        assert device.seek(0, os.SEEK_END) == 8 * MIB
    assert holdall.json("stats", "raw")[0]["total_bytes"] == 8 * MIB
    holdall.well("umount", target)
    holdall.well("volume", "delete", "raw")


def test_what_somebody_else_mounted_is_unmounted_by_its_target_only(holdall: Holdall, daemon: Daemon) -> None:
    """A pod must not lose its volume because somebody abbreviated a name."""
    target = daemon.directory / "pod"
    holdall.well("volume", "create", "of-a-pod", "--size", "4MiB")
    elsewhere = ("--state-dir", daemon.directory / "kubelet")
    holdall.well("mount", "of-a-pod", target, *elsewhere)
    assert "was mounted by somebody else" in holdall.refused("umount", "of-a-pod")
    assert os.path.ismount(target)
    holdall.well("umount", target, *elsewhere)
    holdall.well("volume", "delete", "of-a-pod")


def test_what_is_not_mounted_cannot_be_unmounted_or_measured(holdall: Holdall, daemon: Daemon) -> None:
    """The sentence says which is meant."""
    assert "no volume is mounted at" in holdall.refused("umount", daemon.directory / "nothing")
    holdall.well("volume", "create", "idle", "--size", "4MiB")
    assert holdall.refused("stats", "idle") == "volume idle is not mounted here; mount it first"
    holdall.well("volume", "delete", "idle")


# -- snapshots -----------------------------------------------------------------------------------------------------------


def test_a_snapshot_brings_back_what_was_deleted(holdall: Holdall, daemon: Daemon) -> None:
    """Cut while the volume is mounted; a volume is made from it, and one from that volume."""
    target = daemon.directory / "original"
    holdall.well("volume", "create", "original", "--size", "32MiB")
    holdall.well("mount", "original", target)
    (target / "kept").write_text("precious")
    cut = holdall.json("snapshot", "create", "original", "before")
    assert cut["ready"] is True
    assert set(cut) == {
        "id", "name", "source_id", "source", "size_bytes", "created_at", "ready", "group_id", "group",
    }  # fmt: skip
    (target / "kept").unlink()
    assert [row["id"] for row in holdall.json("snapshot", "list", "--volume", "original")] == [cut["id"]]
    assert "original" in holdall.well("snapshot", "show", "before")
    holdall.well("volume", "create", "back", "--from", "before")
    assert "made from:    snapshot before" in holdall.well("volume", "show", "back")
    holdall.well("mount", "back", daemon.directory / "back")
    assert (daemon.directory / "back" / "kept").read_text() == "precious"
    assert holdall.json("volume", "create", "again", "--from", "back")["source"] == "volume back"
    assert holdall.refused("volume", "create", "none", "--from", "nothing") == (
        "there is neither a snapshot nor a volume 'nothing'"
    )
    for name in ("original", "back"):
        holdall.well("umount", name)
    holdall.well("snapshot", "delete", "before")
    holdall.well("volume", "delete", "original", "back", "again")


def test_a_group_is_cut_shown_and_deleted_together(holdall: Holdall) -> None:
    """Its members are listed as snapshots, and cannot be deleted alone."""
    for name in ("left", "right"):
        holdall.well("volume", "create", name, "--size", "4MiB", "--block")
    made = holdall.json("group", "create", "pair", "left", "right")
    assert sorted(one["source"] for one in made["snapshots"]) == ["left", "right"]
    assert [row["id"] for row in holdall.json("group", "list")] == [made["id"]]
    assert "(of left)" in holdall.well("group", "show", "pair")
    assert "group" in holdall.refused("snapshot", "delete", made["snapshots"][0]["id"])
    assert holdall.well("group", "delete", "pair") == "Group snapshot pair is deleted.\n"
    assert holdall.json("snapshot", "list") == []
    holdall.well("volume", "delete", "left", "right")

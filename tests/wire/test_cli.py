"""The commands, each against a real ``holdall all`` with its default pool: tables, JSON, and errors as one sentence."""

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from driver.cli.demo.sweep import sweep
from driver.model import ids
from tests.daemon import Daemon

from .command import Holdall, program

MIB = 1 << 20


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """One driver for all tests of this file; each uses names of its own."""
    directory = Path(tempfile.mkdtemp(prefix="hold-", dir="/tmp"))
    try:
        with Daemon(directory) as daemon:
            yield daemon
            daemon.stop()
    finally:
        left = sweep(directory, 40.0)
    assert left == []


@pytest.fixture
def holdall(daemon: Daemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Holdall:
    monkeypatch.setenv("CSI_ENDPOINT", daemon.endpoint)
    monkeypatch.setenv("HOLDALL_STATE_DIR", str(daemon.state))
    return Holdall(capsys)


@pytest.fixture
def pool_id(holdall: Holdall) -> str:
    found: str = holdall.json("pool", "show", "default")["id"]
    return found


# -- pools ---------------------------------------------------------------------------------------------------------------


def test_pools_are_listed_with_their_room(holdall: Holdall) -> None:
    """A table for people, the same with stable keys for programs."""
    said = holdall("pool", "list")
    assert said.code == 0
    assert said.lines[0][:3] == ["NAME", "BACKEND", "STATE"]
    assert said.lines[1][:3] == ["default", "image", "ready"]
    (pool,) = holdall.json("pool", "list")
    assert set(pool) == {
        "id", "name", "backend", "path", "node_id", "device_class", "state", "reason", "total_bytes",
        "available_bytes", "reserved_bytes", "maximum_volume_size_bytes", "minimum_volume_size_bytes", "abilities",
        "topology", "schedulable", "volumes", "snapshots",
    }  # fmt: skip
    assert 0 < pool["available_bytes"] <= pool["total_bytes"]


def test_a_pool_is_shown_by_name_or_by_the_beginning_of_its_id(holdall: Holdall, pool_id: str) -> None:
    """And says what it can do."""
    assert "snapshots" in holdall.well("pool", "show", "default")
    assert holdall.json("pool", "show", pool_id[:6])["name"] == "default"
    assert holdall.refused("pool", "show", "gold") == "there is no pool 'gold'; there are: default"


# -- volumes -------------------------------------------------------------------------------------------------------------


def test_a_volume_is_made_listed_shown_and_deleted(holdall: Holdall, pool_id: str) -> None:
    """The sizes people write are the sizes they get; making it again gives the same one."""
    made = holdall.json("volume", "create", "first", "--size", "10MiB")
    assert made["id"] == ids.derive(pool_id, ids.VOLUME, "first")
    assert made["size_bytes"] == 10 * MIB
    assert set(made) == {"id", "name", "size_bytes", "pool", "backend", "source_id", "source", "node_ids", "topology"}
    assert made["id"] in holdall.well("volume", "create", "first", "--size", "10MiB")
    assert ["first", "10", "MiB", "default", made["id"]] in holdall("volume", "list", "--pool", "default").lines
    assert "health:       good" in holdall.well("volume", "show", "first")
    assert holdall.json("volume", "show", "first")["health"] == []
    assert holdall.well("volume", "delete", "first") == "Volume first is deleted.\n"
    assert holdall.refused("volume", "show", "first") == "there is no volume 'first'"


def test_the_same_name_with_another_size_is_refused_in_one_sentence(holdall: Holdall) -> None:
    """What the driver says is what people read."""
    holdall.well("volume", "create", "taken", "--size", "10MiB")
    assert holdall.refused("volume", "create", "taken", "--size", "20MiB").startswith("volume taken exists: it has")
    holdall.well("volume", "delete", "taken")


def test_a_volume_that_fits_nowhere_says_what_there_is(holdall: Holdall) -> None:
    """With the pool's name and its room."""
    assert "pool default has" in holdall.refused("volume", "create", "vast", "--size", "900TiB")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("volume", "create", "x", "--size", "10GX"), "'10GX' is not a size"),
        (("volume", "create", "x", "--parameter", "wide"), "'wide' is not KEY=VALUE"),
        (("volume", "shrink", "x"), "No such command 'shrink'"),
        (("mount", "x"), "Missing argument 'TARGET'"),
        (("completion", "csh"), "'csh' is not one of 'bash', 'zsh', 'fish'"),
    ],
)
def test_wrong_use_is_exit_code_2_with_the_usage(holdall: Holdall, arguments: tuple[str, ...], words: str) -> None:
    """And nothing was asked of the driver."""
    said = holdall(*arguments)
    assert said.code == 2
    assert words in said.err
    assert said.err.startswith("Usage: holdall")


def test_names_may_be_abbreviated_as_long_as_they_are_clear(holdall: Holdall) -> None:
    """An unclear one is refused with the candidates, and nothing is deleted."""
    for name in ("short-one", "short-two"):
        holdall.well("volume", "create", name, "--size", "4MiB", "--block")
    assert holdall.refused("volume", "delete", "short").startswith("'short' means 2 volumes: ")
    assert holdall.well("volume", "delete", "short-o", "short-tw").count("is deleted.") == 2


def test_settings_are_changed_all_or_none(holdall: Holdall) -> None:
    """``modify`` takes what a VolumeAttributesClass takes, and an unknown key changes nothing."""
    holdall.well("volume", "create", "set", "--size", "4MiB", "--set", "wipe=discard")
    assert holdall.well("volume", "modify", "set", "wipe=none") == "Volume set has wipe=none.\n"
    assert "colour" in holdall.refused("volume", "modify", "set", "wipe=discard", "colour=red")
    holdall.well("volume", "delete", "set")


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


# -- mounts --------------------------------------------------------------------------------------------------------------


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


# -- the rest ------------------------------------------------------------------------------------------------------------


def test_tasks_are_listed_and_followed_to_their_end(holdall: Holdall) -> None:
    """A delete's purge is one; following one that has ended says how."""
    holdall.well("volume", "create", "purged", "--size", "4MiB")
    holdall.well("volume", "delete", "purged")
    purges = [task for task in holdall.json("task", "list", "--all") if task["kind"] == "purge"]
    assert purges
    assert "is done" in holdall.well("task", "watch", purges[0]["id"])
    assert holdall.refused("task", "watch", "nothing") == "there is no task 'nothing'"


def test_the_doctor_has_nothing_to_say_of_a_healthy_driver(holdall: Holdall) -> None:
    """No finding, exit code 0."""
    said = holdall("doctor")
    assert (said.code, said.out) == (0, "")


def test_the_doctor_explains_an_orphan_and_mends_it_when_told_to(
    holdall: Holdall, daemon: Daemon, pool_id: str
) -> None:
    """Exit code 1 while something is wrong; an empty file of ours without a record is certainly ours."""
    (volumes,) = daemon.state.glob("p*/**/volumes")
    orphan = volumes / f"{ids.derive(pool_id, ids.VOLUME, 'orphan')}.img"
    with orphan.open("wb") as file:
        file.truncate(MIB)
    said = holdall("doctor")
    assert said.code == 1
    assert "[DataWithoutRecord]" in said.out
    assert orphan.exists()
    assert "mended:" in holdall.well("doctor", "--repair")
    assert not orphan.exists()
    assert holdall("doctor").code == 0


def test_versions_of_both_sides_are_shown(holdall: Holdall) -> None:
    """The program's own, and that of the driver which answers."""
    found = holdall.json("version")
    assert found["version"] == found["driver_version"] != ""
    assert (found["driver_name"], found["node_id"]) == ("holdall.csi.dev", "node-a")


def test_a_driver_that_is_not_there_is_one_sentence(holdall: Holdall, tmp_path: Path) -> None:
    """With the socket's path; the version of the program is shown without it."""
    nowhere = f"unix://{tmp_path}/no.sock"
    assert f"Holdall at {tmp_path}/no.sock: cannot connect" in holdall.refused("volume", "list", "--endpoint", nowhere)
    assert "holdall:" in holdall.well("version", "--endpoint", nowhere)
    assert "is not of the form unix:///PATH.sock" in holdall.refused("pool", "list", "--endpoint", "tcp://a:1")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_their_completion(holdall: Holdall, shell: str) -> None:
    """By click's own mechanism."""
    assert "_HOLDALL_COMPLETE" in holdall.well("completion", shell)


def test_names_of_volumes_are_completed(holdall: Holdall, daemon: Daemon) -> None:
    """The shell is told what the driver has."""
    holdall.well("volume", "create", "complete-me", "--size", "4MiB")
    asked = {"_HOLDALL_COMPLETE": "bash_complete", "COMP_WORDS": "holdall volume show com", "COMP_CWORD": "3"}
    said = program(environment=os.environ | asked | {"CSI_ENDPOINT": daemon.endpoint})
    assert said.out.split() == ["plain,complete-me"]
    holdall.well("volume", "delete", "complete-me")

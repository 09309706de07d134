"""The commands, each against a real ``holdall all`` with its default pool: tables, JSON, and errors as one sentence."""

import os
from pathlib import Path

import pytest

from driver.model import ids
from tests.daemon import Daemon

from .command import Holdall, daemon, program
from .command import holdall_at_daemon as holdall

__all__ = ["daemon", "holdall"]

MIB = 1 << 20


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
    assert "is not of the form unix:///PATH.sock" in holdall.refused("pool", "list", "--endpoint", "a:1")
    assert "nothing goes over TCP in plain" in holdall.refused("pool", "list", "--endpoint", "tcp://a:1")


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

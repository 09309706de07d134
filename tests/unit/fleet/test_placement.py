"""Where a name went is noted durably, and never lost by a restart."""

import os
import sqlite3
from pathlib import Path

import pytest

from driver.fleet.placement import Placement
from driver.model import errors


async def test_a_note_is_there_after_a_restart(tmp_path: Path) -> None:
    """Design: the controller records a Placement before the first call, and every retry follows it."""
    first = Placement(tmp_path)
    await first.open()
    await first.put("v-a", "node-a")
    await first.close()

    second = Placement(tmp_path)
    await second.open()
    assert await second.of("v-a") == "node-a"
    await second.drop("v-a")
    assert await second.of("v-a") is None
    await second.close()


async def test_a_note_is_synced_before_it_is_relied_on(tmp_path: Path) -> None:
    """SQLite's own setting: in WAL mode only synchronous=FULL syncs each commit."""
    placement = Placement(tmp_path)
    await placement.open()
    levels = await placement._store.run(lambda db: db.execute("PRAGMA synchronous").fetchone())
    mode = await placement._store.run(lambda db: db.execute("PRAGMA journal_mode").fetchone())
    await placement.close()
    assert (levels[0], mode[0]) == (2, "wal")


async def test_what_is_learned_does_not_replace_a_note(tmp_path: Path) -> None:
    """A list read a moment ago may be older than a create noted since."""
    placement = Placement(tmp_path)
    await placement.open()
    await placement.put("v-a", "node-b")
    await placement.learn("node-a", ["v-a", "v-b"])
    assert [await placement.of("v-a"), await placement.of("v-b")] == ["node-b", "node-a"]
    await placement.close()


async def test_new_notes_lack_the_names_of_nodes_never_heard(tmp_path: Path) -> None:
    """A controller that lost its state directory must not make a second volume of a name that a silent node has."""
    placement = Placement(tmp_path)
    await placement.open()
    assert await placement.unheard(["a", "b"]) == ["a", "b"]
    await placement.heard("a")
    assert await placement.unheard(["a", "b"]) == ["b"]
    await placement.close()

    await placement_reopened(tmp_path, ["b"])


async def placement_reopened(path: Path, missing: list[str]) -> None:
    placement = Placement(path)
    await placement.open()
    assert await placement.unheard(["a", "b"]) == missing
    await placement.heard("b")
    assert await placement.unheard(["a", "b"]) == []
    # From here on everything is noted before it is made: a node added later brings no name that was placed here.
    assert await placement.unheard(["a", "b", "c"]) == []
    await placement.close()


async def test_damaged_notes_are_not_begun_anew_in_silence(tmp_path: Path) -> None:
    """The refusal names the file and what to do."""
    (tmp_path / "placement.db").write_bytes(b"not a database at all" * 100)
    placement = Placement(tmp_path)
    with pytest.raises(errors.DataDamaged, match=r"placement\.db cannot be opened.*move it away"):
        await placement.open()
    await placement.close()


async def test_notes_of_a_newer_holdall_are_refused(tmp_path: Path) -> None:
    """Nothing is changed in what this version does not understand."""
    with sqlite3.connect(tmp_path / "placement.db") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    before = (tmp_path / "placement.db").read_bytes()

    placement = Placement(tmp_path)
    with pytest.raises(errors.NewerSchema, match="schema 99, this one knows 1"):
        await placement.open()
    await placement.close()
    assert (tmp_path / "placement.db").read_bytes() == before
    assert os.listdir(tmp_path) == ["placement.db"]

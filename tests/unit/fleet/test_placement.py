"""Where a name went is noted durably, and never lost by a restart: the contract, over what is here without a cluster."""

import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from driver.fleet.placement import Placement
from driver.fleet.placement_file import PlacementFile
from driver.model import errors
from tests.placements import Notes, PlacementContract, Reopen, SharedPlacement


class TestFile(PlacementContract):
    @pytest.fixture
    async def placement(self, tmp_path: Path) -> AsyncIterator[PlacementFile]:
        found = PlacementFile(tmp_path)
        await found.open()
        yield found
        await found.close()

    @pytest.fixture
    async def reopen(self, tmp_path: Path) -> AsyncIterator[Reopen]:
        opened: list[PlacementFile] = []

        async def again() -> Placement:
            opened.append(PlacementFile(tmp_path))
            await opened[-1].open()
            return opened[-1]

        yield again
        for one in opened:
            await one.close()

    async def test_nobody_tries_any_more_after_a_restart(self, placement: PlacementFile, reopen: Reopen) -> None:
        """The file is one process's at a time: its predecessor's tries are over."""
        note = await placement.claim("v-a", "node-a", "x.1")
        there = await (await reopen()).now("v-a")
        assert there is not None
        assert (there.node, there.version, there.tries) == (note.node, note.version, ())


class TestMemory(PlacementContract):
    """What the tests of two controllers stand on."""

    @pytest.fixture
    def notes(self) -> Notes:
        return Notes()

    @pytest.fixture
    def placement(self, notes: Notes) -> SharedPlacement:
        return SharedPlacement(notes)

    @pytest.fixture
    def reopen(self, notes: Notes) -> Reopen:
        async def again() -> Placement:
            return SharedPlacement(notes)

        return again


async def test_a_note_is_synced_before_it_is_relied_on(tmp_path: Path) -> None:
    """SQLite's own setting: in WAL mode only synchronous=FULL syncs each commit."""
    placement = PlacementFile(tmp_path)
    await placement.open()
    levels = await placement._store.run(lambda db: db.execute("PRAGMA synchronous").fetchone())
    mode = await placement._store.run(lambda db: db.execute("PRAGMA journal_mode").fetchone())
    await placement.close()
    assert (levels[0], mode[0]) == (2, "wal")


async def test_notes_from_before_versions_are_read(tmp_path: Path) -> None:
    """A file of an earlier Holdall has its notes, and they can be joined and dropped."""
    with sqlite3.connect(tmp_path / "placement.db") as db:
        db.execute("CREATE TABLE placement (key TEXT PRIMARY KEY, node TEXT NOT NULL) WITHOUT ROWID")
        db.execute("INSERT INTO placement VALUES ('v-old', 'node-a')")
        db.execute("PRAGMA user_version=1")
    db.close()
    placement = PlacementFile(tmp_path)
    await placement.open()
    note = await placement.now("v-old")
    assert note is not None
    joined = await placement.join("v-old", note, ("x.1",))
    assert joined is not None
    assert not await placement.drop("v-old", note)
    assert await placement.drop("v-old", joined)
    await placement.close()


async def test_damaged_notes_are_not_begun_anew_in_silence(tmp_path: Path) -> None:
    """The refusal names the file and what to do."""
    (tmp_path / "placement.db").write_bytes(b"not a database at all" * 100)
    placement = PlacementFile(tmp_path)
    with pytest.raises(errors.DataDamaged, match=r"placement\.db cannot be opened.*move it away"):
        await placement.open()
    await placement.close()


async def test_notes_of_a_newer_holdall_are_refused(tmp_path: Path) -> None:
    """Nothing is changed in what this version does not understand."""
    with sqlite3.connect(tmp_path / "placement.db") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    before = (tmp_path / "placement.db").read_bytes()

    placement = PlacementFile(tmp_path)
    with pytest.raises(errors.NewerSchema, match="schema 99, this one knows 1"):
        await placement.open()
    await placement.close()
    assert (tmp_path / "placement.db").read_bytes() == before
    assert os.listdir(tmp_path) == ["placement.db"]

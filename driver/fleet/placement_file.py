"""The notes of a controller without a cluster: one SQLite file, which one process at a time has open."""

import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from .placement import Note
from .store import Store

_SCHEMA = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS placement (key TEXT PRIMARY KEY, node TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changed (key TEXT PRIMARY KEY, version TEXT NOT NULL, tries TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS learned (node TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS settled (yes INTEGER PRIMARY KEY);
"""
_READ = """
SELECT node, coalesce(version, ''), coalesce(tries, '') FROM placement LEFT JOIN changed USING (key) WHERE key=?
"""


class PlacementFile:
    """Implements fleet.placement.Placement in ``placement.db`` of the state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._store = Store(state_dir / "placement.db", tables=_TABLES, schema=_SCHEMA, sync="durable")
        self._settled = False
        self._learned: set[str] = set()

    async def open(self) -> None:
        """Ready; raises as Store.open does."""
        await self._store.open()

        def read(db: sqlite3.Connection) -> tuple[bool, set[str]]:
            # Who tried before us had the file before us, and is no more.
            db.execute("UPDATE changed SET tries='' WHERE tries<>''")
            settled = db.execute("SELECT 1 FROM settled").fetchone() is not None
            return settled, {row[0] for row in db.execute("SELECT node FROM learned")}

        self._settled, self._learned = await self._store.run(read)

    async def close(self) -> None:
        await self._store.close()

    async def of(self, key: str) -> Note | None:
        """As ``now``: nobody else writes here."""
        return await self.now(key)

    async def now(self, key: str) -> Note | None:
        return await self._store.run(lambda db: _read(db, key))

    async def claim(self, key: str, node: str, attempt: str) -> Note:
        def write(db: sqlite3.Connection) -> Note:
            if there := _read(db, key):
                return there
            db.execute("INSERT INTO placement VALUES (?, ?)", (key, node))
            return _change(db, key, Note(node, "", (attempt,)))

        return await self._store.run(write)

    async def join(self, key: str, note: Note, tries: Sequence[str]) -> Note | None:
        def write(db: sqlite3.Connection) -> Note | None:
            if not _is_at(db, key, note):
                return None
            return _change(db, key, Note(note.node, "", tuple(tries)))

        return await self._store.run(write)

    async def drop(self, key: str, note: Note) -> bool:
        def write(db: sqlite3.Connection) -> bool:
            if _read(db, key) is None:
                return True
            if not _is_at(db, key, note):
                return False
            db.execute("DELETE FROM placement WHERE key=?", (key,))
            db.execute("DELETE FROM changed WHERE key=?", (key,))
            return True

        return await self._store.run(write)

    async def learn(self, node: str, keys: Iterable[str]) -> None:
        rows = [(key, node) for key in keys]
        if rows:
            await self._store.run(
                lambda db: db.executemany("INSERT OR IGNORE INTO placement VALUES (?, ?)", rows) and None
            )

    async def heard(self, node: str) -> None:
        if node not in self._learned:
            await self._store.do("REPLACE INTO learned VALUES (?)", node)
            self._learned.add(node)

    async def unheard(self, nodes: Iterable[str]) -> list[str]:
        if self._settled:
            return []
        missing = sorted(set(nodes) - self._learned)
        if not missing:
            await self._store.do("REPLACE INTO settled VALUES (1)")
            self._settled = True
        return missing


def _read(db: sqlite3.Connection, key: str) -> Note | None:
    row = db.execute(_READ, (key,)).fetchone()
    return Note(str(row[0]), str(row[1]), tuple(str(row[2]).split())) if row else None


def _is_at(db: sqlite3.Connection, key: str, note: Note) -> bool:
    there = _read(db, key)
    return there is not None and (there.node, there.version) == (note.node, note.version)


def _change(db: sqlite3.Connection, key: str, note: Note) -> Note:
    """``note``, written, at a version that no note had before."""
    version = secrets.token_hex(6)
    db.execute("REPLACE INTO changed VALUES (?, ?, ?)", (key, version, " ".join(note.tries)))
    return Note(note.node, version, note.tries)

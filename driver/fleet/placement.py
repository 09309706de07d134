"""Which node a name went to: noted durably before the first try, so that every retry goes there.

Keyed by an id's part after the pool, which is derived from the name alone (driver/model/ids.py): a retried create finds
it by name, a delete by id, and a lost file is made anew from the ids that the nodes list.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from .store import Store

_SCHEMA = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS placement (key TEXT PRIMARY KEY, node TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS learned (node TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS settled (yes INTEGER PRIMARY KEY);
"""


class Placement:
    """The notes of one controller, in ``placement.db`` of its state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._store = Store(state_dir / "placement.db", tables=_TABLES, schema=_SCHEMA, sync="durable")
        self._settled = False
        self._learned: set[str] = set()

    async def open(self) -> None:
        """Ready; raises as Store.open does."""
        await self._store.open()

        def read(db: sqlite3.Connection) -> tuple[bool, set[str]]:
            settled = db.execute("SELECT 1 FROM settled").fetchone() is not None
            return settled, {row[0] for row in db.execute("SELECT node FROM learned")}

        self._settled, self._learned = await self._store.run(read)

    async def close(self) -> None:
        await self._store.close()

    async def of(self, key: str) -> str | None:
        """The node's name, or None."""
        row = await self._store.run(lambda db: db.execute("SELECT node FROM placement WHERE key=?", (key,)).fetchone())
        return str(row[0]) if row else None

    async def put(self, key: str, node: str) -> None:
        """Durable when it returns; replaces an earlier note."""
        await self._store.do("REPLACE INTO placement VALUES (?, ?)", key, node)

    async def drop(self, key: str) -> None:
        await self._store.do("DELETE FROM placement WHERE key=?", key)

    async def learn(self, node: str, keys: Iterable[str]) -> None:
        """``node`` has objects of these keys. A note that is there already stays: it may be newer."""
        rows = [(key, node) for key in keys]
        if rows:
            await self._store.run(
                lambda db: db.executemany("INSERT OR IGNORE INTO placement VALUES (?, ?)", rows) and None
            )

    async def heard(self, node: str) -> None:
        """Every name that ``node`` has is noted."""
        if node not in self._learned:
            await self._store.do("REPLACE INTO learned VALUES (?)", node)
            self._learned.add(node)

    async def unheard(self, nodes: Iterable[str]) -> list[str]:
        """Those of ``nodes`` whose names these notes may lack: only as long as the notes are new and not complete.

        Once every node was heard, nothing can be missing again: what is made from then on is noted first.
        """
        if self._settled:
            return []
        missing = sorted(set(nodes) - self._learned)
        if not missing:
            await self._store.do("REPLACE INTO settled VALUES (1)")
            self._settled = True
        return missing

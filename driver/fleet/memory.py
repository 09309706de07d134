"""What each node had when it was last heard: it speaks for a node that is lost, so that no list gets silently shorter.

Not synced: whatever is missing after a power cut is heard again. Deleting the file costs nothing but that.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from ..model import errors, ids
from .nodes import Description, Listed, Listing
from .store import Store

_SCHEMA = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS entry (
  listing TEXT, id TEXT, node TEXT, key TEXT, body BLOB, PRIMARY KEY (listing, node, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entry_by_key ON entry (key);
CREATE INDEX IF NOT EXISTS entry_by_id ON entry (id);
CREATE TABLE IF NOT EXISTS heard (listing TEXT, node TEXT, PRIMARY KEY (listing, node)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS node (name TEXT PRIMARY KEY, description BLOB) WITHOUT ROWID;
"""


class Memory:
    """The fleet's memory, in ``memory.db`` of the controller's state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "memory.db"
        self._store = self._make()

    def _make(self) -> Store:
        return Store(self._path, tables=_TABLES, schema=_SCHEMA, sync="lazy")

    async def open(self) -> None:
        """Ready. A file that cannot be read is begun anew."""
        try:
            await self._store.open()
        except (errors.DataDamaged, errors.NewerSchema):
            await self._store.close()
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{self._path}{suffix}").unlink()
            self._store = self._make()
            await self._store.open()

    async def close(self) -> None:
        await self._store.close()

    # -- nodes -------------------------------------------------------------------------------------------------------

    async def descriptions(self) -> dict[str, Description]:
        """By the node's name."""
        rows = await self._store.run(lambda db: db.execute("SELECT name, description FROM node").fetchall())
        found = {}
        for name, body in rows:
            with contextlib.suppress(msgspec.MsgspecError):
                found[str(name)] = msgspec.json.decode(body, type=Description)
        return found

    async def describe(self, name: str, description: Description) -> None:
        body = msgspec.json.encode(description)
        await self._store.do("REPLACE INTO node VALUES (?, ?)", name, body)

    async def give_up(self, name: str) -> None:
        """Neither the node nor anything it had is known any more."""

        def write(db: sqlite3.Connection) -> None:
            for statement in ("node WHERE name=?", "entry WHERE node=?", "heard WHERE node=?"):
                db.execute(f"DELETE FROM {statement}", (name,))

        await self._store.run(write)

    # -- entries -----------------------------------------------------------------------------------------------------

    async def learn(self, listing: Listing, node: str, after: str, entries: Sequence[Listed], *, at_end: bool) -> None:
        """``entries`` are all that ``node`` has above ``after``, up to the last of them or, ``at_end``, at all."""
        rows = [_row(listing, node, one) for one in entries]
        last = "" if at_end else entries[-1].id

        def write(db: sqlite3.Connection) -> None:
            db.execute(
                "DELETE FROM entry WHERE listing=? AND node=? AND id>? AND (?='' OR id<=?)",
                (listing, node, after, last, last),
            )
            db.executemany("REPLACE INTO entry VALUES (?, ?, ?, ?, ?)", rows)
            if at_end:
                db.execute("REPLACE INTO heard VALUES (?, ?)", (listing, node))

        await self._store.run(write)

    async def put(self, listing: Listing, node: str, entry: Listed) -> None:
        """``node`` has this now, in place of what it had under that id."""
        await self._store.do("REPLACE INTO entry VALUES (?, ?, ?, ?, ?)", *_row(listing, node, entry))

    async def add(self, listing: Listing, node: str, entry: Listed) -> None:
        """``node`` has this now; what is known of it already is kept."""
        await self._store.do("INSERT OR IGNORE INTO entry VALUES (?, ?, ?, ?, ?)", *_row(listing, node, entry))

    async def keep(self, listing: Listing, node: str, entries: Sequence[Listed]) -> None:
        """``node`` has these now; what is known of them already is kept, and so is what else it has."""
        if not entries:
            return
        rows = [_row(listing, node, one) for one in entries]
        await self._store.run(lambda db: db.executemany("INSERT OR IGNORE INTO entry VALUES (?, ?, ?, ?, ?)", rows))

    async def change(self, listing: Listing, object_id: str, change: Callable[[bytes], bytes]) -> None:
        """The entry of that id, if there is one, becomes what ``change`` makes of it."""

        def write(db: sqlite3.Connection) -> None:
            where = "listing=? AND id=?"
            for node, body in db.execute(
                f"SELECT node, body FROM entry WHERE {where}", (listing, object_id)
            ).fetchall():
                db.execute(
                    f"UPDATE entry SET body=? WHERE {where} AND node=?", (change(body), listing, object_id, node)
                )

        await self._store.run(write)

    async def forget(self, object_id: str) -> None:
        """Nobody has it any more."""
        await self._store.do("DELETE FROM entry WHERE id=?", object_id)

    async def keys_in(self, pool_id: str) -> set[str]:
        """The keys (see placement.py) of all that was last seen in a pool."""
        query = "SELECT DISTINCT key FROM entry WHERE id>? AND id<? AND key<>''"
        rows = await self._store.run(lambda db: db.execute(query, _span(pool_id)).fetchall())
        return {str(row[0]) for row in rows}

    async def forget_pool(self, pool_id: str) -> None:
        """Nothing that lay in it is known any more."""
        await self._store.do("DELETE FROM entry WHERE id>? AND id<?", *_span(pool_id))

    async def pools_of(self, key: str) -> set[str]:
        """The pools in which an object of that key (see placement.py) was last seen."""
        rows = await self._store.run(lambda db: db.execute("SELECT id FROM entry WHERE key=?", (key,)).fetchall())
        return {parts[0] for row in rows if (parts := ids.split(row[0]))}

    async def page(self, listing: Listing, node: str, after: str, limit: int) -> list[Listed]:
        """What ``node`` had, in order of id. Unavailable when it was never heard: a list made of that would have holes."""

        def read(db: sqlite3.Connection) -> list[tuple[str, bytes]] | None:
            if db.execute("SELECT 1 FROM heard WHERE listing=? AND node=?", (listing, node)).fetchone() is None:
                return None
            found = db.execute(
                "SELECT id, body FROM entry WHERE listing=? AND node=? AND id>? ORDER BY id LIMIT ?",
                (listing, node, after, limit or -1),
            )
            return found.fetchall()

        found = await self._store.run(read)
        if found is None:
            raise errors.Unavailable(f"node {node} does not answer, and its {listing} are not known from before")
        return [Listed(object_id, body) for object_id, body in found]


def _span(pool_id: str) -> tuple[str, str]:
    """Ids of a pool begin with its own and a dot, and a slash comes right after the dot."""
    return f"{pool_id}.", f"{pool_id}/"


def _row(listing: Listing, node: str, entry: Listed) -> tuple[str, str, str, str, bytes]:
    parts = ids.split(entry.id)
    # Health entries carry volume ids as well; only one row per object shall be found by its key.
    key = parts[1] if parts and listing != "health" else ""
    return listing, entry.id, node, key, entry.entry

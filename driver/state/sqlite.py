"""The ledger of a pool on a local filesystem: one SQLite database in the pool itself."""

import contextlib
import os
import sqlite3
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from ..host import files, nocow
from ..model.errors import DomainError, HostFailed, NoSpace
from ..model.records import Record, RecordKind
from . import rows, schema, table
from .ballast import Ballast
from .cache import CAPACITY, RecordCache
from .ledger import Change, Drop, Totals
from .readers import Readers
from .rows import Key, Row, Tally
from .sqlite_file import LedgerFile, commit_durably
from .writer import Commit, Writer, counted, failed

T = TypeVar("T")

_GET = "SELECT body FROM records INDEXED BY catalog WHERE kind = ? AND id = ?"
_IDS = "SELECT id FROM records INDEXED BY catalog WHERE kind = ? ORDER BY id"


class SqliteLedger:
    """``<home>/ledger.db``. ``defaults`` are settings a new ledger is born with. See Ledger for what its methods do."""

    def __init__(
        self,
        home: str,
        defaults: Mapping[str, str] | None = None,
        *,
        migrations: Sequence[schema.Migration] = schema.MIGRATIONS,
        cached: int = CAPACITY,
    ) -> None:
        self._home = home
        self._defaults = dict(defaults or {})
        self._migrations = migrations
        self._file = LedgerFile(home)
        self._ballast = Ballast(home)
        self._cache = RecordCache(cached)
        self._readers = Readers(self._file.path, self._file.reader)
        self._writer = Writer(self._file.path, self._apply, self._ballast.restore)
        self._connection: sqlite3.Connection | None = None
        self._tally = Tally()
        self._totals = Totals(0, 0, 0)
        self._meta: dict[str, str] = {}

    def exists(self) -> bool:
        """Whether a ledger was born here. Raises HostFailed when that cannot be told."""
        return self._file.exists()

    def open(self) -> None:
        """See Ledger. Nothing happens when it is open."""
        if self._connection is not None:
            return
        if files.make_dir(self._home):
            files.fsync_dir(os.path.dirname(os.path.abspath(self._home)))
        known = len(self._migrations) + 1
        self._ballast.open()
        if self._file.exists():
            self._file.refuse_newer(known)
        else:
            nocow.ensure_overwritten_in_place(self._home)
            self._ballast.squeezed(lambda: self._file.create(known, self._defaults))
        connection = self._ballast.squeezed(self._file.writer)
        try:
            if not self._file.check_version(connection, known):
                self._file.leave(connection)
                self._ballast.squeezed(lambda: self._file.migrate(self._migrations))
                connection = self._ballast.squeezed(self._file.writer)
            self._ballast.restore()
            with self._file.errors("reading"):
                self._load(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._readers.open()
        self._writer.start()

    def close(self) -> None:
        self._writer.stop()
        self._readers.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            # If it fails, the log stays what it is: durable, and replayed by the next open.
            with contextlib.suppress(NoSpace, HostFailed):
                self._ballast.squeezed(lambda: self._file.carry_over(connection))
            self._file.leave(connection)

    def commit(self, changes: Sequence[Change]) -> "Future[None]":
        try:
            return self._writer.submit(Commit(changes))
        except DomainError as error:
            return failed(error)

    def get(self, kind: RecordKind, record_id: str) -> Record | None:
        record = self._cache.get(kind, record_id)
        if record is not None:
            return record
        version = self._cache.version
        found = self._read(_GET, (kind, record_id))
        if not found:
            return None
        record = self._decoded(kind, found[0][0])
        self._cache.fill(kind, record_id, record, version)
        return record

    def page(
        self,
        kind: RecordKind,
        *,
        after: str = "",
        limit: int = 0,
        parent: str | None = None,
        tag: str | None = None,
        listed_only: bool = False,
    ) -> list[Record]:
        where, values = table.matching(kind, parent, tag)
        if listed_only:
            where += " AND listed = 1"
        query = f"SELECT body FROM records {where} AND id > ? ORDER BY id LIMIT ?"
        return [self._decoded(kind, body) for (body,) in self._read(query, (*values, after, limit or -1))]

    def ids(self, kind: RecordKind) -> list[str]:
        return [record_id for (record_id,) in self._read(_IDS, (kind,))]

    def count(self, kind: RecordKind, *, parent: str | None = None, tag: str | None = None) -> int:
        if parent is None and tag is None:
            return self._tally.counts[kind]
        where, values = table.matching(kind, parent, tag)
        return int(self._read(f"SELECT count(*) FROM records {where}", values)[0][0])

    def totals(self) -> Totals:
        return self._totals

    def meta(self, key: str) -> str | None:
        return self._meta.get(key)

    def set_meta(self, key: str, value: str) -> None:
        self._writer.submit(Commit(settings={key: value})).result()

    def _load(self, connection: sqlite3.Connection) -> None:
        self._meta = dict(connection.execute("SELECT key, value FROM meta"))
        self._tally = table.tally(connection)
        self._totals = self._tally.totals()

    def _apply(self, batch: Sequence[Commit]) -> None:
        """In the writer's thread: ``batch`` is durable and visible, or this raises and nothing has changed."""
        try:
            tally = self._transact(batch)
        except (NoSpace, HostFailed) as error:
            if len(batch) > 1 or batch[0].grows or not self._ballast.may_help(error):
                raise
            tally = self._ballast.squeezed(lambda: self._transact_anew(batch))
        self._cache.apply(row for commit in batch for row in commit.rows)
        for commit in batch:
            self._meta.update(commit.settings)
        self._tally.add(tally)
        self._totals = self._tally.totals()

    def _transact_anew(self, batch: Sequence[Commit]) -> Tally:
        """With the whole log to write into."""
        assert self._connection is not None
        with contextlib.suppress(NoSpace, HostFailed):
            self._file.carry_over(self._connection)
        return self._transact(batch)

    def _transact(self, batch: Sequence[Commit]) -> Tally:
        assert self._connection is not None
        connection = self._connection
        with self._file.errors("writing to"):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            try:
                tally = self._write(connection, batch)
                commit_durably(connection)
            except Exception:
                if connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                raise
        return tally

    def _write(self, connection: sqlite3.Connection, batch: Sequence[Commit]) -> Tally:
        last: dict[Key, Row | Drop] = {(row.kind, row.id): row for commit in batch for row in commit.rows}
        found = table.find(connection, list(last))
        tally = counted(batch, lambda key: found[key][1] if key in found else None)
        if any(commit.grows for commit in batch):
            self._ballast.check_growth()
        table.replace(connection, found, [row for row in last.values() if isinstance(row, Row)])
        for commit in batch:
            connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", commit.settings.items())
        return tally

    def _read(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._readers.lend() as connection, self._file.errors("reading"):
            return connection.execute(query, values).fetchall()

    def _decoded(self, kind: RecordKind, body: bytes) -> Record:
        return rows.decode(kind, body, f"a row of {self._file.path}")

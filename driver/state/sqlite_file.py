"""The file of a SQLite ledger: how it is born, opened and left, and what its errors mean.

- SQLite removes its log when the last connection closes. We keep the log's blocks, under another name, and fill the log
  with zeros up to ``LOG_ROOM`` beforehand: so commits never need space that the pool may not have any more, and a sync
  need not wait for the filesystem's own journal. A log whose head is zero is an empty one
  (sqlite.org/fileformat2.html#walformat).
- The VFS is unix-excl (sqlite.org/vfs.html): the log's index is in memory. As a mapped file it kills the process with
  SIGBUS once a btrfs is full (measured), an ext4 with blocks below 4 KiB is, or a disk fails. The price: no other
  process can read the ledger meanwhile.
"""

import contextlib
import errno
import os
import sqlite3
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence

from ..host import files
from ..host.effect import effect
from ..model import sizes
from ..model.errors import DataDamaged, DomainError, HostFailed, NewerSchema, NoSpace
from . import schema

LOG_ROOM = 2 * sizes.MIB
LOG_HEAD = 32
CHECKPOINT = 256
"""Pages in the log until it is carried over into the database: half of ``LOG_ROOM``."""
PATIENCE = 10.0
"""Seconds to wait for a lock that somebody's sqlite3 shell holds."""

WRITER = (
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = OFF",
    "PRAGMA journal_size_limit = -1",
    f"PRAGMA wal_autocheckpoint = {CHECKPOINT}",
    "PRAGMA cache_size = -4096",
)
READER = ("PRAGMA query_only = ON", "PRAGMA cache_size = -1024")

_PRIMARY = 0xFF
_MEANINGS = {
    sqlite3.SQLITE_PERM: errno.EPERM,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_LOCKED: errno.EBUSY,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_CANTOPEN: errno.ENOENT,
}
_DAMAGE = (0, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""0 is an error of schema.py's own; SQLITE_ERROR, a table or index that should be there."""


@effect
def commit_durably(connection: sqlite3.Connection) -> None:
    """End the transaction: SQLite has synced it when this returns (its log, where journal_mode is WAL)."""
    connection.execute("COMMIT")


class LedgerFile:
    """``<home>/ledger.db`` and the files beside it."""

    def __init__(self, home: str) -> None:
        self.path = f"{home}/ledger.db"
        self.log = f"{self.path}-wal"
        self._home = home
        self._spare = f"{self.path}-spare"
        self._newborn = f"{self.path}.new"

    def exists(self) -> bool:
        """Whether a ledger was born here. Raises HostFailed when that cannot be told."""
        return files.exists(self.path)

    def create(self, version: int, settings: Mapping[str, str]) -> None:
        """An empty ledger, whole and durable under its name, or (after a crash) none. Raises NoSpace, HostFailed."""
        for suffix in ("", "-journal", "-wal"):
            files.remove_file(self._newborn + suffix)
        with self.errors("creating"), contextlib.closing(_connect(self._newborn, "rwc")) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            schema.create(connection, version, settings)
            self._set_journal(connection, "wal")
        files.rename_durably(self._newborn, self.path)

    def refuse_newer(self, known: int) -> None:
        """NewerSchema when the schema is beyond ``known``, DataDamaged when the file cannot be read. Changes nothing.

        What a crash left half-written is not judged: ``writer`` heals it, and the number is to be looked at then.
        """
        try:
            # The number is always in the database itself (see ``migrate``), so the log need not be looked at.
            with self.errors("reading"), contextlib.closing(_open(f"{_uri(self.path)}?immutable=1")) as connection:
                self.check_version(connection, known)
        except DataDamaged:
            if not files.exists(self.log) and not files.exists(f"{self.path}-journal"):
                raise

    def check_version(self, connection: sqlite3.Connection, known: int) -> bool:
        """Whether the schema is ``known``, not an older one. NewerSchema when it is beyond."""
        with self.errors("reading"):
            found = schema.version_of(connection)
        if found > known:
            raise NewerSchema(
                f"{self.path} was written by a newer Holdall (schema {found}; this one knows up to {known}): "
                "use that version or a later one"
            )
        return found == known

    def migrate(self, ladder: Sequence[schema.Migration]) -> None:
        """Of today's schema, in one step that happens or does not. No other connection may be open.

        Not through the log: an older Holdall must see the number without replaying it.
        """
        with self.errors("migrating"), contextlib.closing(_connect(self.path, "rw")) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            self._set_journal(connection, "delete")
            connection.execute("BEGIN IMMEDIATE")
            schema.climb(connection, schema.version_of(connection), ladder)
            commit_durably(connection)
            self._set_journal(connection, "wal")

    def writer(self) -> sqlite3.Connection:
        """The connection that writes; its log has room. Raises NoSpace, HostFailed, DataDamaged."""
        self._prepare_log()
        with self.errors("opening"):
            connection = _connect(self.path, "rw")
            try:
                self._set_journal(connection, "wal")
                for setting in WRITER:
                    connection.execute(setting)
            except BaseException:
                connection.close()
                raise
            return connection

    def reader(self) -> sqlite3.Connection:
        """A connection that only reads. Raises HostFailed, NoSpace, DataDamaged."""
        with self.errors("opening"):
            connection = _connect(self.path, "rw")
            for setting in READER:
                connection.execute(setting)
            return connection

    def carry_over(self, writer: sqlite3.Connection) -> None:
        """What is in the log is in the database too, and the log starts anew. Raises NoSpace, HostFailed."""
        with self.errors("carrying over the log of"):
            writer.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def leave(self, writer: sqlite3.Connection) -> None:
        """Close the last connection; the log's blocks stay ours."""
        with contextlib.suppress(OSError, HostFailed):
            files.remove_file(self._spare)
            os.link(self.log, self._spare)
        with self.errors("closing"):
            writer.close()

    @contextlib.contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """What SQLite raises inside becomes NoSpace, DataDamaged or HostFailed, naming the file."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._meaning(doing, error) from error

    def _meaning(self, doing: str, error: sqlite3.Error) -> DomainError:
        code: int = getattr(error, "sqlite_errorcode", 0)
        message = f"{doing} {self.path}: {error}"
        if code & _PRIMARY == sqlite3.SQLITE_FULL:
            return NoSpace(message)
        if code & _PRIMARY in _DAMAGE and not isinstance(error, sqlite3.ProgrammingError):
            return DataDamaged(message)
        return HostFailed(message, _MEANINGS.get(code & _PRIMARY, 0))

    def _set_journal(self, connection: sqlite3.Connection, mode: str) -> None:
        (found,) = connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()
        if found != mode:
            raise HostFailed(f"the journal of {self.path} stays in mode {found}; wanted {mode}", errno.EBUSY)

    def _prepare_log(self) -> None:
        """The log exists with ``LOG_ROOM`` bytes that have blocks, as far as there is room."""
        if files.exists(self.log):
            # We died: the log counts. The spare, if any, is only a second name of it.
            files.remove_file(self._spare)
        else:
            if files.exists(self._spare):
                # Left by ``leave``: all it holds is in the database. Its head must go before it can be a log again.
                files.overwrite(self._spare, bytes(LOG_HEAD))
                files.truncate(self._spare, min(LOG_ROOM, os.stat(self._spare).st_size))
                files.rename(self._spare, self.log)
            else:
                files.create_sparse(self.log, 0)
            # SQLite syncs the name of a log only if it made it itself.
            files.fsync_dir(self._home)
        size = os.stat(self.log).st_size
        if size < LOG_ROOM:
            with contextlib.suppress(NoSpace):
                files.overwrite(self.log, bytes(LOG_ROOM - size), size)


def _connect(path: str, mode: str) -> sqlite3.Connection:
    return _open(f"{_uri(path)}?mode={mode}&vfs=unix-excl")


def _open(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)


def _uri(path: str) -> str:
    return f"file:{urllib.parse.quote(os.path.abspath(path))}"

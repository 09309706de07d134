"""The ledger of a pool on a network or FUSE filesystem, where neither locks nor mapped files can be relied on."""

import contextlib
import functools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

import msgspec

from ..host import files
from ..host.failure import during
from ..model.errors import DataDamaged, DomainError, HostFailed, NewerSchema, NoSpace
from ..model.records import Record, RecordKind
from . import rows
from .ballast import Ballast
from .journal import Entry, Journal
from .ledger import Change, Drop, Totals
from .record_files import Migration, RecordFiles
from .rows import Key, Row, Tally
from .shelf import Shelf
from .writer import Commit, Writer, counted, failed

MIGRATIONS: Sequence[Migration] = ()
"""``migrate_1_to_2``, ``migrate_2_to_3`` …, in order: the schema's number is one more than their count."""
PENDING = 150
"""Changes the journal carries along, when their files cannot be written, before ballast is spent on it."""


class RecordLedger:
    """``<home>/records``: a JSON file per record, all of them in memory too. See Ledger for what its methods do.

    | step | a crash after it leaves |
    |---|---|
    | what promises more: its files are written beside their names, synced: they have room | removed by the next open |
    | the batch is in the journal, synced: it has happened, its futures are done | old files; the next open does the rest |
    | each file dropped, or written beside, synced and renamed; directories synced | the same as done |

    What could not be put into its files (a full store) goes into the journal again with the next batch. Reads never
    touch the filesystem, so they go on while it hangs. ``defaults`` are settings a new ledger is born with.
    """

    def __init__(
        self, home: str, defaults: Mapping[str, str] | None = None, *, migrations: Sequence[Migration] = MIGRATIONS
    ) -> None:
        self._home = home
        self._root = f"{home}/records"
        self._defaults = dict(defaults or {})
        self._files = RecordFiles(self._root, migrations)
        self._journal = Journal(f"{self._root}/journal")
        self._ballast = Ballast(home)
        self._writer = Writer(self._root, self._apply, self._afterwards)
        self._shelf = Shelf()
        self._tally = Tally()
        self._totals = Totals(0, 0, 0)
        self._meta: dict[str, str] = {}
        self._pending: dict[Key, Entry] = {}
        self._pending_meta: dict[str, str] = {}
        """What has happened, but may not be in the files yet."""
        self._is_open = False

    @property
    def _meta_path(self) -> str:
        return f"{self._root}/meta.json"

    def exists(self) -> bool:
        """Whether a ledger was born here. Raises HostFailed when that cannot be told."""
        return files.exists(self._meta_path)

    def open(self) -> None:
        """See Ledger. Nothing happens when it is open."""
        if self._is_open:
            return
        if not self.exists():
            self._create()
        self._meta = self._read_meta()
        if int(self._meta["schema"]) > self._files.version:
            raise NewerSchema(
                f"{self._meta_path} was written by a newer Holdall (schema {self._meta['schema']}; this one knows up to "
                f"{self._files.version}): use that version or a later one"
            )
        self._ballast.open()
        self._load()
        if int(self._meta["schema"]) < self._files.version:
            self._meta["schema"] = str(self._files.version)
            self._ballast.squeezed(self._write_meta)
        self._ballast.restore()
        self._is_open = True
        self._writer.start()

    def close(self) -> None:
        self._writer.stop()
        was_open, self._is_open = self._is_open, False
        if was_open and not self._writer.died:
            # If it fails, the next open does it: the journal has all of it.
            with contextlib.suppress(NoSpace, HostFailed):
                self._settle()
                self._journal.clear()

    def commit(self, changes: Sequence[Change]) -> "Future[None]":
        try:
            return self._writer.submit(Commit(changes))
        except DomainError as error:
            return failed(error)

    def get(self, kind: RecordKind, record_id: str) -> Record | None:
        body = self._shelf.body(kind, record_id)
        return self._decoded(kind, body) if body else None

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
        found = self._shelf.page(kind, after, limit, parent, tag, listed_only)
        return [self._decoded(kind, body) for body in found]

    def ids(self, kind: RecordKind) -> list[str]:
        return self._shelf.ids(kind)

    def count(self, kind: RecordKind, *, parent: str | None = None, tag: str | None = None) -> int:
        if parent is None and tag is None:
            return self._tally.counts[kind]
        return self._shelf.count(kind, parent, tag)

    def totals(self) -> Totals:
        return self._totals

    def meta(self, key: str) -> str | None:
        return self._meta.get(key)

    def set_meta(self, key: str, value: str) -> None:
        self._writer.submit(Commit(settings={key: value})).result()

    def _create(self) -> None:
        """Its settings come last: with them, it was born."""
        if files.make_dir(self._home):
            files.fsync_dir(os.path.dirname(os.path.abspath(self._home)))
        files.make_dir(self._root)
        self._files.create()
        self._journal.create()
        files.fsync_dir(self._home)
        self._meta = {**self._defaults, "schema": str(self._files.version)}
        self._write_meta()

    def _read_meta(self) -> dict[str, str]:
        try:
            with during(f"reading {self._meta_path}"), open(self._meta_path, "rb") as file:
                meta = msgspec.json.decode(file.read(), type=dict[str, str])
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise DataDamaged(f"{self._meta_path} does not hold a pool's settings: {error}") from error
        if not meta.get("schema", "").isdigit():
            raise DataDamaged(f"{self._meta_path} has no schema number")
        return meta

    def _write_meta(self) -> None:
        files.write_durably(self._meta_path, msgspec.json.encode(self._meta))

    def _load(self) -> None:
        journal = self._journal.read()
        self._pending = {(one.kind, one.id): one for one in journal.entries}
        self._pending_meta = journal.settings
        self._meta.update(self._pending_meta)
        with contextlib.suppress(NoSpace):
            self._settle()
        self._shelf.load(self._files.load())
        self._shelf.apply(self._happened(one) for one in self._pending.values())
        self._tally = self._shelf.tally()
        self._totals = self._tally.totals()

    def _happened(self, entry: Entry) -> Row | Drop:
        if entry.dropped:
            return Drop(entry.kind, entry.id)
        return self._files.row(entry.kind, entry.schema, bytes(entry.body), f"the journal of {self._root}")

    def _apply(self, batch: Sequence[Commit]) -> None:
        """In the writer's thread: ``batch`` is durable and visible, or this raises and nothing has changed."""
        tally = counted(batch, self._shelf.reserved)
        changes = [row for commit in batch for row in commit.rows]
        happening = {(row.kind, row.id): self._entry(row) for row in changes}
        settings = {key: value for commit in batch for key, value in commit.settings.items()}
        growing = any(commit.grows for commit in batch)
        if growing:
            self._ballast.check_growth()
            self._settle()
            self._files.prepare(happening.values())
        pending, pending_meta = {**self._pending, **happening}, {**self._pending_meta, **settings}
        try:
            write = functools.partial(self._journal.write, list(pending.values()), pending_meta)
            write() if growing else self._ballast.squeezed(write)
        except (NoSpace, HostFailed):
            if growing:
                self._files.forget()
            raise
        self._pending, self._pending_meta = pending, pending_meta
        self._shelf.apply(changes)
        self._meta = {**self._meta, **settings}
        self._tally.add(tally)
        self._totals = self._tally.totals()

    def _afterwards(self) -> None:
        # If it fails, the journal has it still, and the next time is another try.
        with contextlib.suppress(NoSpace, HostFailed, OSError):
            if len(self._pending) < PENDING:
                self._settle()
            else:
                self._ballast.squeezed(self._settle)
        self._ballast.restore()

    def _settle(self) -> None:
        """What has happened is in the files. Raises NoSpace, HostFailed."""
        self._files.settle(self._pending)
        if self._pending_meta:
            self._write_meta()
            self._pending_meta = {}

    def _entry(self, row: Row | Drop) -> Entry:
        if isinstance(row, Row):
            return Entry(row.kind, row.id, self._files.version, msgspec.Raw(row.body))
        return Entry(row.kind, row.id, self._files.version)

    def _decoded(self, kind: RecordKind, body: bytes) -> Record:
        return rows.decode(kind, body, f"a record of {self._root}")

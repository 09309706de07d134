"""One file per record: ``<root>/<kind>/<0-f>/<id>.json``, whole or not there at all."""

import contextlib
import hashlib
import os
import queue
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from ..host import files
from ..host.failure import during
from ..model.errors import DataDamaged, HostFailed, NoSpace
from ..model.records import KINDS, RecordKind, index_of
from . import rows
from .journal import Entry
from .rows import Key, Row

Migration = Callable[[RecordKind, dict[str, Any]], dict[str, Any]]
"""What a record of one schema is in the next."""

SHELVES = "0123456789abcdef"
ENDING = ".json"
BESIDE = ".new"
LOADERS = 8
"""Files read at once at the start: on a network filesystem each takes a round trip."""
# Lower case only, for servers that do not tell case apart; never a leading dot (NFS keeps removed files as .nfs…).
_SAFE = re.compile(r"[a-z0-9][a-z0-9.@_-]{0,159}")


class Envelope(msgspec.Struct, frozen=True):
    """What a file holds: the record, and the schema it was written in. Older ones are migrated as they are read."""

    schema: int
    record: msgspec.Raw


class RecordFiles:
    """The files below ``root``, of schema one more than the ``ladder`` has steps."""

    def __init__(self, root: str, ladder: Sequence[Migration]) -> None:
        self._root = root
        self._ladder = ladder
        self._prepared: dict[Key, Entry] = {}
        self.version = len(ladder) + 1

    def create(self) -> None:
        """All directories there will ever be, so that a full store need not find room for one."""
        for kind in KINDS.values():
            files.make_dir(f"{self._root}/{kind}")
            for shelf in SHELVES:
                files.make_dir(f"{self._root}/{kind}/{shelf}")
            files.fsync_dir(f"{self._root}/{kind}")
        files.fsync_dir(self._root)

    def path(self, kind: RecordKind, record_id: str) -> str:
        """Where the record lies. Ids that are no safe names lie under their hash."""
        digest = hashlib.sha256(record_id.encode("utf-8", "surrogatepass")).hexdigest()
        name = record_id if _SAFE.fullmatch(record_id) else f"~{digest}"
        return f"{self._root}/{kind}/{digest[0]}/{name}{ENDING}"

    def prepare(self, entries: Iterable[Entry]) -> None:
        """Each file is written beside its name and synced, so that ``settle`` needs no more room for it.

        Raises NoSpace, HostFailed: then nothing is left of them.
        """
        try:
            for entry in entries:
                if not entry.dropped:
                    self._prepared[entry.kind, entry.id] = entry
                    self._write_beside(entry)
        except (NoSpace, HostFailed):
            self.forget()
            raise

    def forget(self) -> None:
        """What was prepared will not happen."""
        for key in self._prepared:
            # What cannot be removed is removed by the next open, if nothing replaces it before.
            with contextlib.suppress(HostFailed):
                files.remove_file(self.path(*key) + BESIDE)
        self._prepared.clear()

    def settle(self, pending: dict[Key, Entry]) -> None:
        """The files are as ``pending`` says, durably, and it is empty. Raises NoSpace, HostFailed: then it holds the rest.

        What is dropped goes first: its room may be all there is.
        """
        done: list[Entry] = []
        failure: Exception | None = None
        try:
            for entry in sorted(pending.values(), key=lambda one: not one.dropped):
                self._write(entry)
                done.append(entry)
        except (NoSpace, HostFailed) as error:
            failure = error
        for directory in sorted({os.path.dirname(self.path(one.kind, one.id)) for one in done}):
            files.fsync_dir(directory)
        for one in done:
            del pending[one.kind, one.id]
        if failure:
            raise failure

    def _write(self, entry: Entry) -> None:
        path = self.path(entry.kind, entry.id)
        prepared = self._prepared.pop((entry.kind, entry.id), None)
        if entry.dropped:
            if prepared:
                files.remove_file(path + BESIDE)
            files.remove_file(path)
            return
        if prepared is not entry:
            self._write_beside(entry)
        files.rename(path + BESIDE, path)

    def _write_beside(self, entry: Entry) -> None:
        data = msgspec.json.encode(Envelope(entry.schema, entry.body))
        files.write_file(self.path(entry.kind, entry.id) + BESIDE, data)

    def row(self, kind: RecordKind, schema: int, body: bytes, where: str) -> Row:
        """A stored record as it is today. DataDamaged naming ``where`` when there is none."""
        try:
            for step in self._ladder[schema - 1 :]:
                body = msgspec.json.encode(step(kind, msgspec.json.decode(body)))
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise DataDamaged(f"{where} does not hold a record: {error}") from error
        record = rows.decode(kind, body, where)
        return Row(kind, record.id, index_of(record), record, body)

    def load(self) -> list[Row]:
        """Every record. What a crash left unfinished is removed. DataDamaged names a file that holds no record."""
        work: queue.SimpleQueue[tuple[RecordKind, str]] = queue.SimpleQueue()
        for kind in KINDS.values():
            for shelf in SHELVES:
                work.put((kind, f"{self._root}/{kind}/{shelf}"))
        found: list[Row] = []
        errors: list[BaseException] = []

        def read() -> None:
            try:
                while not errors:
                    found.extend(self._read_directory(*work.get_nowait()))
            except queue.Empty:
                return
            except BaseException as error:
                errors.append(error)

        # Daemons, so that a filesystem that hangs cannot keep the process from ending.
        loaders = [threading.Thread(target=read, name=f"load {self._root}", daemon=True) for _ in range(LOADERS)]
        for loader in loaders:
            loader.start()
        for loader in loaders:
            loader.join()
        if errors:
            raise errors[0]
        return found

    def _read_directory(self, kind: RecordKind, directory: str) -> Iterator[Row]:
        with during(f"listing {directory}"):
            names = os.listdir(directory)
        for name in names:
            path = f"{directory}/{name}"
            if name.endswith(ENDING + BESIDE):
                files.remove_file(path)
            elif name.endswith(ENDING) and not name.startswith("."):
                yield self._read(kind, path)

    def _read(self, kind: RecordKind, path: str) -> Row:
        with during(f"reading {path}"), open(path, "rb") as file:
            data = file.read()
        try:
            envelope = msgspec.json.decode(data, type=Envelope)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise DataDamaged(f"{path} does not hold a record: {error}") from error
        row = self.row(kind, envelope.schema, bytes(envelope.record), path)
        if self.path(kind, row.id) != path:
            raise DataDamaged(f"{path} holds the record of {row.id!r}")
        return row

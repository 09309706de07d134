"""What must survive a restart, in one interface; one implementation per kind of store."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

import msgspec

from ..model.records import Record, RecordKind


class Put(msgspec.Struct, frozen=True):
    """Write ``record`` in place of whatever its id held."""

    record: Record


class Drop(msgspec.Struct, frozen=True):
    """Forget the record; no error when there is none."""

    kind: RecordKind
    id: str


Change = Put | Drop


class Totals(msgspec.Struct, frozen=True):
    """Sums over all records, kept as they change: O(1)."""

    reserved: int
    volumes: int
    snapshots: int


class Ledger(Protocol):
    """The records of one pool. Every method but ``commit`` blocks on the store: call it in the pool's own threads."""

    def open(self) -> None:
        """Ready to serve. Replays what a crash left half-written, migrates older schemas.

        Raises NewerSchema (changing nothing) when the store was written by a newer Holdall, DataDamaged when a record
        cannot be read, NoSpace or HostFailed when the store cannot be opened.
        """

    def close(self) -> None:
        """Every commit accepted so far is durable; the store is released. Safe to call twice."""

    def commit(self, changes: Sequence[Change]) -> "Future[None]":
        """All of ``changes`` or none, durable once the future is done. Returns at once, from any thread.

        Commits are applied in the order of the calls; calls waiting together share one sync. The future fails with
        NoSpace or HostFailed, and then none of ``changes`` was applied. Deletions succeed on a full store (ballast).
        """

    def get(self, kind: RecordKind, record_id: str) -> Record | None:
        """The record as of the last finished commit. O(1)."""

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
        """Records in order of id, from the first id above ``after``; ``limit`` 0 means all. O(answer)."""

    def ids(self, kind: RecordKind) -> list[str]:
        """Every id of that kind, in order, without reading the records: cheap at 100 000 (read once, at start)."""

    def count(self, kind: RecordKind, *, parent: str | None = None, tag: str | None = None) -> int:
        """How many records match. O(answer) at most, through an index."""

    def totals(self) -> Totals:
        """Sums as of the last finished commit. O(1), never blocks."""

    def meta(self, key: str) -> str | None:
        """A setting of the pool itself: ``pool_id``, ``name``, ``backend``, ``schema`` ..."""

    def set_meta(self, key: str, value: str) -> None:
        """Durable when it returns."""

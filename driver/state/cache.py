"""Records decoded already, so that a hot one costs a dictionary look-up."""

import threading
from collections import OrderedDict
from collections.abc import Iterable

from ..model.records import Record, RecordKind
from .ledger import Drop
from .rows import Key, Row

CAPACITY = 4096


class RecordCache:
    """The records used last, at most ``capacity``; never one that a finished commit has replaced.

    A reader that misses takes ``version`` before it reads the store and gives it to ``fill``: if a commit finished
    meanwhile, what it read may be old and is not kept.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._records: OrderedDict[Key, Record] = OrderedDict()
        self._lock = threading.Lock()
        self.version = 0

    def get(self, kind: RecordKind, record_id: str) -> Record | None:
        key = (kind, record_id)
        with self._lock:
            record = self._records.get(key)
            if record is not None:
                self._records.move_to_end(key)
            return record

    def fill(self, kind: RecordKind, record_id: str, record: Record, version: int) -> None:
        """Keep what a reader found, unless a commit finished since it took ``version``."""
        with self._lock:
            if version == self.version:
                self._records[kind, record_id] = record
                self._shrink()

    def apply(self, rows: Iterable[Row | Drop]) -> None:
        """A commit has finished: its records are what a reader gets from now on."""
        with self._lock:
            self.version += 1
            for row in rows:
                key = (row.kind, row.id)
                if isinstance(row, Row):
                    self._records[key] = row.record
                    self._records.move_to_end(key)
                else:
                    self._records.pop(key, None)
            self._shrink()

    def _shrink(self) -> None:
        while len(self._records) > self._capacity:
            self._records.popitem(last=False)

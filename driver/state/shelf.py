"""All records of one ledger in memory, as the JSON they are stored in, with the orders they are asked for in."""

import threading
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable

from ..model.records import Index, RecordKind
from .ledger import Drop
from .rows import Key, Row, Tally

Order = tuple[str, RecordKind, str]
"""``("", kind, "")``, ``("parent", kind, parent)`` or ``("tag", kind, tag)``: one list of ids, sorted."""


class Shelf:
    """Every look sees all of a commit or nothing of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Key, tuple[Index, bytes]] = {}
        self._orders: defaultdict[Order, list[str]] = defaultdict(list)

    def load(self, found: Iterable[Row]) -> None:
        """Fill an empty shelf."""
        with self._lock:
            for row in found:
                self._held[row.kind, row.id] = (row.index, row.body)
                for order in _orders(row.kind, row.index):
                    self._orders[order].append(row.id)
            for ids in self._orders.values():
                ids.sort()

    def tally(self) -> Tally:
        """Counts and sums over everything."""
        tally = Tally()
        with self._lock:
            for (kind, _), (index, _) in self._held.items():
                tally.note(kind, None, index.reserved)
        return tally

    def apply(self, rows: Iterable[Row | Drop]) -> None:
        """A commit has happened."""
        with self._lock:
            for row in rows:
                old = self._held.pop((row.kind, row.id), None)
                before = set(_orders(row.kind, old[0])) if old else set()
                after: set[Order] = set()
                if isinstance(row, Row):
                    self._held[row.kind, row.id] = (row.index, row.body)
                    after = set(_orders(row.kind, row.index))
                for order in before - after:
                    self._remove(order, row.id)
                for order in after - before:
                    insort(self._orders[order], row.id)

    def reserved(self, key: Key) -> int | None:
        """What the record reserves; None when there is none."""
        held = self._held.get(key)
        return held[0].reserved if held else None

    def body(self, kind: RecordKind, record_id: str) -> bytes | None:
        held = self._held.get((kind, record_id))
        return held[1] if held else None

    def page(
        self, kind: RecordKind, after: str, limit: int, parent: str | None, tag: str | None, listed_only: bool
    ) -> list[bytes]:
        """Bodies in order of id, as of one moment."""
        found: list[bytes] = []
        with self._lock:
            ids = self._narrowest(kind, parent, tag)
            for place in range(bisect_right(ids, after), len(ids)):
                index, body = self._held[kind, ids[place]]
                if _matches(index, parent, tag) and (index.listed or not listed_only):
                    found.append(body)
                    if len(found) == limit:
                        break
        return found

    def ids(self, kind: RecordKind) -> list[str]:
        with self._lock:
            return list(self._orders.get(("", kind, ""), ()))

    def count(self, kind: RecordKind, parent: str | None, tag: str | None) -> int:
        with self._lock:
            ids = self._narrowest(kind, parent, tag)
            return sum(_matches(self._held[kind, one][0], parent, tag) for one in ids)

    def _narrowest(self, kind: RecordKind, parent: str | None, tag: str | None) -> list[str]:
        order: Order = ("parent", kind, parent) if parent else ("tag", kind, tag) if tag else ("", kind, "")
        return self._orders.get(order, [])

    def _remove(self, order: Order, record_id: str) -> None:
        ids = self._orders[order]
        del ids[bisect_right(ids, record_id) - 1]
        if not ids:
            del self._orders[order]


def _orders(kind: RecordKind, index: Index) -> list[Order]:
    orders: list[Order] = [("", kind, "")]
    if index.parent:
        orders.append(("parent", kind, index.parent))
    if index.tag:
        orders.append(("tag", kind, index.tag))
    return orders


def _matches(index: Index, parent: str | None, tag: str | None) -> bool:
    return (parent is None or index.parent == parent) and (tag is None or index.tag == tag)

"""The records of a SQLite ledger, many to a statement.

sqlite3 gives up the interpreter's lock around every statement, and a busy event loop takes its time to give it back:
a batch must not cost a statement per record.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from ..model.records import RecordKind
from .rows import Key, Row, Tally

T = TypeVar("T")

WIDEST = 64
"""Records per statement. Only powers of two are used, so that few statements are ever prepared."""

# Two sums, for one could pass 2**63.
_SUMS = (
    "SELECT kind, count(*), sum(reserved >> 20), sum(reserved & 1048575) FROM records INDEXED BY catalog GROUP BY kind"
)


def find(connection: sqlite3.Connection, keys: Sequence[Key]) -> dict[Key, tuple[int, int]]:
    """Serial and reserved bytes of those records that there are."""
    found: dict[Key, tuple[int, int]] = {}
    for some in _portions(keys):
        query = (
            f"WITH wanted(kind, id) AS (VALUES {_marks('(?, ?)', some)}) SELECT kind, id, serial, reserved "
            "FROM wanted CROSS JOIN records INDEXED BY catalog USING (kind, id)"
        )
        for kind, record_id, serial, reserved in connection.execute(query, [part for key in some for part in key]):
            found[kind, record_id] = (serial, reserved)
    return found


def replace(connection: sqlite3.Connection, found: Mapping[Key, tuple[int, int]], rows: Sequence[Row]) -> None:
    """What was ``found`` is gone, and ``rows`` are there."""
    for some in _portions([serial for serial, _ in found.values()]):
        connection.execute(f"DELETE FROM records WHERE serial IN ({_marks('?', some)})", some)
    for portion in _portions(rows):
        values: list[object] = []
        for row in portion:
            index = row.index
            values += (row.kind, row.id, index.parent, index.tag, index.listed, index.reserved, row.body)
        connection.execute(
            "INSERT INTO records (kind, id, parent, tag, listed, reserved, body) "
            f"VALUES {_marks('(?, ?, ?, ?, ?, ?, ?)', portion)}",
            values,
        )


def tally(connection: sqlite3.Connection) -> Tally:
    """Counts and sums over everything, from the catalog alone."""
    total = Tally()
    for kind, count, high, low in connection.execute(_SUMS):
        total.add(Tally({kind: count}, (high << 20) + low))
    return total


def matching(kind: RecordKind, parent: str | None, tag: str | None) -> tuple[str, tuple[str, ...]]:
    """The part of a query that finds the records through an index that has them in order of id, and its values."""
    index, where = "catalog", "kind = ?"
    values: list[str] = [kind]
    for column, value in (("tag", tag), ("parent", parent)):
        if value is not None:
            where += f" AND {column} = ?"
            values.append(value)
            if value:
                where += f" AND {column} <> ''"
                index = f"by_{column}"
    return f"INDEXED BY {index} WHERE {where}", tuple(values)


def _portions(things: Sequence[T]) -> Iterator[Sequence[T]]:
    start, width = 0, WIDEST
    while start < len(things):
        while width > len(things) - start:
            width //= 2
        yield things[start : start + width]
        start += width


def _marks(mark: str, things: Sequence[object]) -> str:
    return ", ".join([mark] * len(things))

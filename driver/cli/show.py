"""What commands print: tables for people, JSON with stable keys for programs. rich is imported only once it is needed."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..model import sizes

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

WIDE = 1 << 16
"""Columns of a page that is no terminal: nothing is cut or wrapped for a file or a pipe."""


class Column(msgspec.Struct, frozen=True):
    """A column of a table: the key of its value in a row, and how people read it."""

    key: str
    title: str
    kind: str = "text"
    """``text``, ``size`` (bytes), ``list``, ``flag``, ``time`` (Unix seconds) or ``share`` (of 1)."""


class Show:
    """Where a command's answer goes: stdout, as JSON or for people. What accompanies it goes to stderr."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def table(self, rows: Sequence[dict[str, Any]], columns: Sequence[Column], empty: str) -> None:
        """``rows`` as an array of objects, or as a table of ``columns``; ``empty`` is what people read without any."""
        if self.as_json:
            self._json(list(rows))
        elif not rows:
            self.note(empty)
        else:
            self._table(rows, columns)

    def item(self, item: dict[str, Any], columns: Sequence[Column]) -> None:
        """One object, or a line per column; people do not get to see empty ones."""
        if self.as_json:
            self._json(item)
            return
        width = max(len(column.title) for column in columns)
        for column in columns:
            if text := worded(item.get(column.key), column.kind):
                print(f"{column.title + ':':<{width + 1}} {text}")

    def done(self, item: dict[str, Any], sentence: str) -> None:
        """That something was done: the object it was done to, or a sentence."""
        if self.as_json:
            self._json(item)
        else:
            print(sentence)

    def line(self, item: dict[str, Any], sentence: str) -> None:
        """One of many, as it comes: a JSON object a line, or a sentence."""
        print(json.dumps(item) if self.as_json else sentence, flush=True)

    def note(self, sentence: str) -> None:
        """For people only, beside the answer."""
        if not self.as_json:
            print(sentence, file=sys.stderr)

    def progress(self) -> "Progress":
        """Bars on stderr, where that is a terminal; nothing otherwise."""
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=self.as_json or not console.is_terminal,
        )

    def _json(self, value: Any) -> None:
        print(json.dumps(value, indent=2))

    def _table(self, rows: Iterable[dict[str, Any]], columns: Sequence[Column]) -> None:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for column in columns:
            right = column.kind in ("size", "share", "count")
            table.add_column(column.title.upper(), justify="right" if right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(worded(row.get(column.key), column.kind) for column in columns))
        page = _page()
        with page.capture() as captured:
            page.print(table)
        for line in captured.get().splitlines():
            print(line.rstrip())


def _page() -> "Console":
    """stdout for rich, as wide as the terminal; unbounded where it is none. What it prints is taken literally."""
    from rich.console import Console

    plain = not sys.stdout.isatty()
    return Console(width=WIDE if plain else None, markup=False, emoji=False, highlight=False)


def worded(value: Any, kind: str) -> str:
    """A value as people read it; an empty text for None."""
    if value is None:
        return ""
    match kind:
        case "size":
            return sizes.show(int(value))
        case "list":
            return ", ".join(str(one) for one in value)
        case "map":
            return ", ".join(f"{key}={one}" for key, one in value.items())
        case "flag":
            return "yes" if value else "no"
        case "share":
            return f"{100 * float(value):.0f} %"
        case "time":
            return _moment(float(value)) if value else ""
    return str(value)


def _moment(seconds: float) -> str:
    import datetime

    return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")

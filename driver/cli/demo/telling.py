"""How the demonstration speaks: steps, calls with their times, and checks that end it when they fail."""

import time
from collections.abc import Awaitable
from typing import TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

T = TypeVar("T")

MARGIN = 5
WIDTH = 74
"""Columns up to which a line's words are filled before its time."""


class Failed(Exception):
    """A check found something else than it claims."""


class Telling:
    """Prints as it goes; counts what was checked and adds up what the driver took."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.checks = 0
        self.calls = 0
        self.waited = 0.0
        self.resident = 0
        """Bytes of memory the driver had at its end."""
        self._step = 0

    def step(self, title: str) -> None:
        """A new part of the story."""
        self._step += 1
        self.console.print()
        self.console.print(Text.assemble((f"{self._step:>3}  ", "cyan"), (title, "bold")))

    def say(self, sentence: str) -> None:
        """Something to know."""
        self.console.print(Text(" " * MARGIN + sentence, style="dim"))

    async def call(self, words: str, answer: Awaitable[T]) -> T:
        """The answer of one RPC, shown with the time it took."""
        began = time.perf_counter()
        result = await answer
        took = time.perf_counter() - began
        self.calls += 1
        self.waited += took
        self._timed("→", words, took, "blue")
        return result

    def did(self, words: str, seconds: float) -> None:
        """Something that was no RPC, and the time it took."""
        self._timed("·", words, seconds, "dim")

    def check(self, holds: bool, claim: str, found: str = "") -> None:
        """``claim`` is true: shown and counted. Raises Failed, saying what was found, when it is not."""
        if not holds:
            raise Failed(f"not true: {claim}" + (f" ({found})" if found else ""))
        self.checks += 1
        self.console.print(Text.assemble(" " * MARGIN, ("✔ ", "green"), claim))

    def table(self, table: Table) -> None:
        self.console.print()
        self.console.print(table)

    def _timed(self, mark: str, words: str, seconds: float, style: str) -> None:
        line = Text.assemble(" " * MARGIN, (f"{mark} ", style), words)
        line.append(" " * max(1, WIDTH - len(line.plain)))
        line.append(shown(seconds), style="cyan")
        self.console.print(line)


def shown(seconds: float) -> str:
    """``12 ms`` or ``1.3 s``."""
    return (
        f"{seconds:.1f} s"
        if seconds >= 1
        else f"{seconds * 1000:.0f} ms"
        if seconds >= 0.01
        else f"{seconds * 1000:.1f} ms"
    )

"""Connections that read beside the writer, each lent to one thread at a time."""

import contextlib
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator

from ..model.errors import HostFailed


class Readers:
    """As many connections as ever read at once, made by ``connect``. Every read sees the last finished transaction."""

    def __init__(self, name: str, connect: Callable[[], sqlite3.Connection]) -> None:
        self._name = name
        self._connect = connect
        self._idle: deque[sqlite3.Connection] = deque()
        self._is_open = False

    def open(self) -> None:
        self._is_open = True

    @contextlib.contextmanager
    def lend(self) -> Iterator[sqlite3.Connection]:
        """A connection for this thread alone while the block lasts. HostFailed when closed."""
        if not self._is_open:
            raise HostFailed(f"the ledger {self._name} is not open")
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        finally:
            self._idle.append(connection)
            self._tidy()

    def close(self) -> None:
        """Connections are closed, those lent out as soon as they come back."""
        self._is_open = False
        self._tidy()

    def _tidy(self) -> None:
        if not self._is_open:
            with contextlib.suppress(IndexError):
                while True:
                    self._idle.pop().close()

"""The one thread that writes a ledger: it takes whatever waits into one batch, so that calls share a sync."""

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from ..host.failure import from_os
from ..model.errors import DomainError, HostFailed
from .ledger import Change, Drop
from .rows import Key, Row, Tally, prepared

BATCH = 128
"""Changes taken into one batch, at most, plus those of its last commit. Bounds the log that one sync must carry."""


class Commit:
    """Changes that happen together or not at all, on their way to the disk."""

    __slots__ = ("future", "grows", "rows", "settings")

    def __init__(self, changes: Sequence[Change] = (), settings: dict[str, str] | None = None) -> None:
        self.future: Future[None] = Future()
        # A mutation is finished whatever its caller does: a running future cannot be cancelled.
        self.future.set_running_or_notify_cancel()
        self.rows: tuple[Row | Drop, ...] = tuple(map(prepared, changes))
        self.settings = settings or {}
        self.grows = False
        """Whether it promises more than before; known once ``counted``."""


class Writer:
    """Commits in the order of ``submit``, applied by ``apply`` in a thread of its own.

    ``apply`` makes a batch durable and visible, or raises and has changed nothing; then each commit of the batch is
    tried alone, so that only the bad ones fail. ``afterwards`` is called when its futures are done. What is no
    Exception (a test's crash) ends the writer, which then has ``died``: that commit and all others fail with it.
    """

    def __init__(self, name: str, apply: Callable[[Sequence[Commit]], None], afterwards: Callable[[], None]) -> None:
        self._name = name
        self._apply = apply
        self._afterwards = afterwards
        self._waiting: queue.SimpleQueue[Commit | None] = queue.SimpleQueue()
        self._door = threading.Lock()
        self.died = False
        self._closed: BaseException | None = HostFailed(f"the ledger {name} is not open")
        # A daemon, so that a filesystem that hangs cannot keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=f"ledger {name}", daemon=True)

    def start(self) -> None:
        """Commits are taken from now on. Once only."""
        self._closed = None
        self._thread.start()

    def submit(self, commit: Commit) -> Future[None]:
        """The commit's future. Before ``start`` and after ``stop`` it fails with HostFailed at once."""
        with self._door:
            if self._closed is None:
                self._waiting.put(commit)
                return commit.future
            commit.future.set_exception(self._closed)
            return commit.future

    def stop(self) -> None:
        """Every commit submitted so far is done; later ones fail. Safe to call twice, and before ``start``."""
        with self._door:
            if self._closed is None:
                self._closed = HostFailed(f"the ledger {self._name} is closed")
                self._waiting.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while batch := self._take():
            try:
                self._write(batch)
                self._afterwards()
            except BaseException as death:
                self._die(death, batch)
                return

    def _take(self) -> list[Commit]:
        """What waits now, at least one commit; empty when the writer is to end."""
        batch: list[Commit] = []
        size = 0
        with contextlib.suppress(queue.Empty):
            while size < BATCH:
                commit = self._waiting.get(block=not batch)
                if commit is None:
                    self._waiting.put(None)
                    break
                batch.append(commit)
                size += len(commit.rows)
        return batch

    def _write(self, batch: list[Commit]) -> None:
        try:
            self._apply(batch)
        except Exception as error:
            if len(batch) > 1:
                for commit in batch:
                    self._write([commit])
                return
            if isinstance(error, OSError):
                error = from_os(f"writing to {self._name}", error)
            batch[0].future.set_exception(error)
            return
        for commit in batch:
            commit.future.set_result(None)

    def _die(self, death: BaseException, batch: list[Commit]) -> None:
        with self._door:
            self.died = True
            self._closed = death
        with contextlib.suppress(queue.Empty):
            while True:
                commit = self._waiting.get_nowait()
                if commit is not None:
                    batch.append(commit)
        for commit in batch:
            if not commit.future.done():
                commit.future.set_exception(death)


def counted(batch: Sequence[Commit], reserved: Callable[[Key], int | None]) -> Tally:
    """What ``batch`` adds; each of its commits learns whether it grows. ``reserved`` tells what a record reserves now."""
    changed: dict[Key, int | None] = {}
    total = Tally()
    for commit in batch:
        tally = Tally()
        for row in commit.rows:
            key = (row.kind, row.id)
            old = changed[key] if key in changed else reserved(key)
            changed[key] = row.index.reserved if isinstance(row, Row) else None
            tally.note(row.kind, old, changed[key])
        commit.grows = tally.grows
        total.add(tally)
    return total


def failed(error: DomainError) -> Future[None]:
    """A future that has failed already."""
    future: Future[None] = Future()
    future.set_exception(error)
    return future

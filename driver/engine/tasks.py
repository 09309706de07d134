"""Long work with an id, progress and a result. What it stands for is in the ledger, so a restart starts it again."""

import asyncio
import collections
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import structlog

from ..model import errors, sizes
from ..model.records import TaskRecord

log = structlog.get_logger()

KEEP_FINISHED = 200
"""Finished tasks remembered for people to look at."""


class Running:
    """One task under way; the ``base.Progress`` its body reports to. ``report`` may be called from any thread."""

    def __init__(self, record: TaskRecord, pool_id: str) -> None:
        self.record = record
        self.pool_id = pool_id
        self.stopping = False
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def report(self, done: int, total: int) -> None:
        self.record = msgspec.structs.replace(self.record, done=done, total=max(total, done))
        self._loop.call_soon_threadsafe(self.changed.set)

    def stopped(self) -> bool:
        return self.stopping

    @property
    def words(self) -> str:
        """Progress for people: ``40 % of 3 GiB``."""
        record = self.record
        share = int(100 * record.done / record.total) if record.total else 0
        return f"{share} % of {sizes.show(record.total)}"


class Tasks:
    """All tasks of this process, by id. An id runs once at a time."""

    def __init__(self) -> None:
        self._running: dict[str, Running] = {}
        self._finished: collections.deque[tuple[str, TaskRecord]] = collections.deque(maxlen=KEEP_FINISHED)
        self._jobs: set[asyncio.Task[None]] = set()
        self._stopping = False

    def start(self, record: TaskRecord, pool_id: str, body: Callable[[Running], Awaitable[None]]) -> Running:
        """The task, started now unless it is already running. ``body`` ends with the ledger saying that it is done."""
        known = self._running.get(record.id)
        if known is not None:
            return known
        running = Running(msgspec.structs.replace(record, state="running", started_at=time.time()), pool_id)
        running.stopping = self._stopping
        self._running[record.id] = running
        job = asyncio.ensure_future(self._run(running, body))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return running

    async def _run(self, running: Running, body: Callable[[Running], Awaitable[None]]) -> None:
        error: errors.DomainError | None = None
        try:
            await body(running)
        except errors.DomainError as raised:
            error = raised
        except Exception as raised:
            log.exception("task broke", task=running.record.id)
            error = errors.HostFailed(f"task {running.record.id} broke: {raised!r}")
        running.record = msgspec.structs.replace(
            running.record,
            state="failed" if error else "queued" if running.stopping else "done",
            message=error.message if error else "",
            finished_at=time.time(),
        )
        del self._running[running.record.id]
        self._finished.append((running.pool_id, running.record))
        if error:
            log.warning("task failed", task=running.record.id, pool_id=running.pool_id, message=error.message)
            running.finished.set_exception(error)
            running.finished.exception()
        else:
            running.finished.set_result(None)
        running.changed.set()

    def find(self, task_id: str) -> Running | None:
        """The running task of that id."""
        return self._running.get(task_id)

    async def join(self, running: Running, patience: float) -> bool:
        """Whether it ended well within ``patience`` seconds; raises what it failed with. Never cancels it."""
        done, _ = await asyncio.wait({running.finished}, timeout=patience)
        if not done:
            return False
        running.finished.result()
        return not running.stopping

    def all(self, include_finished: bool) -> list[tuple[str, TaskRecord]]:
        """``(pool id, record)``, running ones first."""
        listed = [(running.pool_id, running.record) for running in self._running.values()]
        return listed + list(reversed(self._finished)) if include_finished else listed

    async def watch(self, task_id: str) -> AsyncIterator[tuple[str, TaskRecord]]:
        """The task now and after every change, to its end. NotFound for an unknown id."""
        running = self._running.get(task_id)
        if running is None:
            for pool_id, record in reversed(self._finished):
                if record.id == task_id:
                    yield pool_id, record
                    return
            raise errors.NotFound(f"task {task_id} does not exist")
        while True:
            running.changed.clear()
            yield running.pool_id, running.record
            if running.finished.done():
                return
            await running.changed.wait()

    async def stop(self, patience: float = 30.0) -> None:
        """Bodies are asked to end early; returns when they have, or after ``patience`` seconds."""
        self._stopping = True
        for running in self._running.values():
            running.stopping = True
        if self._jobs:
            await asyncio.wait(set(self._jobs), timeout=patience)

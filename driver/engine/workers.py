"""A pool's own threads: bounded, so a pool that hangs keeps its own callers waiting and nobody else's.

Threads are daemons: one stuck in the kernel must not keep the process from ending. Work that may take minutes (copies,
purges) has threads of its own, so that it never looks like a hang to short calls.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ..model import errors

T = TypeVar("T")


class _Job:
    __slots__ = ("abandoned", "args", "fn", "future", "loop", "started")

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], loop: asyncio.AbstractEventLoop) -> None:
        self.fn = fn
        self.args = args
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.started = 0.0
        self.abandoned = False


class Workers:
    """At most ``threads`` calls at once; a call that finds them all stuck longer than ``patience`` seconds is refused."""

    def __init__(self, name: str, threads: int, patience: float) -> None:
        self._name = name
        self._limit = threads
        self._patience = patience
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._running: set[_Job] = set()
        self._lock = threading.Lock()
        self._closed = False

    @property
    def stuck(self) -> bool:
        """Whether every thread has been busy with one call for longer than the patience."""
        with self._lock:
            if len(self._running) < self._limit:
                return False
            newest = max(job.started for job in self._running)
        return time.monotonic() - newest > self._patience

    async def run(self, fn: Callable[..., T], *args: Any) -> T:
        """What ``fn(*args)`` returns or raises, called in one of the threads.

        Raises Unavailable when no thread took it up within the patience. Once taken up, it runs to its end even when
        the caller is cancelled.
        """
        if self._closed:
            raise errors.Unavailable(f"{self._name} is closed")
        if self.stuck:
            raise self._refusal()
        job = _Job(fn, args, asyncio.get_running_loop())
        self._queue.put(job)
        self._ensure_thread()
        watch = job.loop.call_later(self._patience, self._give_up, job)
        try:
            result: T = await job.future
            return result
        finally:
            watch.cancel()
            job.abandoned = True

    def close(self) -> None:
        """No further calls; threads end as they become free. Those that hang are left to the process's end."""
        self._closed = True
        for _ in self._threads:
            self._queue.put(None)

    def _refusal(self) -> errors.Unavailable:
        return errors.Unavailable(
            f"{self._name} does not answer: {self._limit} calls have been waiting on it for over "
            f"{self._patience:g} s; try again once its storage answers"
        )

    def _give_up(self, job: _Job) -> None:
        with self._lock:
            if job.started:
                return
            job.abandoned = True
        if not job.future.done():
            job.future.set_exception(self._refusal())

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._idle >= self._queue.qsize() or len(self._threads) >= self._limit:
                return
            thread = threading.Thread(target=self._serve, name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            job = self._queue.get()
            with self._lock:
                self._idle -= 1
                if job is None:
                    return
                if job.abandoned:
                    continue
                job.started = time.monotonic()
                self._running.add(job)
            try:
                outcome, error = job.fn(*job.args), None
            except BaseException as raised:
                outcome, error = None, raised
            with self._lock:
                self._running.discard(job)
            try:
                job.loop.call_soon_threadsafe(_settle, job.future, outcome, error)
            except RuntimeError:
                return  # the loop is gone: the process is ending
            del job, outcome, error


def _settle(future: "asyncio.Future[Any]", outcome: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(outcome)
    elif isinstance(error, StopIteration):
        future.set_exception(RuntimeError("a worker's function raised StopIteration"))
    else:
        future.set_exception(error)

"""One table of what is being done: same object and same request joins, another request is refused, nothing is half-done.

Mutations run in tasks of their own, shielded from the caller: a caller whose deadline passes leaves, the work goes on,
and the caller's retry joins it. The table empties itself.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

from ..model import errors, ids

T = TypeVar("T")


class Inflight:
    """Exclusive work and shared holds, by object id. Ids of one name in several pools exclude each other."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[Any, asyncio.Task[Any]]] = {}
        self._holds: dict[str, dict[str, int]] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self, key: str, request: Any, body: Callable[[], Awaitable[T]]) -> T:
        """The result of ``body()``, run once for equal requests at the same time.

        Raises Busy when other work on ``key`` is running or holds it.
        """
        key = ids.lock_key(key)
        known = self._running.get(key)
        if known is None:
            self._refuse_if_held(key)
            task: asyncio.Task[T] = asyncio.ensure_future(_call(body))
            self._running[key] = (request, task)
            self._idle.clear()
            task.add_done_callback(lambda done: self._forget(key, done))
        elif known[0] == request:
            task = known[1]
        else:
            raise errors.Busy(f"another operation on {key} is running; try again when it has ended")
        return await asyncio.shield(task)

    @contextlib.contextmanager
    def hold(self, key: str, reason: str) -> Iterator[None]:
        """``key`` is used, together with other holders; exclusive work on it is refused meanwhile, saying ``reason``.

        Raises Busy when exclusive work on ``key`` is running.
        """
        key = ids.lock_key(key)
        if key in self._running:
            raise errors.Busy(f"another operation on {key} is running; try again when it has ended")
        holders = self._holds.setdefault(key, {})
        holders[reason] = holders.get(reason, 0) + 1
        try:
            yield
        finally:
            holders[reason] -= 1
            if not holders[reason]:
                del holders[reason]
            if not holders:
                self._holds.pop(key, None)

    def held(self, key: str) -> str:
        """Why ``key`` is held, or an empty string."""
        return ", ".join(self._holds.get(ids.lock_key(key), ()))

    def __len__(self) -> int:
        return len(self._running)

    async def drain(self) -> None:
        """Returns once nothing exclusive is running."""
        await self._idle.wait()

    def _refuse_if_held(self, key: str) -> None:
        if reason := self.held(key):
            raise errors.Busy(f"{key} is in use by {reason}; try again when that has ended")

    def _forget(self, key: str, task: "asyncio.Task[Any]") -> None:
        del self._running[key]
        if not self._running:
            self._idle.set()
        if not task.cancelled():
            task.exception()  # retrieved, so a caller that left does not turn a refusal into a warning


async def _call(body: Callable[[], Awaitable[T]]) -> T:
    return await body()

"""Notes of what was deleted: dropped at once, or, while that cannot be, as soon as it can."""

import asyncio

import structlog

from ..model import errors
from .claims import ON_ITS_WAY, Claims
from .placement import Note

log = structlog.get_logger()

AGAIN = 30.0
"""Seconds between two tries while notes cannot be reached."""
TRIES = 20
WAITING = 10_000
"""Notes that wait; more are left where they are. A note too many costs its few bytes, and a later try of its name
goes where it says first."""


class Releases:
    """Nothing here fails: what is deleted is deleted, whatever becomes of its note."""

    def __init__(self, claims: Claims, again: float = AGAIN) -> None:
        self._claims = claims
        self._again = again
        self._waiting: set[asyncio.Task[None]] = set()

    async def noted(self, key: str) -> Note | None:
        """The note as it is before a delete; None when there is none, or it cannot be read now."""
        try:
            return await self._claims.noted(key)
        except errors.DomainError as error:
            log.info("note not read", key=key, message=error.message)
            return None

    async def release(self, key: str, note: Note) -> None:
        """The note is gone or will be, unless it changed since ``note`` was read: then it is somebody else's."""
        try:
            await self._claims.drop(key, note)
        except errors.DomainError:
            self.later(key, note)

    def later(self, key: str, note: Note) -> None:
        """``release``, in the background."""
        if len(self._waiting) >= WAITING:
            log.warning("note left", key=key, node=note.node)
            return
        task = asyncio.ensure_future(self._later(key, note))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _later(self, key: str, note: Note) -> None:
        await asyncio.sleep(min(self._claims.wait(note), ON_ITS_WAY))
        for _ in range(TRIES):
            try:
                await self._claims.drop(key, note)
            except errors.DomainError as error:
                log.debug("note not dropped", key=key, message=error.message)
            else:
                return
            await asyncio.sleep(max(self._again, self._claims.wait(note)))
        log.warning("note left", key=key, node=note.node)

    async def stop(self) -> None:
        """What still waits is left."""
        if self._waiting:
            log.info("notes left", count=len(self._waiting))
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)

"""One resource of the API, listed and watched, and kept in memory as little of it as is needed."""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import structlog

from ..engine.backoff import Backoff
from ..model import errors
from .api import Api, Expired, Object

T = TypeVar("T")

LEAST, MOST = 0.2, 30.0
"""Seconds between two tries while the API does not answer, doubling."""
WATCH = 300
"""Seconds a watch lasts at most before it is begun anew where it ended; spread, so that watches do not end together."""

log = structlog.get_logger()


class Watched(Generic[T]):
    """``objects`` by name, as of a moment ago; while the API is away, as they were when it went.

    ``trim`` makes of an object what is kept of it. ``changed``, if given, is called with a name after each change, and with
    "" after everything was read anew. ``synced`` is set once everything was read for the first time.
    """

    def __init__(
        self,
        api: Api,
        path: str,
        trim: Callable[[Object], T],
        changed: Callable[[str], None] | None = None,
        selector: Mapping[str, str] | None = None,
    ) -> None:
        self.objects: dict[str, T] = {}
        self.synced = asyncio.Event()
        self._api = api
        self._path = path
        self._trim = trim
        self._changed = changed or _nobody
        self._selector = dict(selector or {})
        self._versions: dict[str, int] = {}
        self._at = ""

    async def run(self) -> None:
        """Never returns. Failures are logged and tried again."""
        backoff = Backoff(LEAST, MOST)
        while True:
            try:
                if not self._at:
                    await self._list()
                await self._watch()
                backoff.succeeded()
            except Expired as error:
                log.info("watch expired", path=self._path, message=error.message)
                self._at = ""
                await asyncio.sleep(random.uniform(0.0, LEAST))
            except errors.DomainError as error:
                # The first failure of a watch is its server's end as a rule, and the next try tells.
                is_first, pause = not backoff.failures, backoff.failed()
                if not is_first:
                    log.warning(
                        "watch failed", path=self._path, message=error.message, again_in_seconds=round(pause, 1)
                    )
                if isinstance(error, errors.NotFound | errors.FailedPrecondition):
                    self._at = ""
                await asyncio.sleep(pause)
            except Exception:
                # An object of an unforeseen shape must not end what everything else stands on.
                log.exception("watch failed", path=self._path)
                self._at = ""
                await asyncio.sleep(MOST)

    def keep(self, found: Object) -> T:
        """What is kept of ``found``, the answer to a change of ours, which may come before its event."""
        kept, name, version = self._trim(found), str(found["metadata"]["name"]), _version(found)
        if version >= self._versions.get(name, 0):
            self.objects[name], self._versions[name] = kept, version
        return kept

    def forget(self, name: str) -> None:
        """There is no such object: somebody just found out."""
        self.objects.pop(name, None)
        self._versions.pop(name, None)

    async def _list(self) -> None:
        objects: dict[str, T] = {}
        versions: dict[str, int] = {}
        at = ""
        async for page in self._api.pages(self._path, self._selector):
            for item in page.get("items") or []:
                name = str(item["metadata"]["name"])
                objects[name], versions[name] = self._trim(item), _version(item)
            at = str(page["metadata"]["resourceVersion"])
        self._at = at
        self.objects, self._versions = objects, versions
        self.synced.set()
        self._changed("")

    async def _watch(self) -> None:
        query = {**self._selector, "resourceVersion": self._at}
        events = self._api.watch(self._path, query, random.randint(WATCH * 3 // 4, WATCH))
        try:
            async for event in events:
                found: Object = event["object"]
                self._at = str(found["metadata"]["resourceVersion"])
                if event["type"] in ("ADDED", "MODIFIED"):
                    self._take(found)
                elif event["type"] == "DELETED":
                    self._lose(found)
        finally:
            await events.aclose()

    def _take(self, found: Object) -> None:
        name, before = str(found["metadata"]["name"]), self.objects.get(str(found["metadata"]["name"]))
        if self.keep(found) != before:
            self._changed(name)

    def _lose(self, found: Object) -> None:
        name = str(found["metadata"]["name"])
        if _version(found) >= self._versions.get(name, 0) and name in self.objects:
            self.forget(name)
            self._changed(name)


def _nobody(_name: str) -> None:
    """What is kept is looked at when it is wanted."""


def _version(found: Object) -> int:
    """Resource versions of one resource are numbers that grow (KEP-5504)."""
    text = str(found["metadata"]["resourceVersion"])
    return int(text) if text.isdigit() else 0

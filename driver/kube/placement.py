"""Placement objects: where a name went, for all controllers of the cluster. What they do is driver/fleet/placement.py's."""

from collections.abc import Iterable, Sequence

import structlog

from ..fleet.placement import Note
from ..model import errors
from .api import Api, Conflict, Object
from .state import State
from .watched import Watched

GROUP = "holdall.csi.dev"
PATH = f"/apis/{GROUP}/v1/placements"
DRIVER = f"{GROUP}/driver"
"""The label with the name of the driver whose placement it is: several may be in one cluster."""
TRIES = 5

log = structlog.get_logger()


class KubePlacement:
    """Implements fleet.placement.Placement. ``watched`` has to be run; what it knows is a hint."""

    def __init__(self, api: Api, driver_name: str, state: State) -> None:
        self._api = api
        self._driver_name = driver_name
        self._state = state
        self.watched = Watched(api, PATH, _note, selector={"labelSelector": f"{DRIVER}={driver_name}"})

    async def open(self) -> None:
        """Every placement there is has been read once."""
        await self.watched.synced.wait()

    async def close(self) -> None: ...

    async def of(self, key: str) -> Note | None:
        return self.watched.objects.get(self._name(key))

    async def now(self, key: str) -> Note | None:
        try:
            return self.watched.keep(await self._api.request("GET", self._path(key)))
        except errors.NotFound:
            self.watched.forget(self._name(key))
            return None

    async def claim(self, key: str, node: str, attempt: str) -> Note:
        # First the node, then what is on it: or a controller that never met it would list less, and not know.
        await self._state.remember(node)
        for _ in range(TRIES):
            try:
                return self.watched.keep(await self._api.request("POST", PATH, self._object(key, node, (attempt,))))
            except Conflict:
                if there := await self.now(key):
                    return there
        raise errors.Unavailable(f"placement {self._name(key)} comes and goes faster than it can be read; try again")

    async def join(self, key: str, note: Note, tries: Sequence[str]) -> Note | None:
        wanted = self._object(key, note.node, tries)
        wanted["metadata"]["resourceVersion"] = note.version
        try:
            return self.watched.keep(await self._api.request("PUT", self._path(key), wanted))
        except (Conflict, errors.NotFound):
            return None

    async def drop(self, key: str, note: Note) -> bool:
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"resourceVersion": note.version}}
        try:
            await self._api.request("DELETE", self._path(key), options)
        except Conflict:
            return False
        except errors.NotFound:
            pass
        self.watched.forget(self._name(key))
        return True

    async def learn(self, node: str, keys: Iterable[str]) -> None:
        for key in keys:
            if self._name(key) not in self.watched.objects:
                try:
                    self.watched.keep(await self._api.request("POST", PATH, self._object(key, node, ())))
                except Conflict:
                    continue
                log.info("placement made anew", key=key, node=node)

    async def heard(self, node: str) -> None:
        await self._state.hear(node)

    async def unheard(self, nodes: Iterable[str]) -> list[str]:
        return await self._state.unheard(nodes)

    def _name(self, key: str) -> str:
        """An object's name is a DNS subdomain, as keys (driver/model/ids.py) and driver names are."""
        return f"{key}.{self._driver_name}".lower()

    def _path(self, key: str) -> str:
        return f"{PATH}/{self._name(key)}"

    def _object(self, key: str, node: str, tries: Sequence[str]) -> Object:
        return {
            "apiVersion": f"{GROUP}/v1",
            "kind": "Placement",
            "metadata": {"name": self._name(key), "labels": {DRIVER: self._driver_name}},
            "spec": {"node": node, "tries": list(tries)},
        }


def _note(found: Object) -> Note:
    spec = found.get("spec") or {}
    return Note(
        str(spec.get("node", "")),
        str(found["metadata"]["resourceVersion"]),
        tuple(str(one) for one in spec.get("tries") or ()),
    )

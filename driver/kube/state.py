"""What all controllers of a cluster remember together, in one ConfigMap: the nodes that ever answered, with their pools,
which of them were heard out, and which are given up.

``node.NAME``: what NAME said of itself, in short. ``heard.NAME``: every name it has is noted. ``settled``: that was so
once for all nodes there were. ``given-up.NAME``: it will not come back.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

import msgspec
import structlog

from ..fleet.nodes import Description
from ..model import errors
from ..model.pool import PoolView
from .api import Api, Conflict, Object
from .watched import Watched

GATHER = 0.5
"""Seconds in which changes are gathered into one request: when a cluster starts, all its nodes answer at once."""
AGAIN = 5.0
TRIES = 20
NODE, HEARD, GIVEN_UP, SETTLED = "node.", "heard.", "given-up.", "settled"

log = structlog.get_logger()


class _Pool(msgspec.Struct, frozen=True, array_like=True):
    id: str
    name: str
    backend: str
    path: str
    device_class: str


class _Node(msgspec.Struct, frozen=True, array_like=True):
    """Short: a ConfigMap holds 1 MiB, and a cluster may have 1000 nodes."""

    node_id: str
    pools: tuple[_Pool, ...]


class State:
    """Implements fleet.known.Known. ``watched`` and ``run`` have to be run."""

    def __init__(self, api: Api, namespace: str, name: str, driver_name: str) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._driver_name = driver_name
        self._collection = f"/api/v1/namespaces/{namespace}/configmaps"
        self._wanted: dict[str, str | None] = {}
        self._news = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        selector = {"fieldSelector": f"metadata.name={name}"}
        self.watched = Watched(api, self._collection, _data, self._changed, selector)

    def follow(self, changed: Callable[[], None]) -> None:
        """``changed`` is called after every change from now on."""
        self._listeners.append(changed)

    def names(self) -> set[str]:
        """Nodes that answered some controller once, and are not given up."""
        return {key.removeprefix(NODE) for key in self._data() if key.startswith(NODE)}

    def gives_up(self, name: str) -> bool:
        return f"{GIVEN_UP}{name}" in self._data()

    # -- what others keep here ---------------------------------------------------------------------------------------

    @property
    def data(self) -> Mapping[str, str]:
        """Everything, as of a moment ago."""
        return self._data()

    async def put(self, key: str, value: str | None) -> None:
        """``key`` has that value, or is gone."""
        await self._write({key: value})

    async def noted(self, key: str) -> str:
        """The value of ``key`` as it is; empty for none."""
        try:
            return _data(await self._api.request("GET", f"{self._collection}/{self._name}")).get(key, "")
        except errors.NotFound:
            return ""

    async def claim(self, key: str, value: str) -> str:
        """The value of ``key``: this one, or the one that was first."""
        return await self._exchange(key, "", value)

    async def release(self, key: str, value: str) -> None:
        """``key`` is gone, if it had that value still."""
        await self._exchange(key, value, None)

    async def _exchange(self, key: str, before: str, after: str | None) -> str:
        """The value that is there: ``after`` if it was ``before`` (empty: none) until now."""
        path = f"{self._collection}/{self._name}"
        for _ in range(TRIES):
            try:
                found = await self._api.request("GET", path)
            except errors.NotFound:
                await self._write({})
                continue
            there = _data(found).get(key, "")
            if there != before:
                return there
            version = {"resourceVersion": found["metadata"]["resourceVersion"]}
            try:
                self.watched.keep(await self._api.request("PATCH", path, {"metadata": version, "data": {key: after}}))
            except Conflict:
                continue
            return after or ""
        raise errors.Unavailable(
            f"ConfigMap {self._namespace}/{self._name} changes faster than it can be read; try again"
        )

    # -- fleet.known.Known ---------------------------------------------------------------------------------------------

    async def descriptions(self) -> dict[str, Description]:
        found = {}
        for name in self.names():
            try:
                node = msgspec.json.decode(self._data()[f"{NODE}{name}"], type=_Node)
            except msgspec.MsgspecError as error:
                raise errors.DataDamaged(
                    f"ConfigMap {self._namespace}/{self._name}: node.{name} cannot be read: {error}; delete that key, "
                    "and it is written anew when the node answers"
                ) from None
            found[name] = self._description(node)
        return found

    async def describe(self, name: str, description: Description) -> None:
        """Written soon; until then in our own memory."""
        pools = tuple(_Pool(one.id, one.name, one.backend, one.path, one.device_class) for one in description.pools)
        said = msgspec.json.encode(_Node(description.node_id, pools)).decode()
        if self._data().get(f"{NODE}{name}") != said or self.gives_up(name):
            self._wanted |= {f"{NODE}{name}": said, f"{GIVEN_UP}{name}": None}
            self._news.set()

    async def remember(self, name: str) -> None:
        """What ``name`` said last is written: whatever is made there from now on, every controller knows of the node."""
        keys = (f"{NODE}{name}", f"{GIVEN_UP}{name}")
        if pending := {key: self._wanted[key] for key in keys if key in self._wanted}:
            await self._write(pending)
            self._written(pending)

    async def give_up(self, name: str) -> None:
        await self._write({f"{NODE}{name}": None, f"{HEARD}{name}": None, f"{GIVEN_UP}{name}": "true"})

    # -- the notes' completeness -----------------------------------------------------------------------------------------

    async def hear(self, node: str) -> None:
        """Every name that ``node`` has is noted."""
        if SETTLED not in self._data() and f"{HEARD}{node}" not in self._data():
            self._wanted[f"{HEARD}{node}"] = "true"
            self._news.set()

    async def unheard(self, nodes: Iterable[str]) -> list[str]:
        """As fleet.placement.Placement says."""
        if SETTLED in self._data():
            return []
        missing = sorted(one for one in nodes if f"{HEARD}{one}" not in self._data())
        if not missing:
            heard = [key for key in self._data() if key.startswith(HEARD)]
            await self._write({SETTLED: "true", **dict.fromkeys(heard)})
        return missing

    # -- the ConfigMap ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Never returns: what is wanted gets written."""
        while True:
            await self._news.wait()
            await asyncio.sleep(GATHER)
            self._news.clear()
            wanted = dict(self._wanted)
            try:
                await self._write(wanted)
            except errors.DomainError as error:
                log.warning("nodes not remembered", message=error.message, again_in_seconds=AGAIN)
                self._news.set()
                await asyncio.sleep(AGAIN)
            else:
                self._written(wanted)

    def _written(self, data: Mapping[str, str | None]) -> None:
        self._wanted = {key: value for key, value in self._wanted.items() if data.get(key, "") != value}

    async def _write(self, data: Mapping[str, str | None]) -> None:
        """Those keys have those values, or are gone; the others are as they were."""
        path = f"{self._collection}/{self._name}"
        try:
            found = await self._api.request("PATCH", path, {"data": dict(data)})
        except errors.NotFound:
            body: Object = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": self._name, "labels": {"app.kubernetes.io/managed-by": "holdall"}},
                "data": {key: value for key, value in data.items() if value is not None},
            }
            try:
                found = await self._api.request("POST", self._collection, body)
            except Conflict:
                found = await self._api.request("PATCH", path, {"data": dict(data)})
        self.watched.keep(found)
        self._changed("")

    def _data(self) -> Mapping[str, str]:
        """As written, and as wanted on top."""
        there = self.watched.objects.get(self._name, {})
        if not self._wanted:
            return there
        merged = {**there, **self._wanted}
        return {key: value for key, value in merged.items() if value is not None}

    def _changed(self, _name: str) -> None:
        for listener in self._listeners:
            listener()

    def _description(self, node: _Node) -> Description:
        topology = {f"{self._driver_name}/node": node.node_id}
        views = tuple(
            PoolView(
                id=one.id,
                name=one.name,
                backend=one.backend,
                path=one.path,
                node_id=node.node_id,
                device_class=one.device_class,
                topology=topology,
                schedulable=False,
                abilities=(),
                reachable=False,
            )
            for one in node.pools
        )
        return Description(node.node_id, self._driver_name, "", views)


def _data(found: Object) -> dict[str, str]:
    return dict(found.get("data") or {})

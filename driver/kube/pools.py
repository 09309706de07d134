"""Pool objects, what ``kubectl get pools`` shows: written by the leader, and only when something worth it changed."""

import contextlib
import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from ..model import errors
from ..model.health import Ailment, Status
from ..model.pool import PoolView
from .api import Api, Conflict, Object
from .events import Events, Subject
from .placement import DRIVER, GROUP
from .watched import Watched

PATH = f"/apis/{GROUP}/v1/pools"
EVERY = 10.0
"""Seconds between two writes of one pool, at least."""
AILING = 20
"""Volumes of a pool that are named as unhealthy; the others are only counted."""
HEALTHY = "Healthy"
HEALTH = {Status.DEGRADED: "Degraded", Status.INACCESSIBLE: "Inaccessible", Status.DATA_LOSS: "DataLoss"}
_UNITS = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")

log = structlog.get_logger()


class Shown(msgspec.Struct, frozen=True):
    """A pool to be shown: where it is, what it said, and its unhealthy volumes."""

    node: str
    view: PoolView
    ailing: Sequence[tuple[str, Sequence[Ailment]]] = ()


class Kept(msgspec.Struct, frozen=True):
    """What is kept of a Pool object."""

    version: str
    uid: str
    spec: dict[str, Any]
    status: dict[str, Any]


class Pools:
    """``watched`` has to be run. Changes of health are told as events of the Pool objects."""

    def __init__(self, api: Api, driver_name: str, events: Events, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._driver_name = driver_name
        self._events = events
        self._clock = clock
        self._written: dict[str, float] = {}
        self.watched = Watched(api, PATH, _kept, selector={"labelSelector": f"{DRIVER}={driver_name}"})

    async def bring(self, wanted: Mapping[str, Shown], keeps: Callable[[str, str], bool]) -> None:
        """The objects are those ``wanted``, by pool id; of the others, ``keeps(pool id, node)`` says which stay.

        One that was written a moment ago follows later; so does one that somebody else changed meanwhile. Raises as
        Api.request does when the API does not take it.
        """
        for pool_id, shown in wanted.items():
            there = self.watched.objects.get(pool_id)
            spec, status = content(shown, there.status if there else {})
            if there and (there.spec, there.status) == (spec, status):
                continue
            if self._clock() - self._written.get(pool_id, float("-inf")) < EVERY:
                continue
            try:
                kept = await self._write(pool_id, there, spec, status)
            except (Conflict, errors.NotFound):
                continue
            self._written[pool_id] = self._clock()
            self._tell(pool_id, there, kept)
        for pool_id, kept in list(self.watched.objects.items()):
            if pool_id not in wanted and not keeps(pool_id, str(kept.spec.get("node") or "")):
                await self._remove(pool_id)

    async def _write(self, pool_id: str, there: Kept | None, spec: Object, status: Object) -> Kept:
        metadata: Object = {"name": pool_id, "labels": {DRIVER: self._driver_name}}
        body = {"apiVersion": f"{GROUP}/v1", "kind": "Pool", "metadata": metadata, "spec": spec, "status": status}
        if there is None:
            return self.watched.keep(await self._api.request("POST", PATH, body))
        metadata["resourceVersion"] = there.version
        return self.watched.keep(await self._api.request("PUT", f"{PATH}/{pool_id}", body))

    async def _remove(self, pool_id: str) -> None:
        with contextlib.suppress(errors.NotFound):
            await self._api.request("DELETE", f"{PATH}/{pool_id}")
        self.watched.forget(pool_id)
        self._written.pop(pool_id, None)
        log.info("pool object removed", pool=pool_id)

    def _tell(self, pool_id: str, before: Kept | None, now: Kept) -> None:
        if "health" not in now.status:
            # Helm leaves CRDs as they were: one of an earlier version drops what this one writes.
            log.warning(
                "pool object incomplete", pool=pool_id, message="apply deploy/chart/crds: the Pool CRD is older"
            )
            return
        was = before.status.get("health", HEALTHY) if before else HEALTHY
        health, name = now.status["health"], f"pool {now.spec['poolName']} of node {now.spec['node']}"
        subject = Subject(f"{GROUP}/v1", "Pool", pool_id, now.uid)
        if health != HEALTHY and health != was:
            why = "; ".join(one["message"] for one in now.status["ailments"])
            self._events.tell(subject, "Warning", f"Pool{health}", f"{name}: {why}. {cure(pool_id, now.status)}")
        elif health == HEALTHY and was != HEALTHY:
            self._events.tell(subject, "Normal", "PoolHealthy", f"{name} is healthy again")


def content(shown: Shown, before: Mapping[str, Any]) -> tuple[Object, Object]:
    """Spec and status of the object of ``shown``, whose status was ``before``. Sizes to three digits, so that an idle
    cluster writes nothing. What a lost node says no more is as it was, and ``lastHeard`` says since when."""
    view = shown.view
    spec = {"poolName": view.name, "node": shown.node, "backend": view.backend, "deviceClass": view.device_class}
    ailing = shown.ailing[:AILING]
    health: Object = {
        "reachable": view.reachable,
        "health": HEALTH[max(one.status for one in view.ailments)] if view.ailments else HEALTHY,
        "ailments": [_ailment(one) for one in view.ailments],
        "unhealthyVolumes": len(shown.ailing),
        "ailingVolumes": [{"volume": volume_id, **_ailment(one)} for volume_id, found in ailing for one in found[:1]],
    }
    if not view.reachable:
        heard = before.get("lastHeard") or datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return spec, {"total": quantity(view.total), **before, **health, "available": "0", "lastHeard": heard}
    return spec, {
        **health,
        "path": view.path,
        "topology": dict(view.topology),
        "schedulable": view.schedulable,
        "abilities": list(view.abilities),
        "total": quantity(view.total),
        "available": quantity(view.available),
        "reserved": quantity(view.reserved),
        "maximumVolumeSize": quantity(view.maximum_volume_size),
        "minimumVolumeSize": quantity(view.minimum_volume_size),
        "volumes": view.volumes,
        "snapshots": view.snapshots,
    }


def quantity(size: int) -> str:
    """``size`` bytes as a Kubernetes quantity of three digits, rounded down: ``931Gi``, ``1.23Ti``, ``0``."""
    value = max(size, 0)
    unit = max(value.bit_length() - 1, 0) // 10
    if unit == 0:
        return str(value)
    scale = 1 << (10 * unit)
    digits = 0 if value >= 100 * scale else 1 if value >= 10 * scale else 2
    whole, part = divmod(value * 10**digits // scale, 10**digits)
    if whole >= 1000:
        whole = whole // 10 * 10
    fraction = f"{part:0{digits}d}".rstrip("0") if part else ""
    return f"{whole}.{fraction}{_UNITS[unit]}" if fraction else f"{whole}{_UNITS[unit]}"


def cure(pool_id: str, status: Mapping[str, Any]) -> str:
    """What to do about a pool that is as ``status`` says."""
    reasons = {one["reason"] for one in status.get("ailments", ())}
    if "Forgotten" in reasons:
        return "Remember it, or take it out of the node's configuration; nothing new is placed on that node till then"
    if "NodeLost" in reasons:
        return (
            "Bring the node back; or put the pool's disk into another node and run `holdall pool follow "
            f"{pool_id}`; or give it up with `holdall pool forget {pool_id}`"
        )
    return "`holdall doctor` on that node says more"


def _ailment(one: Ailment) -> Object:
    return {"status": HEALTH[one.status], "reason": one.reason, "message": one.message[:1000]}


def _kept(found: Object) -> Kept:
    metadata = found["metadata"]
    return Kept(
        str(metadata["resourceVersion"]), str(metadata["uid"]), found.get("spec") or {}, found.get("status") or {}
    )

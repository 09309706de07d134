"""PersistentVolumes of a pool that turned up on another node, made anew for it: their node affinity cannot be changed.

One at a time, each by these steps, of which every one looks first:

| step | a crash after it leaves | repeating it |
|---|---|---|
| unused: no VolumeAttachment, no pod with a node | nothing | begins |
| the new object is noted in the state ConfigMap, key ``follow.POOL`` | a note | takes it back, begins |
| the old object's reclaim policy is Retain | an object that would be kept | takes it back, begins |
| it is deleted, at the version that was looked at | it is Terminating, held by its finalizers | goes on |
| its finalizers are off | no object; the claim is Lost, its data untouched | goes on |
| the new one is made: same name, volumeHandle, claimRef (with uid); Retain | the claim is Bound again | goes on |
| its reclaim policy is as before | a note too many | drops it |
| the note is gone | nothing | nothing to do |

Nothing here lets a volume be deleted: until the new object is there the reclaim policy is Retain, and a Lost claim has no
object that could be Released. Only the leading controller follows, so that nobody else is at the same steps.
"""

import asyncio
import copy
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Generic

import msgspec
import structlog

from ..fleet import views
from ..fleet.fleet import Fleet
from ..fleet.following import Followed
from ..fleet.nodes import N
from ..model import errors
from .api import Api, Conflict, Object
from .state import State
from .users import check_unused
from .volumes import PATH, volume

KEY = "follow."
_OF_THE_OLD_ONE = (
    "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation",
    "managedFields", "selfLink",
)  # fmt: skip

log = structlog.get_logger()


class Plan(msgspec.Struct, frozen=True):
    """What is being done: ``new`` is to take the place of the object with ``old_uid``; its policy is to be ``policy``."""

    old_uid: str
    policy: str
    new: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.new["metadata"]["name"])


class Follow(Generic[N]):
    """Implements fleet.following.Follower. ``lead`` raises FailedPrecondition where another controller leads."""

    def __init__(self, api: Api, driver_name: str, fleet: Fleet[N], state: State, lead: Callable[[], None]) -> None:
        self._api = api
        self._driver_name = driver_name
        self._fleet = fleet
        self._state = state
        self._lead = lead
        self._turn = asyncio.Lock()

    async def follow(self, pool_id: str) -> AsyncGenerator[Followed, None]:
        if self._turn.locked():
            raise errors.Busy(f"pool {pool_id}: a pool is being followed just now; try again when that is done")
        async with self._turn:
            async for one in self._follow(pool_id):
                yield one

    async def _follow(self, pool_id: str) -> AsyncGenerator[Followed, None]:
        self._lead()
        topology = await self._place(pool_id)
        finished = ""
        begun = await self._begun(pool_id)
        if begun is not None and not await self._take_back(pool_id, begun):
            await self._carry_out(pool_id, begun)
            if _is_there(begun.new, topology):
                finished = begun.name
                yield self._followed(begun.new, "moved")
        for found in await self._volumes(pool_id):
            if found["metadata"]["name"] == finished:
                continue
            if _is_there(found, topology):
                yield self._followed(found, "there")
                continue
            try:
                await self._move(pool_id, found, topology)
            except (errors.FailedPrecondition, errors.Busy) as error:
                yield self._followed(found, "refused", error.message)
            else:
                yield self._followed(found, "moved")

    async def _place(self, pool_id: str) -> Mapping[str, str]:
        """The topology of the one node that has the pool. FailedPrecondition, Unavailable or NotFound otherwise."""
        roster = self._fleet.roster
        await roster.look_again()
        shown = [(member, view) for member, view in views.pools(roster) if view.id == pool_id]
        living = [(member, view) for member, view in shown if member.alive]
        if len(living) > 1:
            names = ", ".join(member.name for member, _ in living)
            raise errors.FailedPrecondition(f"pool {pool_id} is on several nodes: {names}; take it out of all but one")
        if not shown:
            raise errors.NotFound(f"pool {pool_id} is on no node")
        if not living:
            raise errors.Unavailable(f"pool {pool_id} is where it was, on {shown[0][0].name}: {shown[0][0].problem}")
        member, view = living[0]
        if not view.reachable:
            why = "; ".join(one.message for one in view.ailments) or "it is not open"
            raise errors.FailedPrecondition(f"pool {pool_id} is on node {member.name}, but not in use there: {why}")
        if not view.topology:
            raise errors.FailedPrecondition(
                f"pool {pool_id} can be reached from every node; there is nothing to follow"
            )
        return view.topology

    async def _volumes(self, pool_id: str) -> list[Object]:
        return [one async for one in self._api.items(PATH) if self._is_in(one, pool_id)]

    def _is_in(self, found: Object, pool_id: str) -> bool:
        kept = volume(found, self._driver_name)
        return kept is not None and kept.pool_id == pool_id

    # -- the steps -----------------------------------------------------------------------------------------------------

    async def _move(self, pool_id: str, found: Object, topology: Mapping[str, str]) -> None:
        name = str(found["metadata"]["name"])
        if found["metadata"].get("deletionTimestamp"):
            raise errors.FailedPrecondition(f"PersistentVolume {name} is being deleted already; let that end first")
        await check_unused(self._api, name, found["spec"].get("claimRef") or {})
        plan = _plan(found, topology)
        text = msgspec.json.encode(plan).decode()
        first = await self._state.claim(f"{KEY}{pool_id}", text)
        if first != text:
            raise errors.Busy(f"PersistentVolume {name}: another controller follows this pool just now; try again")
        await self._carry_out(pool_id, plan)

    async def _begun(self, pool_id: str) -> Plan | None:
        """What was begun and not finished."""
        text = await self._state.noted(f"{KEY}{pool_id}")
        if not text:
            return None
        try:
            return msgspec.json.decode(text, type=Plan)
        except msgspec.MsgspecError as error:
            raise errors.DataDamaged(f"the state ConfigMap's key {KEY}{pool_id} cannot be read: {error}") from None

    async def _take_back(self, pool_id: str, plan: Plan) -> bool:
        """What was begun is undone, if the old object is still there to stay: since then somebody may have used it."""
        there = await self._read(plan.name)
        if there is None or there["metadata"]["uid"] != plan.old_uid or there["metadata"].get("deletionTimestamp"):
            return False
        if there["spec"]["persistentVolumeReclaimPolicy"] != plan.policy:
            await self._set_policy(there, plan.policy)
        await self._release(pool_id, plan)
        return True

    async def _carry_out(self, pool_id: str, plan: Plan) -> None:
        there = await self._read(plan.name)
        if there is not None and there["metadata"]["uid"] == plan.old_uid:
            await self._remove(plan, there)
            there = None
        if there is None:
            there = await self._make(plan)
        if there["spec"].get("csi", {}).get("volumeHandle") != plan.new["spec"]["csi"]["volumeHandle"]:
            raise errors.FailedPrecondition(
                f"PersistentVolume {plan.name} is another volume's meanwhile; the object that was to be there is in the "
                f"state ConfigMap, key {KEY}{pool_id}"
            )
        if there["spec"]["persistentVolumeReclaimPolicy"] != plan.policy:
            await self._set_policy(there, plan.policy)
        await self._release(pool_id, plan)
        log.info("persistent volume follows its pool", persistent_volume=plan.name, pool=pool_id)

    async def _release(self, pool_id: str, plan: Plan) -> None:
        await self._state.release(f"{KEY}{pool_id}", msgspec.json.encode(plan).decode())

    async def _remove(self, plan: Plan, there: Object) -> None:
        """There is no object with that uid any more."""
        if there["spec"]["persistentVolumeReclaimPolicy"] != "Retain":
            there = await self._set_policy(there, "Retain")
        path = f"{PATH}/{plan.name}"
        same = {"uid": plan.old_uid}
        looked_at = {**same, "resourceVersion": there["metadata"]["resourceVersion"]}
        try:
            if not there["metadata"].get("deletionTimestamp"):
                self._lead()
                options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": looked_at}
                await self._api.request("DELETE", path, options)
            # They are there to keep the object while a claim is bound to it, and until its volume is deleted.
            await self._api.request("PATCH", path, {"metadata": {**same, "finalizers": None}})
        except errors.NotFound:
            return
        except Conflict:
            left = await self._read(plan.name)
            if left is not None and left["metadata"]["uid"] == plan.old_uid:
                raise

    async def _make(self, plan: Plan) -> Object:
        """The new object, made now or by an earlier try."""
        try:
            return await self._api.request("POST", PATH, plan.new)
        except Conflict:
            there = await self._read(plan.name)
            if there is None or there["metadata"]["uid"] == plan.old_uid:
                raise
            return there

    async def _set_policy(self, there: Object, policy: str) -> Object:
        metadata = {"uid": there["metadata"]["uid"]}
        path = f"{PATH}/{there['metadata']['name']}"
        body = {"metadata": metadata, "spec": {"persistentVolumeReclaimPolicy": policy}}
        return await self._api.request("PATCH", path, body)

    async def _read(self, name: str) -> Object | None:
        try:
            return await self._api.request("GET", f"{PATH}/{name}")
        except errors.NotFound:
            return None

    def _followed(self, found: Object, outcome: Any, message: str = "") -> Followed:
        claim = found["spec"].get("claimRef") or {}
        return Followed(
            str(found["metadata"]["name"]),
            f"{claim['namespace']}/{claim['name']}" if claim else "",
            str(found["spec"]["csi"]["volumeHandle"]),
            outcome,
            message,
        )


def _plan(found: Object, topology: Mapping[str, str]) -> Plan:
    """The object with all it says, but for the node, and Retain until it is there."""
    metadata = {key: value for key, value in found["metadata"].items() if key not in _OF_THE_OLD_ONE}
    spec = copy.deepcopy(found["spec"])
    policy = str(spec["persistentVolumeReclaimPolicy"])
    spec["persistentVolumeReclaimPolicy"] = "Retain"
    spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [_term(topology)]}}
    # The version of the claim that it was bound at says nothing of the new object.
    if "claimRef" in spec:
        spec["claimRef"].pop("resourceVersion", None)
    new = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}
    return Plan(str(found["metadata"]["uid"]), policy, new)


def _term(topology: Mapping[str, str]) -> Object:
    return {"matchExpressions": [{"key": key, "operator": "In", "values": [topology[key]]} for key in sorted(topology)]}


def _is_there(found: Object, topology: Mapping[str, str]) -> bool:
    """Whether it can be used on a node of that topology."""
    terms = ((found["spec"].get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms")
    if terms is None:
        return True
    return any(
        all(
            one["operator"] == "In" and topology.get(one["key"]) in one["values"]
            for one in term.get("matchExpressions") or []
        )
        for term in terms
    )

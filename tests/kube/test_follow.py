"""PersistentVolumes of a pool that moved, made anew in a real API server; ended between any two requests, and repeated."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from driver.fleet.fleet import Fleet
from driver.fleet.following import Followed
from driver.kube.api import Api, Object
from driver.kube.follow import KEY, Follow
from driver.kube.state import State
from driver.model import errors, ids
from tests.unit.fleet.conftest import Store, running

VOLUMES = "/api/v1/persistentvolumes"
MAP = "holdall-state"
FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"
NUMBERS = itertools.count(1)


class Killed(Exception):
    """The controller was."""


class Mortal(Api):
    """Is killed before the request after the next ``left`` ones, and before any whose method it ``spares``."""

    left = 10_000
    spares = ""

    async def request(
        self, method: str, path: str, body: Object | None = None, query: Mapping[str, str] | None = None
    ) -> Object:
        if not self.left or method == self.spares:
            raise Killed
        self.left -= 1
        return await super().request(method, path, body, query)


class World:
    """Nodes a and b, whose topology key is the driver's default; a's pool holds the volume of a bound claim."""

    def __init__(self, api: Api, fleet: Fleet[Store], nodes: tuple[Store, Store], namespace: str) -> None:
        self.api, self.fleet, self.namespace = api, fleet, namespace
        self.a, self.b = nodes
        self.pool_id = next(iter(self.a.pools))
        self.leading = True

    def follow(self, api: Api | None = None) -> Follow[Store]:
        """As a controller that was just started does."""
        api = api or self.api
        state = State(api, self.namespace, MAP, "holdall.csi.dev")
        return Follow(api, "holdall.csi.dev", self.fleet, state, self._lead)

    def _lead(self) -> None:
        if not self.leading:
            raise errors.FailedPrecondition("another leads")

    async def followed(self, api: Api | None = None) -> list[Followed]:
        return [one async for one in self.follow(api).follow(self.pool_id)]

    async def move(self) -> None:
        """The pool is on b from now on."""
        self.b.pools[self.pool_id] = self.a.pools.pop(self.pool_id)
        await self.fleet.roster.look_again()

    async def make(self, name: str, policy: str = "Delete") -> Object:
        """A claim, and its PersistentVolume as csi-provisioner and the binder make it."""
        claims = f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims"
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "holdall",
            "volumeName": self.pv(name),
        }
        claim = await self.api.request("POST", claims, {"metadata": {"name": name}, "spec": spec})
        metadata = claim["metadata"]
        body = {
            "metadata": {
                "name": self.pv(name),
                "annotations": {"pv.kubernetes.io/provisioned-by": "holdall.csi.dev"},
                "finalizers": [FINALIZER],
            },
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": policy,
                "storageClassName": "holdall",
                "csi": {
                    "driver": "holdall.csi.dev",
                    "volumeHandle": ids.derive(self.pool_id, "v", name),
                    "fsType": "ext4",
                    "volumeAttributes": {"pool": "fast"},
                },
                "claimRef": {
                    "kind": "PersistentVolumeClaim",
                    "apiVersion": "v1",
                    "namespace": self.namespace,
                    "name": name,
                    "uid": metadata["uid"],
                    "resourceVersion": metadata["resourceVersion"],
                },
                "nodeAffinity": {
                    "required": {
                        "nodeSelectorTerms": [
                            {
                                "matchExpressions": [
                                    {
                                        "key": "holdall.csi.dev/node",
                                        "operator": "In",
                                        "values": [f"id-of-{self.a.name}"],
                                    }
                                ]
                            }
                        ]
                    }
                },
            },
        }
        return await self.api.request("POST", VOLUMES, body)

    def pv(self, name: str) -> str:
        return f"pvc-{name}-{self.namespace}"

    async def read(self, name: str) -> Object | None:
        with contextlib.suppress(errors.NotFound):
            return await self.api.request("GET", f"{VOLUMES}/{self.pv(name)}")
        return None

    async def note(self) -> str:
        return await State(self.api, self.namespace, MAP, "holdall.csi.dev").noted(f"{KEY}{self.pool_id}")

    async def pod(self, name: str, claim: str, node: str = "") -> None:
        spec: Object = {
            "containers": [{"name": "c", "image": "none"}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
        }
        if node:
            spec["nodeName"] = node
        await self.api.request(
            "POST", f"/api/v1/namespaces/{self.namespace}/pods", {"metadata": {"name": name}, "spec": spec}
        )


@pytest.fixture
async def world(api: Api, namespace: str, tmp_path: Path) -> AsyncIterator[World]:
    number = next(NUMBERS)
    nodes = Store(f"a{number}", f"p{number:08x}feed"), Store(f"b{number}")
    async with running(tmp_path, *nodes) as fleet:
        yield World(api, fleet, nodes, namespace)


def values(found: Object) -> list[str]:
    (term,) = found["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    (only,) = term["matchExpressions"]
    wanted: list[str] = only["values"]
    return wanted


def check_moved(world: World, before: Object, after: Object | None) -> None:
    """The same volume for the same claim, on the other node, and as removable as it was."""
    assert after is not None
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert "deletionTimestamp" not in after["metadata"]
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
    assert set(after["metadata"]["finalizers"]) == set(before["metadata"]["finalizers"])
    assert values(after) == [f"id-of-{world.b.name}"]
    same = ("csi", "capacity", "accessModes", "persistentVolumeReclaimPolicy", "storageClassName", "volumeMode")
    assert {key: after["spec"][key] for key in same} == {key: before["spec"][key] for key in same}
    assert after["spec"]["claimRef"]["uid"] == before["spec"]["claimRef"]["uid"]


async def test_a_volume_follows_its_pool(world: World) -> None:
    """Issue: recreates its PersistentVolumes for the new node: Retain, same volumeHandle and claimRef."""
    before = await world.make("letters")
    await world.move()
    (done,) = await world.followed()
    assert (done.outcome, done.claim, done.persistent_volume) == (
        "moved", f"{world.namespace}/letters", world.pv("letters"),
    )  # fmt: skip
    check_moved(world, before, await world.read("letters"))
    assert await world.note() == ""


async def test_what_is_there_already_stays(world: World) -> None:
    """Repeating it changes nothing; nor does following a pool that did not move."""
    before = await world.make("letters")
    assert [one.outcome for one in await world.followed()] == ["there"]
    assert await world.read("letters") == before
    await world.move()
    await world.followed()
    moved = await world.read("letters")
    assert [one.outcome for one in await world.followed()] == ["there"]
    assert await world.read("letters") == moved


async def test_ended_between_any_two_requests_it_is_finished_by_repeating_it(world: World) -> None:
    """Each crash leaves the object or a note to make it from, never a policy that would have the volume deleted."""
    await world.move()
    for left in itertools.count():
        name = f"v{left}"
        world.a.pools[world.pool_id] = world.b.pools.pop(world.pool_id)
        before = await world.make(name)
        await world.move()
        mortal = Mortal(world.api.client)
        mortal.left = left
        try:
            await world.followed(mortal)
        except Killed:
            found = await world.read(name)
            assert found is not None or world.pv(name) in await world.note()
            if found is not None and "deletionTimestamp" in found["metadata"]:
                assert found["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
        else:
            break
        outcomes = {one.persistent_volume: one.outcome for one in await world.followed()}
        assert outcomes[world.pv(name)] in ("moved", "there")
        check_moved(world, before, await world.read(name))
        assert await world.note() == ""
    assert left >= 14


async def test_a_volume_in_use_is_refused_by_name(world: World) -> None:
    """A pod on a node, or an attachment; the others follow all the same."""
    before = {name: await world.make(name) for name in ("attached", "free", "used")}
    await world.pod("reader", "used", node="some-node")
    attachment = {
        "metadata": {"name": f"csi-{world.namespace}"},
        "spec": {
            "attacher": "holdall.csi.dev",
            "nodeName": "some-node",
            "source": {"persistentVolumeName": world.pv("attached")},
        },
    }
    await world.api.request("POST", "/apis/storage.k8s.io/v1/volumeattachments", attachment)
    await world.move()
    done = {one.persistent_volume: one for one in await world.followed()}
    assert {name: done[world.pv(name)].outcome for name in before} == {
        "attached": "refused", "free": "moved", "used": "refused",
    }  # fmt: skip
    assert f"pod {world.namespace}/reader on node some-node" in done[world.pv("used")].message
    assert f"VolumeAttachment csi-{world.namespace}" in done[world.pv("attached")].message
    assert await world.read("used") == before["used"]
    assert await world.read("attached") == before["attached"]


async def test_a_pod_that_waits_for_a_node_is_no_user(world: World) -> None:
    """It waits for this: nothing else brings it to a node."""
    await world.make("letters")
    await world.pod("waiting", "letters")
    await world.move()
    assert [one.outcome for one in await world.followed()] == ["moved"]


async def test_what_was_begun_is_taken_back_when_a_pod_uses_it_meanwhile(world: World) -> None:
    """Noted, and Retain; then the pool went back for a while, and a pod with it."""
    before = await world.make("letters")
    await world.move()
    mortal = Mortal(world.api.client)
    mortal.spares = "DELETE"
    with pytest.raises(Killed):
        await world.followed(mortal)
    retained = await world.read("letters")
    assert retained is not None
    assert retained["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    await world.pod("reader", "letters", node="some-node")
    assert [one.outcome for one in await world.followed()] == ["refused"]
    after = await world.read("letters")
    assert after is not None
    assert after["spec"] == before["spec"]
    assert await world.note() == ""


async def test_a_volume_that_is_being_deleted_is_left_to_that(world: World) -> None:
    """Made anew, it would not be deleted any more."""
    await world.make("letters")
    await world.api.request("DELETE", f"{VOLUMES}/{world.pv('letters')}")
    await world.move()
    (done,) = await world.followed()
    assert (done.outcome, "being deleted" in done.message) == ("refused", True)


async def test_it_is_refused_where_it_is_not_certain_where_the_pool_is(world: World) -> None:
    """On two nodes, on one that does not answer, on none."""
    before = await world.make("letters")
    world.b.pools[world.pool_id] = set()
    with pytest.raises(errors.FailedPrecondition, match="on several nodes"):
        await world.followed()
    world.b.pools.clear()
    await world.fleet.roster.look_again()
    await world.fleet.roster.look_again()
    world.a.lost = True
    with pytest.raises(errors.Unavailable, match=f"on {world.a.name}"):
        await world.followed()
    world.a.lost = False
    world.a.pools.clear()
    with pytest.raises(errors.NotFound, match="on no node"):
        await world.followed()
    assert await world.read("letters") == before


async def test_only_the_leader_follows(world: World) -> None:
    """And one at a time: of two at once, each would undo what the other has begun."""
    before = await world.make("letters")
    await world.move()
    world.leading = False
    with pytest.raises(errors.FailedPrecondition, match="another leads"):
        await world.followed()
    assert await world.read("letters") == before
    world.leading = True
    follow = world.follow()
    first = follow.follow(world.pool_id)
    begun = asyncio.ensure_future(anext(first))
    await asyncio.sleep(0)
    with pytest.raises(errors.Busy):
        await anext(follow.follow(world.pool_id))
    assert (await begun).outcome == "moved"
    await first.aclose()

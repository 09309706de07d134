"""Pool objects and events, written to a real API server from a fleet in memory."""

import asyncio
import json
import ssl
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from driver.fleet.fleet import Fleet
from driver.fleet.nodes import Description, Listed, Listing, NodePage
from driver.kube import pools
from driver.kube.api import Api, Object
from driver.kube.leader import Leader
from driver.model import errors, ids
from driver.model.health import Ailment, Status
from tests.e2e.cluster.control_plane import ApiServer
from tests.unit.fleet.conftest import GIB, Store, running

from .objects import define, until

NAMES = iter(range(1, 1000))


class Clock:
    """Seconds, as a test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Node(Store):
    """One pool, whose room, health and volumes' health are as a test says."""

    def __init__(self, name: str, pool_id: str) -> None:
        super().__init__(name, pool_id)
        self.available = 8 * GIB
        self.ailments: tuple[Ailment, ...] = ()
        self.ailing: dict[str, list[Ailment]] = {}

    async def describe(self) -> Description:
        found = await super().describe()
        views = tuple(
            msgspec.structs.replace(
                one, name="fast", total=10 * GIB, available=self.available, volumes=2, ailments=self.ailments
            )
            for one in found.pools
        )
        return msgspec.structs.replace(found, pools=views)

    async def page(self, listing: Listing, token: str, limit: int) -> NodePage:
        if listing != "health":
            return await super().page(listing, token, limit)
        self._answer()
        return NodePage([_entry(one, found) for one, found in sorted(self.ailing.items())], "")


def _entry(volume_id: str, found: list[Ailment]) -> Listed:
    return Listed(volume_id, msgspec.json.encode(found))


class World:
    """Nodes a and b with a pool each, and a leader that looks when a test says so."""

    def __init__(self, api: Api, fleet: Fleet[Store], driver: str, nodes: tuple[Node, Node]) -> None:
        self.api, self.fleet, self.driver = api, fleet, driver
        self.a, self.b = nodes
        self.pa, self.pb = (next(iter(node.pools)) for node in nodes)
        self.clock = Clock()
        self.leader = Leader(api, driver, fleet, lambda raw: msgspec.json.decode(raw, type=list[Ailment]), self.clock)

    async def look(self, *, after: float = 15.0) -> None:
        """A round of the leader, so many seconds later."""
        self.clock.now += after
        await self.fleet.roster.look_again()
        await self.leader.round()

    async def shown(self, pool_id: str) -> Object:
        return await self.api.request("GET", f"{pools.PATH}/{pool_id}")

    async def version(self, pool_id: str) -> str:
        return str((await self.shown(pool_id))["metadata"]["resourceVersion"])

    async def events(self, namespace: str, name: str) -> list[tuple[str, str]]:
        """Reasons and messages, in order of time."""
        query = {"fieldSelector": f"involvedObject.name={name}"}
        found = await self.api.request("GET", f"/api/v1/namespaces/{namespace}/events", query=query)
        items = sorted(found["items"], key=lambda one: int(one["metadata"]["resourceVersion"]))
        return [(one["reason"], one["message"]) for one in items if one["source"]["component"] == self.driver]

    async def told(self, namespace: str, name: str, count: int) -> list[tuple[str, str]]:
        async with asyncio.timeout(10):
            while len(found := await self.events(namespace, name)) < count:
                await asyncio.sleep(0.02)
        return found


@pytest.fixture
async def world(api: Api, tmp_path: Path) -> AsyncIterator[World]:
    await define(api, "pools")
    number = next(NAMES)
    nodes = Node(f"a{number}", f"p{number:010x}aa"), Node(f"b{number}", f"p{number:010x}bb")
    async with running(tmp_path, *nodes) as fleet:
        made = World(api, fleet, f"driver{number}.test", nodes)
        leader = made.leader
        works = leader._pools.watched.run(), leader._volumes.run(), leader._events.run()
        tasks = [asyncio.ensure_future(one) for one in works]
        await made.leader._pools.watched.synced.wait()
        await made.leader._volumes.synced.wait()
        yield made
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_every_pool_has_an_object_that_says_how_it_is(world: World) -> None:
    """Where it is in the spec, how it is in the status."""
    await world.look()
    found = await world.shown(world.pa)
    assert found["spec"] == {"poolName": "fast", "node": world.a.name, "backend": "image", "deviceClass": "ssd"}
    status = found["status"]
    assert (status["total"], status["available"], status["volumes"], status["health"]) == ("10Gi", "8Gi", 2, "Healthy")
    assert status["reachable"] is True
    assert (await world.shown(world.pb))["spec"]["node"] == world.b.name


async def test_kubectl_shows_them_in_columns(world: World, api_server: ApiServer) -> None:
    """What the API server gives kubectl to print (Accept: as=Table)."""
    await world.look()
    request = urllib.request.Request(
        f"{api_server.url}{pools.PATH}/{world.pa}",
        headers={
            "Authorization": f"Bearer {api_server.token}",
            "Accept": "application/json;as=Table;v=v1;g=meta.k8s.io",
        },
    )
    context = ssl.create_default_context(cafile=str(api_server.ca_file))
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(request, context=context).read())
    table = json.loads(text)
    names = [one["name"] for one in table["columnDefinitions"] if not one["priority"]]
    assert names == ["Name", "Node", "Pool", "Backend", "Class", "Available", "Total", "Volumes", "Health", "Age"]
    assert table["rows"][0]["cells"][1:9] == [world.a.name, "fast", "image", "ssd", "8Gi", "10Gi", 2, "Healthy"]


async def test_an_idle_cluster_writes_nothing(world: World) -> None:
    """Nor does one whose pools' room changes by less than a thousandth."""
    await world.look()
    before, other = await world.version(world.pa), await world.version(world.pb)
    world.a.available -= 1 << 20
    await world.look()
    first = await world.version(world.pa)
    world.a.available -= 1 << 10
    for _ in range(3):
        await world.look()
    assert await world.version(world.pa) == first
    assert await world.version(world.pb) == other
    assert before != first


async def test_a_pool_is_written_at_most_every_ten_seconds(world: World) -> None:
    """What changes faster is shown as it is then."""
    await world.look()
    before = await world.version(world.pa)
    world.a.available = 4 * GIB
    await world.look(after=5.0)
    assert await world.version(world.pa) == before
    await world.look(after=6.0)
    assert (await world.shown(world.pa))["status"]["available"] == "4Gi"


async def test_a_lost_node_s_pool_is_inaccessible_with_the_reason(world: World) -> None:
    """Once it is lost for longer than an upgrade takes; what it said last stays, and since when is said."""
    await world.look()
    world.b.lost = True
    await world.look()
    assert (await world.shown(world.pb))["status"]["health"] == "Healthy"
    await world.look(after=31.0)
    status = (await world.shown(world.pb))["status"]
    assert (status["health"], status["reachable"], status["available"], status["total"]) == (
        "Inaccessible", False, "0", "10Gi",
    )  # fmt: skip
    assert status["ailments"][0]["reason"] == "NodeLost"
    assert world.b.name in status["ailments"][0]["message"]
    assert status["lastHeard"].endswith("Z")
    version = await world.version(world.pb)
    await world.look()
    assert await world.version(world.pb) == version
    world.b.lost = False
    await world.look()
    assert "lastHeard" not in (await world.shown(world.pb))["status"]


async def test_a_pool_that_moved_is_shown_where_it_is(world: World) -> None:
    """The same object, with another node."""
    await world.look()
    world.b.pools.clear()
    world.a.pools[world.pb] = set()
    await world.look()
    assert (await world.shown(world.pb))["spec"]["node"] == world.a.name


async def test_an_object_goes_with_its_pool(world: World) -> None:
    """Taken out of its node, or forgotten; a pool that is only lost keeps its own."""
    await world.look()
    world.a.pools.clear()
    world.b.lost = True
    await world.look()
    with pytest.raises(errors.NotFound):
        await world.shown(world.pa)
    assert await world.shown(world.pb)
    await world.fleet.forgetting.forget(world.pb)
    await world.look()
    with pytest.raises(errors.NotFound):
        await world.shown(world.pb)


async def test_at_most_twenty_ailing_volumes_are_named(world: World) -> None:
    """The rest are counted: an object must stay small."""
    ill = [Ailment(Status.DATA_LOSS, "FileShorter", "the file of the volume is shorter than the volume")]
    world.a.ailing = {ids.derive(world.pa, "v", f"v{number}"): ill for number in range(25)}
    await world.look()
    status = (await world.shown(world.pa))["status"]
    assert (status["unhealthyVolumes"], len(status["ailingVolumes"])) == (25, 20)
    assert status["ailingVolumes"][0]["reason"] == "FileShorter"
    version = await world.version(world.pa)
    await world.look()
    assert await world.version(world.pa) == version


async def test_a_pool_degraded_and_back_is_told_once_each(world: World) -> None:
    """With the cause, and where to look."""
    await world.look()
    world.a.ailments = (Ailment(Status.DEGRADED, "NoSpace", "the store is full"),)
    await world.look()
    await world.look()
    world.a.ailments = ()
    await world.look()
    (first, second) = await world.told("default", world.pa, 2)
    assert first[0] == "PoolDegraded"
    assert "the store is full. `holdall doctor`" in first[1]
    assert second[0] == "PoolHealthy"


async def test_a_lost_node_is_told_once_and_when_it_is_back(world: World) -> None:
    """On the Node; nothing is said of one that was only upgraded."""
    await world.look()
    world.a.lost = world.b.lost = True
    await world.look()
    world.a.lost = False
    await world.look(after=31.0)
    await world.look()
    world.b.lost = False
    await world.look()
    (lost, back) = await world.told("default", world.b.name, 2)
    assert (lost[0], back[0]) == ("HoldallNodeLost", "HoldallNodeBack")
    assert "holdall pool forget" in lost[1]
    assert await world.events("default", world.a.name) == []


async def make_volume(api: Api, driver: str, name: str, handle: str, namespace: str) -> None:
    """A PersistentVolume as the provisioner makes it."""
    claim = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "name": "letters", "uid": f"u-{name}"}
    body = {
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": driver, "volumeHandle": handle},
            "claimRef": {**claim, "namespace": namespace},
        },
    }
    await api.request("POST", "/api/v1/persistentvolumes", body)


async def test_a_volume_s_claim_is_told_that_it_is_unhealthy_and_healthy_again(world: World, namespace: str) -> None:
    """The user's object is the claim: cause and cure are said there; other drivers' volumes are none of ours."""
    handle = ids.derive(world.pa, "v", "letters")
    await make_volume(world.api, world.driver, f"pv-{namespace}", handle, namespace)
    await make_volume(world.api, "another.driver", f"other-{namespace}", handle, namespace)
    await until(lambda: f"other-{namespace}" in world.leader._volumes.objects)
    world.a.ailing = {handle: [Ailment(Status.DATA_LOSS, "FileShorter", "the file is shorter than the volume")]}
    await world.look()
    world.a.ailing = {}
    await world.look(after=61.0)
    (ill, well) = await world.told(namespace, "letters", 2)
    assert ill[0] == "VolumeDataLoss"
    assert f"the file is shorter than the volume. `holdall volume show {handle}`" in ill[1]
    assert well[0] == "VolumeHealthy"


async def test_a_claim_on_a_lost_node_is_told(world: World, namespace: str) -> None:
    """And how its pool can follow the disk."""
    handle = ids.derive(world.pb, "v", "letters")
    await make_volume(world.api, world.driver, f"pv-{namespace}", handle, namespace)
    await until(lambda: f"pv-{namespace}" in world.leader._volumes.objects)
    await world.look()
    world.b.lost = True
    await world.look()
    await world.look(after=31.0)
    await world.look()
    world.b.lost = False
    await world.look()
    (ill, well) = await world.told(namespace, "letters", 2)
    assert (ill[0], well[0]) == ("VolumeInaccessible", "VolumeHealthy")
    assert f"holdall pool follow {world.pb}" in ill[1]

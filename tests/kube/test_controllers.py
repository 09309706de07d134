"""Two controllers of one cluster, over real nodes: what one does the other knows; an API server that is away; a restart."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from csi.v1 import csi_pb2 as csi
from driver.cli.cluster import Cluster
from driver.kube.api import Api, connect
from driver.kube.placement import PATH
from driver.model.config import Config, KubernetesConfig
from driver.rpc.client import Client
from driver.rpc.routed.peer import Peer
from tests.daemon import Daemon
from tests.e2e.cluster.control_plane import ApiServer
from tests.wire.fleets import KEY, MIB, capability

from .objects import define, make_node, make_pod, remove_pod, until

Code = grpc.StatusCode


class World:
    """Nodes that are processes, and their pods and Nodes in an API server that may be stopped."""

    def __init__(self, server: ApiServer, api: Api, directory: Path) -> None:
        self.server = server
        self.api = api
        self.directory = directory
        self.nodes: dict[str, Daemon] = {}
        self.controllers: list[Cluster] = []

    async def node(self, name: str) -> None:
        home = self.directory / name
        pool = home / "pool"
        pool.mkdir(parents=True)
        self.nodes[name] = Daemon(
            home,
            role="node",
            node_id=name,
            config=f'[[pool]]\nname = "{name}"\nbackend = "directory"\npath = "{pool}"\n',
            options=("--controller-endpoint", f"unix://{home}/controller.sock"),
        )
        await asyncio.to_thread(self.nodes[name].start)
        await make_node(self.api, name)
        await make_pod(self.api, "default", f"pod-{name}", name, "127.0.0.1")

    async def controller(self, name: str) -> Client:
        """One more serves; a client of it."""
        home = self.directory / name
        home.mkdir(exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = KubernetesConfig(
            "default", enrolment_address=f"127.0.0.1:{port}", kubeconfig=str(self.server.kubeconfig)
        )
        config = Config(state_dir=str(home), endpoint=f"unix://{home}/csi.sock", node_id=name, kubernetes=settings)
        made = Cluster(
            config, settings, lambda node, _at: Peer(node, f"unix://{self.directory}/{node}/controller.sock")
        )
        self.controllers.append(made)
        await asyncio.wait_for(made.start(), 60)
        return Client(config.endpoint, name)

    async def end(self) -> None:
        for controller in self.controllers:
            await controller.stop()
        for node in self.nodes.values():
            node.kill()


@pytest.fixture
async def world(socket_path: Path, tmp_path: Path) -> AsyncIterator[World]:
    server = ApiServer(tmp_path / "api")
    await asyncio.to_thread(server.start)
    api = await connect(str(server.kubeconfig))
    await define(api, "placements")
    made = World(server, api, socket_path)
    try:
        yield made
    finally:
        await made.end()
        await api.close()
        await asyncio.to_thread(server.stop)


def wanted(name: str, on: str = "") -> csi.CreateVolumeRequest:
    request = csi.CreateVolumeRequest(
        name=name, volume_capabilities=[capability()], capacity_range=csi.CapacityRange(required_bytes=MIB)
    )
    if on:
        request.accessibility_requirements.requisite.append(csi.Topology(segments={KEY: on}))
    return request


async def listed(client: Client) -> list[str]:
    answer = await client.controller.ListVolumes(csi.ListVolumesRequest(), timeout=30)
    return [entry.volume.volume_id for entry in answer.entries]


async def notes(world: World) -> dict[str, str]:
    found = await world.api.request("GET", PATH)
    return {one["metadata"]["name"]: one["spec"]["node"] for one in found["items"]}


async def refused(call: grpc.aio.UnaryUnaryCall) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code(), error.value.details() or ""


async def test_two_controllers_are_one_driver(world: World) -> None:
    """The same name to both at once is one volume; either deletes what the other made; a note per name that exists."""
    for name in ("na", "nb"):
        await world.node(name)
    x, y = await world.controller("x"), await world.controller("y")
    names = [f"pvc-{number}" for number in range(6)]
    made = await asyncio.gather(
        *(client.controller.CreateVolume(wanted(name), timeout=60) for name in names for client in (x, y))
    )
    ids = {one.volume.volume_id for one in made}
    assert len(ids) == len(names) == len(await notes(world))
    assert await listed(x) == await listed(y) == sorted(ids)
    for volume_id in ids:
        await x.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=volume_id), timeout=30)
    assert await listed(y) == []
    for client in (x, y):
        await client.close()


async def test_the_api_may_be_away(world: World) -> None:
    """Issue: calls by id keep working, a create that needs a claim is UNAVAILABLE, and all converges."""
    await world.node("na")
    x = await world.controller("x")
    kept = (await x.controller.CreateVolume(wanted("kept"), timeout=60)).volume
    gone = (await x.controller.CreateVolume(wanted("gone"), timeout=60)).volume
    await asyncio.to_thread(world.server.stop)
    await x.controller.ControllerGetVolume(csi.ControllerGetVolumeRequest(volume_id=kept.volume_id), timeout=30)
    await x.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=gone.volume_id), timeout=30)
    assert await listed(x) == [kept.volume_id]
    code, words = await refused(x.controller.CreateVolume(wanted("new"), timeout=60))
    assert (code, "Kubernetes API" in words) == (Code.UNAVAILABLE, True)
    await asyncio.to_thread(world.server.start)
    assert (await x.controller.CreateVolume(wanted("new"), timeout=60)).volume.volume_id
    assert (await x.controller.CreateVolume(wanted("kept"), timeout=60)).volume == kept
    await x.close()


async def test_a_lost_nodes_volumes_are_never_left_out_in_silence(world: World) -> None:
    """Listed from memory by who heard it; by a new controller not at all, and the answer names the node. By id, its name."""
    for name in ("na", "nb"):
        await world.node(name)
    x = await world.controller("x")
    volumes = [
        (await x.controller.CreateVolume(wanted(f"on-{name}", name), timeout=60)).volume for name in ("na", "nb")
    ]
    world.nodes["na"].kill()
    await remove_pod(world.api, "default", "pod-na")
    await world.api.request("DELETE", "/api/v1/nodes/na")
    on_na = csi.ControllerGetVolumeRequest(volume_id=volumes[0].volume_id)

    async def is_lost() -> bool:
        return "is not in the cluster any more" in (await refused(x.controller.ControllerGetVolume(on_na)))[1]

    async with asyncio.timeout(20):
        while not await is_lost():
            await asyncio.sleep(0.1)
    assert await listed(x) == sorted(one.volume_id for one in volumes)

    y = await world.controller("y")
    code, words = await refused(y.controller.ListVolumes(csi.ListVolumesRequest(), timeout=30))
    assert (code, "node na" in words) == (Code.UNAVAILABLE, True)
    code, words = await refused(y.controller.ControllerGetVolume(on_na))
    assert (code, "node na" in words) == (Code.UNAVAILABLE, True)
    # Others are not blocked, and the name that is there stays there.
    on_nb = csi.ControllerGetVolumeRequest(volume_id=volumes[1].volume_id)
    await y.controller.ControllerGetVolume(on_nb, timeout=10)
    code, words = await refused(y.controller.CreateVolume(wanted("on-na", "na"), timeout=60))
    assert (code, "node na" in words) == (Code.UNAVAILABLE, True)
    assert (await refused(y.controller.CreateVolume(wanted("new", "na"), timeout=60)))[0] is Code.RESOURCE_EXHAUSTED

    # It is back, with another pod.
    await asyncio.to_thread(world.nodes["na"].start)
    await make_node(world.api, "na")
    await make_pod(world.api, "default", "pod-na-2", "na", "127.0.0.2")
    fleet = world.controllers[1]._fleet
    assert fleet is not None
    await until(lambda: all(member.alive for member in fleet.roster.all()))
    assert await listed(y) == sorted(one.volume_id for one in volumes)
    for client in (x, y):
        await client.close()

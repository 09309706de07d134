"""``holdall node`` as a process, its controller port on TCP: the rest of it waits for no controller."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from csi.holdall.v1 import holdall_pb2 as pb
from csi.v1 import csi_pb2 as csi
from driver.model import errors
from driver.rpc.client import Client
from driver.rpc.routed.peer import Peer
from driver.rpc.tls import Bundle
from tests.certificates import CONTROLLER, Authority, expected_node
from tests.daemon import Daemon, Stubs

from .fleets import MIB, capability
from .test_enrolment import TOKEN, World

Port = Callable[[], int]


@pytest.fixture
def world(tmp_path: Path, free_port: Port) -> World:
    return World(tmp_path, free_port(), 3600.0)


@pytest.fixture
def remote_port(free_port: Port) -> int:
    return free_port()


@pytest.fixture
def node(world: World, remote_port: int, socket_path: Path) -> Iterator[Daemon]:
    """Node a with one pool; nobody to enrol with yet."""
    (socket_path / "pool").mkdir()
    config = (
        f'controller_endpoint = "tcp://127.0.0.1:{remote_port}"\nlog_level = "debug"\n'
        f'[enrolment]\ncontroller = "{world.settings.controller}"\n'
        f'ca = "{world.settings.ca}"\ntoken = "{world.settings.token}"\n'
        f'[[pool]]\nname = "d"\nbackend = "directory"\npath = "{socket_path / "pool"}"\n'
    )
    with Daemon(socket_path / "a", role="node", node_id="a", config=config) as daemon:
        yield daemon
        assert "Traceback" not in daemon.output()
        assert TOKEN not in daemon.output()


async def opened(node: Daemon, times: int = 1) -> None:
    """The controller's port is open; for the second time, after a restart."""
    async with asyncio.timeout(30):
        while sum(line["event"] == "controller port open" for line in node.lines) < times:
            await asyncio.sleep(0.02)


async def test_a_node_without_its_controller_serves_kubelet(node: Daemon) -> None:
    """It is ready, and its port is closed: there is no certificate to serve it with."""
    with Stubs(node.endpoint) as stubs:
        assert stubs.node.NodeGetInfo(csi.NodeGetInfoRequest(), timeout=10).node_id == "a"
    assert not any(line["event"] == "controller port open" for line in node.lines)


async def test_a_node_that_enrolled_serves_its_controller_all_but_node(
    node: Daemon, world: World, remote_port: int
) -> None:
    """Pools and volumes to the controller; mounts to kubelet alone."""
    async with world.controller():
        await opened(node)
    peer = Peer("a", f"tcp://127.0.0.1:{remote_port}", expected_node("a", world.authority.controller()))
    try:
        assert [pool.name for pool in (await peer.describe()).pools] == ["d"]
        created = await peer.client.ask(
            peer.client.controller.CreateVolume,
            csi.CreateVolumeRequest(
                name="v",
                volume_capabilities=[capability()],
                capacity_range=csi.CapacityRange(required_bytes=MIB),
            ),
            timeout=20,
        )
        assert created.volume.volume_id
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await peer.client.node.NodeGetInfo(csi.NodeGetInfoRequest(), timeout=10)
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "is not served on this socket" in str(error.value.details())
    finally:
        await peer.close()


async def test_a_node_that_was_killed_serves_again_without_asking(node: Daemon, world: World, remote_port: int) -> None:
    """Its certificate is beside its state: a controller that is away keeps no node from its work."""
    async with world.controller():
        await opened(node)
    node.kill()
    began = time.monotonic()
    node.start()
    await opened(node, 2)
    expected = expected_node("a", world.authority.controller())
    async with Client(f"tcp://127.0.0.1:{remote_port}", "node a", expected) as caller:
        answer = await caller.ask(caller.holdall.GetNode, pb.GetNodeRequest(), timeout=20)
    assert answer.node_id == "a"
    assert time.monotonic() - began < 15
    assert world.verifier.asked == 1


async def test_who_has_no_good_certificate_is_refused_and_the_log_says_why(
    node: Daemon, world: World, remote_port: int, tmp_path: Path
) -> None:
    """Of a foreign CA, expired, none at all, another node's: no call is reached, and each leaves a line."""
    async with world.controller():
        await opened(node)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for shown, line in (
        (Authority(foreign).material("c", CONTROLLER, bundle=world.authority.pem), "unable to get local issuer"),
        (world.authority.material("ended", CONTROLLER, ended=True), "certificate has expired"),
        (Bundle(Path(world.settings.ca)), "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
        (world.authority.node("b"), "caller refused"),
    ):
        async with Client(f"tcp://127.0.0.1:{remote_port}", "node a", expected_node("a", shown)) as caller:
            with pytest.raises(errors.Unavailable):
                await caller.ask(caller.holdall.GetNode, pb.GetNodeRequest(), timeout=20)
        async with asyncio.timeout(10):
            while line not in node.output():
                await asyncio.sleep(0.02)
    assert not any(one.get("method") == "Holdall/GetNode" and one["code"] == "OK" for one in node.lines)

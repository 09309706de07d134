"""From nothing to a node that its controller can call, with a real API server between them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from kubernetes.aio.client import ApiClient

from driver.kube.api import Api
from driver.kube.authority import Authority
from driver.kube.core import Core
from driver.model.config import EnrolmentConfig
from driver.rpc.enrolling import Enrolling
from driver.rpc.enrolment import Enrolment
from driver.rpc.readiness import Readiness
from driver.rpc.server import Server, Tls
from driver.rpc.tls import Material
from driver.telemetry.metrics import Metrics
from tests.certificates import DRIVER
from tests.unit.rpc.conftest import Log
from tests.unit.rpc.conftest import log as log
from tests.wire.remote import client, probe, serving

from .test_tokens import ACCOUNT, World

NODE = "node-1"


@pytest.fixture
async def world(api_client: ApiClient, namespace: str) -> World:
    made = World(api_client, namespace)
    await made.account(ACCOUNT)
    await made.pod("holdall-node-x", NODE)
    return made


@asynccontextmanager
async def controller(world: World, client: ApiClient, port: int, directory: Path) -> AsyncIterator[Material]:
    """One controller's enrolment port, from its start on, and what it shows to nodes."""
    authority = Authority(Core(Api(client), world.namespace), "holdall-ca", "holdall-ca", DRIVER, directory)
    # Not ready, as a controller is until it heard its nodes.
    server, material = Server(Metrics(), Readiness()), Material(directory)
    task = asyncio.create_task(authority.run())
    try:
        await asyncio.wait_for(authority.ready.wait(), 20)
        service = Enrolment(world.tokens, authority, DRIVER)
        await server.open(f"tcp://127.0.0.1:{port}", (service,), Tls(material))
        yield material
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.stop(0.0)


@asynccontextmanager
async def node(world: World, port: int, directory: Path, *, pod: str, name: str = NODE) -> AsyncIterator[Enrolling]:
    """A node whose bundle and token are mounted as kubelet mounts them, a while after it began."""
    directory.mkdir()
    settings = EnrolmentConfig(f"127.0.0.1:{port}", str(directory / "ca.crt"), str(directory / "token"))
    enrolling = Enrolling(settings, name, DRIVER, directory / "tls", look=0.05)
    task = asyncio.create_task(enrolling.run())
    try:
        async with asyncio.timeout(20):
            while not (bundle := await _bundle(world)):
                await asyncio.sleep(0.05)
        (directory / "ca.crt").write_text(bundle)
        (directory / "token.new").write_text(await world.token(pod=pod))
        (directory / "token.new").rename(directory / "token")
        yield enrolling
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _bundle(world: World) -> str:
    found = await world.api.list_namespaced_config_map(world.namespace)
    return next((one.data["ca.crt"] for one in found.items if one.metadata.name == "holdall-ca"), "")


async def test_a_node_enrols_with_its_pods_token_and_is_called_by_every_controller(
    world: World, api_client: ApiClient, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """Two controllers that know nothing of each other: one signs, both are served."""
    first, second, port = free_port(), free_port(), free_port()
    async with (
        controller(world, api_client, first, tmp_path / "a") as one,
        controller(world, api_client, second, tmp_path / "b") as other,
        node(world, first, tmp_path / "node", pod="holdall-node-x") as enrolled,
    ):
        await asyncio.wait_for(enrolled.certified.wait(), 20)
        async with serving(port, enrolled.material):
            for shown in (one, other):
                async with client(port, NODE, shown) as caller:
                    assert await probe(caller)


async def test_a_node_that_says_it_is_another_gets_nothing(
    world: World, api_client: ApiClient, tmp_path: Path, free_port: Callable[[], int], log: Log
) -> None:
    """Its pod is on node-1, whatever it is configured to be; the controller's log says which node tried."""
    port = free_port()
    async with (
        controller(world, api_client, port, tmp_path / "a"),
        node(world, port, tmp_path / "node", pod="holdall-node-x", name="node-2") as refused,
    ):
        async with asyncio.timeout(20):
            while not log.of("enrolment refused"):
                await asyncio.sleep(0.05)
        assert not refused.certified.is_set()
    (line, *_) = log.of("enrolment refused")
    assert line["message"] == "the token was given to a pod on node node-1, and node node-2 asks"
    assert (tmp_path / "node" / "token").read_text() not in log.text

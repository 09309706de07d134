"""Controller and node over TCP: who may speak to whom, and certificates that change under way."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from csi.holdall.v1 import holdall_pb2 as pb
from driver.model import errors
from driver.rpc import tls
from driver.rpc.client import Client
from driver.rpc.readiness import Readiness
from driver.rpc.server import Server, Tls
from driver.telemetry.metrics import Metrics
from tests.certificates import CONTROLLER, Authority, expected_node, intermediate
from tests.unit.rpc.conftest import Log
from tests.unit.rpc.conftest import log as log

from .remote import Identity, Slow, client, probe, serving

Port = Callable[[], int]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def foreign(tmp_path: Path) -> Authority:
    """Another CA of the same name."""
    place = tmp_path / "foreign"
    place.mkdir()
    return Authority(place)


async def refused(port: int, shown: tls.Source) -> str:
    """What node a's port says to one who shows that."""
    async with client(port, "a", shown) as caller:
        with pytest.raises(errors.Unavailable) as error:
            await probe(caller)
    return error.value.message


async def test_the_controller_is_served(authority: Authority, free_port: Port) -> None:
    """By IPv4 address and port, each side with a certificate of the one CA."""
    port = free_port()
    async with serving(port, authority.node("a")), client(port, "a", authority.controller()) as caller:
        assert await probe(caller)


async def test_another_node_is_refused_and_its_name_logged(authority: Authority, free_port: Port, log: Log) -> None:
    """A node's certificate is good for being a node, not for giving orders to one."""
    port = free_port()
    async with serving(port, authority.node("a")):
        said = await refused(port, authority.node("b"))
    assert said == f"node a refused us: only {CONTROLLER} may call here, not b.node.holdall.csi.dev"
    (line,) = log.of("caller refused")
    assert (line["names"], line["level"]) == (["b.node.holdall.csi.dev"], "warning")
    assert [line["code"] for line in log.of("rpc")] == ["PERMISSION_DENIED"]


async def test_a_method_that_is_not_served_is_refused_to_strangers_alike(authority: Authority, free_port: Port) -> None:
    """What there is and what there is not is nobody else's to know."""
    port = free_port()
    async with serving(port, authority.node("a")), client(port, "a", authority.node("b")) as caller:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await caller.channel.unary_unary("/csi.v1.Node/NodeGetInfo")(b"", timeout=10)
    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_without_a_certificate_there_is_no_connection(authority: Authority, free_port: Port, log: Log) -> None:
    """The handshake fails, before any call."""
    port, shown = free_port(), authority.controller()
    async with serving(port, authority.node("a")):
        await refused(port, tls.Bundle(shown.directory / "ca.crt"))
    assert log.of("rpc") == []


async def test_a_certificate_of_a_foreign_ca_is_worth_nothing(
    authority: Authority, foreign: Authority, free_port: Port, log: Log
) -> None:
    """Whatever name it carries, and its CA's name too."""
    port = free_port()
    shown = foreign.material("controller", CONTROLLER, bundle=authority.pem)
    async with serving(port, authority.node("a")):
        await refused(port, shown)
    assert log.of("rpc") == []


async def test_an_expired_certificate_is_refused(authority: Authority, free_port: Port, log: Log) -> None:
    """On both sides."""
    port = free_port()
    async with serving(port, authority.node("a")):
        await refused(port, authority.material("ended", CONTROLLER, ended=True))
    assert log.of("rpc") == []
    port = free_port()
    async with serving(port, authority.material("a", "a.node.holdall.csi.dev", ended=True)):
        assert "certificate has expired" in await refused(port, authority.controller())


async def test_a_node_of_a_foreign_ca_is_not_called(authority: Authority, foreign: Authority, free_port: Port) -> None:
    """Nothing is sent to it."""
    port = free_port()
    async with serving(port, foreign.node("a")):
        assert "unable to get local issuer certificate" in await refused(port, authority.controller())


async def test_a_node_that_shows_another_nodes_certificate_is_refused_with_both_names(
    authority: Authority, free_port: Port, log: Log
) -> None:
    """A node cannot stand in for another; who it is can be read in the log, once."""
    port = free_port()
    async with serving(port, authority.node("b")), client(port, "a", authority.controller()) as caller:
        for _ in range(2):
            with pytest.raises(errors.Unavailable, match=r"another name than a\.node\.holdall\.csi\.dev"):
                await probe(caller)
        async with asyncio.timeout(10):
            while not log.of("impostor refused"):
                await asyncio.sleep(0.01)
    (line,) = log.of("impostor refused")
    assert (line["expected"], line["found"]) == ("a.node.holdall.csi.dev", ["b.node.holdall.csi.dev"])
    assert line["address"] == f"127.0.0.1:{port}"


async def test_a_renewed_certificate_serves_without_a_restart(authority: Authority, free_port: Port, log: Log) -> None:
    """The next connection has it; what gRPC was given at the start is not looked at again."""
    port = free_port()
    material = authority.material("a", "a.node.holdall.csi.dev", ended=True)
    async with serving(port, material):
        await refused(port, authority.controller())
        authority.node("a")
        async with client(port, "a", authority.controller()) as caller:
            assert await probe(caller)
    assert [line["directory"] for line in log.of("new certificate taken")] == [str(material.directory)]


async def test_a_half_written_certificate_costs_no_handshake(authority: Authority, free_port: Port, log: Log) -> None:
    """The older one serves; the log says why, once."""
    port, material = free_port(), authority.node("a")
    async with serving(port, material):
        (material.directory / "tls.key").write_text("half a key")
        for _ in range(2):
            async with client(port, "a", authority.controller()) as caller:
                assert await probe(caller)
    assert len(log.of("new certificate not taken")) == 1


async def test_a_new_ca_is_taken_while_calls_go_on(
    authority: Authority, tmp_path: Path, free_port: Port, log: Log
) -> None:
    """Both CAs trusted, then new certificates on both sides, then the old CA gone: no call fails, none under way ends."""
    port, slow, answers = free_port(), Slow(), 0
    node, controller = authority.node("a"), authority.controller()
    old, new = authority.ca, Authority(tmp_path, "the next CA").ca
    both = old.certificate_pem + new.certificate_pem
    is_over = False

    async def call(caller: Client) -> None:
        nonlocal answers
        while not is_over:
            assert await probe(caller)
            answers += 1

    async def some_more() -> None:
        wanted = answers + 20
        async with asyncio.timeout(20):
            while answers < wanted:
                await asyncio.sleep(0.001)

    async with serving(port, node, slow), client(port, "a", controller) as caller:
        under_way = asyncio.create_task(caller.ask(caller.holdall.GetNode, pb.GetNodeRequest()))
        await slow.reached.wait()
        calls = asyncio.create_task(call(caller))
        for material, name in ((node, "a.node.holdall.csi.dev"), (controller, CONTROLLER)):
            authority.material(material.directory.name, name, bundle=both)
            await some_more()
        authority.ca = new
        for material, name in ((node, "a.node.holdall.csi.dev"), (controller, CONTROLLER)):
            authority.material(material.directory.name, name, bundle=both)
            await some_more()
        for material, name in ((node, "a.node.holdall.csi.dev"), (controller, CONTROLLER)):
            authority.material(material.directory.name, name)
            await some_more()
        is_over = True
        await calls
        slow.go_on.set()
        assert (await under_way).node_id == "slow"
    assert len(log.of("new certificate taken")) >= 2


async def test_a_ca_that_another_ca_signed_is_trusted_by_itself(
    authority: Authority, free_port: Port, log: Log
) -> None:
    """Of cert-manager's CA no more than the certificate that signs ours; what its root signed directly is a stranger's."""
    port, root = free_port(), authority.ca
    authority.ca = intermediate(root)
    between = authority.pem
    async with serving(port, authority.node("a")), client(port, "a", authority.controller()) as caller:
        assert await probe(caller)
        authority.ca = root
        await refused(port, authority.material("stranger", CONTROLLER, bundle=between))
    assert [line["code"] for line in log.of("rpc")] == ["OK"]


async def test_a_taken_port_is_said(authority: Authority, free_port: Port) -> None:
    """HostFailed, naming the endpoint."""
    port = free_port()
    async with serving(port, authority.node("a")):
        with pytest.raises(errors.HostFailed, match=f"cannot listen on tcp://127.0.0.1:{port}"):
            async with serving(port, authority.node("b")):
                raise AssertionError("two servers on one port")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
async def test_a_port_of_all_addresses_is_reached_by_each(host: str, authority: Authority, free_port: Port) -> None:
    """IPv4, IPv6 and names; the certificate names the node, wherever that is."""
    port, readiness = free_port(), Readiness()
    readiness.ready()
    server = Server(Metrics(), readiness)
    server.add(f"tcp://:{port}", (Identity(),), Tls(authority.node("a"), CONTROLLER))
    await server.start()
    expected = expected_node("a", authority.controller())
    async with Client(f"tcp://{host}:{port}", "node a", expected) as caller:
        assert await probe(caller)
    await server.stop(0.0)

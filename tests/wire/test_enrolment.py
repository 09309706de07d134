"""How a node comes by its certificate, over real gRPC: an in-test Verifier stands for the API server."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from csi.holdall.v1 import enrolment_pb2 as pb
from driver.host import keys
from driver.model import errors
from driver.model.config import EnrolmentConfig
from driver.model.identity import NodeIdentity
from driver.rpc import enrolment, tls
from driver.rpc.client import Client
from driver.rpc.enrolling import Enrolling
from driver.rpc.readiness import Readiness
from driver.rpc.server import Server, Tls
from driver.telemetry.metrics import Metrics
from tests.certificates import CONTROLLER, DRIVER, Authority
from tests.unit.rpc.conftest import Log
from tests.unit.rpc.conftest import log as log

from .remote import client, probe, serving

TOKEN = "eyJhbGciOiJSUzI1NiJ9.a-token-that-nobody-may-read.c2lnbmF0dXJl"
Port = Callable[[], int]


class Verifier:
    """Knows one token, and refuses others as the API server's answer would."""

    def __init__(self) -> None:
        self.bearer = NodeIdentity("a", "holdall-node-x")
        self.refusal: errors.DomainError | None = None
        self.asked = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def verify(self, token: str) -> NodeIdentity:
        self.asked += 1
        await self.go_on.wait()
        if self.refusal:
            raise self.refusal
        if token != TOKEN:
            raise errors.Unauthenticated(f"the token {token} is not valid here")
        return self.bearer


class World:
    """A controller's enrolment port and what a node needs to use it."""

    def __init__(self, root: Path, port: int, lifetime: float) -> None:
        self.root = root
        self.port = port
        self.authority = Authority(root)
        self.verifier = Verifier()
        self.service = enrolment.Enrolment(self.verifier, self.authority, DRIVER, lifetime)
        self.material = self.authority.controller()
        self.settings = EnrolmentConfig(f"127.0.0.1:{port}", str(root / "ca.crt"), str(root / "token"))
        self.mount(self.authority.pem)
        self.give(TOKEN)

    def mount(self, bundle: str) -> None:
        """The CA bundle as a ConfigMap's mount shows it: by rename."""
        _replace(self.root / "ca.crt", bundle)

    def give(self, token: str) -> None:
        _replace(self.root / "token", token)

    def node(self, name: str = "a") -> Enrolling:
        return Enrolling(self.settings, name, DRIVER, self.root / f"tls-{name}", look=0.02)

    @asynccontextmanager
    async def controller(self, material: tls.Material | None = None) -> AsyncIterator[None]:
        # Not ready, as a controller is until it heard its nodes.
        server = Server(Metrics(), Readiness())
        server.add(f"tcp://127.0.0.1:{self.port}", (self.service,), Tls(material or self.material))
        await server.start()
        try:
            yield
        finally:
            await server.stop(0.0)

    def caller(self) -> Client:
        expected = tls.Expected(CONTROLLER, tls.Bundle(self.root / "ca.crt"))
        return Client(f"tcp://127.0.0.1:{self.port}", "the controller", expected)

    async def refusal(self, *, node_id: str = "a", token: str = TOKEN, asked: str | None = None) -> str:
        """What the controller says to that."""
        request = pb.EnrolRequest(node_id=node_id, token=token, certificate_request=asked or self.request("a"))
        async with self.controller(), self.caller() as caller:
            with pytest.raises(errors.DomainError) as error:
                await caller.ask(caller.enrolment.Enrol, request, timeout=10)
        return error.value.message

    def request(self, name: str) -> str:
        keys.make_key(f"{self.root}/key")
        return keys.request(f"{self.root}/key", f"{name}.node.{DRIVER}")


def _replace(path: Path, text: str) -> None:
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


@pytest.fixture
def world(tmp_path: Path, free_port: Port) -> World:
    return World(tmp_path, free_port(), 3600.0)


@asynccontextmanager
async def running(node: Enrolling) -> AsyncIterator[Enrolling]:
    task = asyncio.create_task(node.run())
    try:
        yield node
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], object], patience: float = 20.0) -> None:
    async with asyncio.timeout(patience):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_node_enrols_and_serves_its_controller(world: World, free_port: Port, log: Log) -> None:
    """Key, request, token, certificate; then the port, to the controller; the token is in no log."""
    port = free_port()
    async with world.controller(), running(world.node()) as node:
        await asyncio.wait_for(node.certified.wait(), 20)
        async with serving(port, node.material), client(port, "a", world.authority.controller()) as caller:
            assert await probe(caller)
    (line,) = log.of("node enrolled")
    assert (line["node_id"], line["pod"], line["name"]) == ("a", "holdall-node-x", f"a.node.{DRIVER}")
    assert TOKEN not in log.text
    assert sorted(os.listdir(node.material.directory)) == ["ca.crt", "tls.crt", "tls.key"]
    assert {oct(path.stat().st_mode & 0o777) for path in node.material.directory.iterdir()} == {"0o600"}
    assert oct(node.material.directory.stat().st_mode & 0o777) == "0o700"


async def test_a_token_that_proves_nothing_is_refused_and_not_quoted(world: World, log: Log) -> None:
    """Even when the verifier's own words hold it."""
    said = await world.refusal(token="expired-token-of-somebody")
    assert said == "the controller refused us: the token *** is not valid here"
    (line,) = log.of("enrolment refused")
    assert (line["level"], line["node_id"]) == ("warning", "a")
    assert "expired-token-of-somebody" not in log.text


async def test_a_token_of_another_account_is_refused(world: World, log: Log) -> None:
    """PERMISSION_DENIED: it is known, and no node's."""
    world.verifier.refusal = errors.Forbidden("the token is of account default/default, wanted holdall/holdall-node")
    assert "of account default/default" in await world.refusal()
    assert [line["code"] for line in log.of("rpc")] == ["PERMISSION_DENIED"]
    assert len(log.of("enrolment refused")) == 1


async def test_a_node_gets_no_certificate_of_another_nodes_name(world: World, log: Log) -> None:
    """The token says which node it is."""
    said = await world.refusal(node_id="b", asked=world.request("b"))
    assert said == "the controller refused us: the token was given to a pod on node a, and node b asks"
    assert len(log.of("enrolment refused")) == 1


async def test_a_request_for_another_name_is_refused(world: World, log: Log) -> None:
    """The controller's own, above all."""
    keys.make_key(f"{world.root}/key")
    for name in (f"b.node.{DRIVER}", CONTROLLER):
        said = await world.refusal(asked=keys.request(f"{world.root}/key", name))
        assert said == f"the certificate request asks for {name}; only a.node.{DRIVER} may be asked for"
    assert len(log.of("enrolment refused")) == 2


async def test_what_is_no_request_is_refused(world: World) -> None:
    """Said as such."""
    assert "is no PEM PKCS#10 request" in await world.refusal(asked="-----BEGIN CERTIFICATE REQUEST-----")


async def test_an_incomplete_call_asks_nobody(world: World) -> None:
    """Nothing without a node, a token, a request."""
    assert "node_id" in await world.refusal(node_id="")
    assert "token" in await world.refusal(token="")
    assert world.verifier.asked == 0


async def test_more_than_a_few_at_once_wait_their_turn(world: World) -> None:
    """A cluster that starts must not ask the API server a thousand things at once, nor may a stranger make us."""
    world.verifier.go_on.clear()
    request = pb.EnrolRequest(node_id="a", token=TOKEN, certificate_request=world.request("a"))
    async with world.controller():
        callers = [world.caller() for _ in range(enrolment.AT_ONCE + 4)]
        calls = [asyncio.create_task(one.ask(one.enrolment.Enrol, request, timeout=20)) for one in callers]
        await until(lambda: world.verifier.asked == enrolment.AT_ONCE)
        await asyncio.sleep(0.1)
        assert world.verifier.asked == enrolment.AT_ONCE
        world.verifier.go_on.set()
        await asyncio.gather(*calls)
        for one in callers:
            await one.close()
    assert world.verifier.asked == len(callers)


async def test_a_message_of_a_stranger_is_bounded(world: World) -> None:
    """Nobody fills our memory before having proven anything."""
    async with world.controller(), world.caller() as caller:
        with pytest.raises(errors.DomainError, match="larger than max"):
            await caller.ask(caller.enrolment.Enrol, pb.EnrolRequest(token="x" * 100_000), timeout=10)


async def test_the_token_goes_to_nobody_but_the_controller(world: World, tmp_path: Path, log: Log) -> None:
    """A port that has no certificate of our CA, or one of another name, gets no request at all."""
    place = tmp_path / "foreign"
    place.mkdir()
    for material in (Authority(place).controller(), world.authority.node("b")):
        async with world.controller(material), world.caller() as caller:
            request = pb.EnrolRequest(node_id="a", token=TOKEN, certificate_request=world.request("a"))
            with pytest.raises(errors.Unavailable):
                await caller.ask(caller.enrolment.Enrol, request, timeout=5)
    assert world.verifier.asked == 0
    assert log.of("rpc") == []


async def test_a_node_waits_for_its_files_and_its_controller(world: World, log: Log) -> None:
    """They are mounted and started when they are; a failure is logged and tried again."""
    os.unlink(world.settings.ca)
    os.unlink(world.settings.token)
    async with running(world.node()) as node:
        await until(lambda: log.of("waiting to enrol"))
        world.mount(world.authority.pem)
        await until(lambda: len(log.of("waiting to enrol")) == 2)
        world.give(TOKEN)
        await until(lambda: log.of("not enrolled"))
        assert not node.certified.is_set()
        async with world.controller():
            await asyncio.wait_for(node.certified.wait(), 20)
    assert 0.5 <= log.of("not enrolled")[0]["again_in_seconds"] <= 1.0


async def test_a_node_that_restarts_serves_what_it_has(world: World) -> None:
    """At once, with the controller away, and with its bundle not mounted yet."""
    async with world.controller(), running(world.node()) as node:
        await asyncio.wait_for(node.certified.wait(), 20)
    before = node.material.read()
    for present in (True, False):
        if not present:
            os.unlink(world.settings.ca)
        async with running(world.node()) as again:
            await asyncio.wait_for(again.certified.wait(), 20)
        assert again.material.read() == before


async def test_a_certificate_that_should_be_renewed_serves_until_it_is(world: World, log: Log) -> None:
    """Also after a restart, with the controller away: it is good for another third of its life."""
    async with world.controller(), running(world.node()) as node:
        await asyncio.wait_for(node.certified.wait(), 20)
    long_ago = time.time() - 100_000
    os.utime(node.material.directory / "tls.crt", (long_ago, long_ago))
    async with running(world.node()) as again:
        await asyncio.wait_for(again.certified.wait(), 20)
        await until(lambda: log.of("not enrolled"))
        async with world.controller():
            await until(lambda: world.verifier.asked == 2)


async def test_a_certificate_is_renewed_at_two_thirds_of_its_life(tmp_path: Path, free_port: Port) -> None:
    """By a new key, before the old one ends."""
    world = World(tmp_path, free_port(), 6.0)
    async with world.controller(), running(world.node()) as node:
        await asyncio.wait_for(node.certified.wait(), 20)
        first, began = node.material.read(), time.monotonic()
        await until(lambda: world.verifier.asked == 2)
        assert 3.0 < time.monotonic() - began < 6.0
        await until(lambda: _differs(node, first))
        assert node.material.read().key != first.key


async def test_a_changed_bundle_is_served_with_and_a_lost_ca_ends_a_certificate(world: World, tmp_path: Path) -> None:
    """A further CA is trusted at once and costs no renewal; when the one that signed us is gone, another certificate is got."""
    place = tmp_path / "next"
    place.mkdir()
    following = Authority(place, "the next CA")
    async with world.controller(), running(world.node()) as node:
        await asyncio.wait_for(node.certified.wait(), 20)
        first = node.material.read()
        world.mount(world.authority.pem + following.pem)
        await until(lambda: _bundle(node) == world.authority.pem + following.pem)
        assert node.material.read().certificate == first.certificate
        assert world.verifier.asked == 1
        world.authority.ca = following.ca
        world.authority.controller()
        world.mount(following.pem)
        await until(lambda: _differs(node, first))
        assert node.material.read().bundle.decode() == following.pem
    assert world.verifier.asked == 2


async def test_a_ca_that_is_not_mounted_yet_is_taken_from_the_answer(world: World, tmp_path: Path) -> None:
    """A mount follows its ConfigMap after a minute; a certificate of a CA made just now is kept all the same."""
    place = tmp_path / "next"
    place.mkdir()
    mounted, following = world.authority.pem, Authority(place, "the next CA")
    world.authority.ca = following.ca
    async with world.controller(), running(world.node()) as node:
        await asyncio.wait_for(node.certified.wait(), 20)
        await asyncio.sleep(0.2)
        assert node.material.read().bundle.decode() == mounted + following.pem
    assert world.verifier.asked == 1


async def test_a_key_without_its_certificate_is_made_good(world: World) -> None:
    """What a crash between the two renames leaves: the node asks again."""
    async with world.controller():
        async with running(world.node()) as node:
            await asyncio.wait_for(node.certified.wait(), 20)
        keys.make_key(f"{node.material.directory}/tls.key")
        async with running(world.node()) as again:
            await asyncio.wait_for(again.certified.wait(), 20)
            again.material.read()
    assert world.verifier.asked == 2


def _differs(node: Enrolling, before: tls.Credentials) -> bool:
    try:
        return node.material.read().certificate != before.certificate
    except errors.FailedPrecondition:
        return False


def _bundle(node: Enrolling) -> str:
    return (node.material.directory / "ca.crt").read_text()

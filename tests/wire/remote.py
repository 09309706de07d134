"""A node's port as its controller sees it: services of a test's own, over real TCP with real certificates."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from csi.holdall.v1 import holdall_pb2 as pb
from csi.holdall.v1 import holdall_pb2_grpc
from csi.v1 import csi_pb2 as csi
from csi.v1 import csi_pb2_grpc
from driver.rpc import tls
from driver.rpc.client import Client
from driver.rpc.interceptor import Context
from driver.rpc.readiness import Readiness
from driver.rpc.server import Server, Tls
from driver.telemetry.metrics import Metrics
from tests.certificates import CONTROLLER, expected_node


class Identity(csi_pb2_grpc.IdentityServicer):
    async def Probe(self, request: csi.ProbeRequest, context: Context) -> csi.ProbeResponse:
        return csi.ProbeResponse(ready={"value": True})


class Slow(holdall_pb2_grpc.HoldallServicer):
    """Answers when told to."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def GetNode(self, request: pb.GetNodeRequest, context: Context) -> pb.GetNodeResponse:
        self.reached.set()
        await self.go_on.wait()
        return pb.GetNodeResponse(node_id="slow")


@asynccontextmanager
async def serving(port: int, material: tls.Material, *more: object, peer: str = CONTROLLER) -> AsyncIterator[Server]:
    """Identity, and ``more``, on that port of this machine, to ``peer`` alone."""
    readiness = Readiness()
    readiness.ready()
    server = Server(Metrics(), readiness)
    services: Sequence[object] = (Identity(), *more)
    server.add(f"tcp://127.0.0.1:{port}", services, Tls(material, peer))
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0.0)


def client(port: int, node: str, shown: tls.Source) -> Client:
    """A caller that shows ``shown``, and wants to speak to node ``node``."""
    return Client(f"tcp://127.0.0.1:{port}", f"node {node}", expected_node(node, shown))


async def probe(caller: Client) -> bool:
    """Whether the other side answers; raises as ``Client.ask`` does."""
    return (await caller.ask(caller.identity.Probe, csi.ProbeRequest(), timeout=10)).ready.value

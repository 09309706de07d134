"""A node of the fleet, over its controller socket; and how a call is passed on to it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
import structlog

from csi.holdall.v1 import holdall_pb2 as pb
from csi.v1 import csi_pb2 as csi

from ...engine import deadline
from ...fleet.nodes import Description, Listed, Listing, NodePage
from ...model.capacity import CapacityQuery, Room
from ...model.health import STATUSES, Ailment, Status
from .. import answer, holdall, tls
from ..client import Client, Metadata
from ..interceptor import POOL, REQUEST_ID

Request = TypeVar("Request")
Response = TypeVar("Response")

LOOK = 3.0
"""Seconds a node has to say who it is, or what room it has; one that takes longer counts as lost until it answers."""
READ = 10.0
"""Seconds a node has for a page of a list."""
CALL = 300.0
"""Seconds a call that is passed on may take when its caller set no deadline."""


class Peer:
    """Implements fleet.nodes.Node."""

    def __init__(self, name: str, endpoint: str, expected: tls.Expected | None = None) -> None:
        """``expected`` is who has to answer at a TCP endpoint: the certificate's name is this node's."""
        self._name = name
        self.client = Client(endpoint, f"node {name}", expected)

    @property
    def name(self) -> str:
        return self._name

    async def close(self, grace: float = 0.0) -> None:
        await self.client.finish(grace)

    async def describe(self) -> Description:
        stub = self.client.holdall
        node, pools = await asyncio.gather(
            self.client.ask(stub.GetNode, pb.GetNodeRequest(), timeout=LOOK),
            self.client.ask(stub.ListPools, pb.ListPoolsRequest(), timeout=LOOK),
        )
        views = tuple(holdall.view(shown) for shown in pools.pools)
        return Description(node.node_id, node.driver_name, node.version, views)

    async def room(self, query: CapacityQuery) -> Room:
        found = await self.client.ask(
            self.client.controller.GetCapacity,
            csi.GetCapacityRequest(
                volume_capabilities=[answer.capability(one) for one in query.capabilities],
                parameters=query.parameters,
                accessible_topology=csi.Topology(segments=query.topology) if query.topology else None,
            ),
            timeout=min(LOOK, deadline.remaining(LOOK)),
        )
        return Room(found.available_capacity, found.maximum_volume_size.value, found.minimum_volume_size.value)

    async def page(self, listing: Listing, token: str, limit: int) -> NodePage:
        controller, patience = self.client.controller, min(READ, deadline.remaining(READ))
        if listing == "volumes":
            volumes = await self.client.ask(
                controller.ListVolumes,
                csi.ListVolumesRequest(max_entries=limit, starting_token=token),
                timeout=patience,
            )
            return NodePage([listed_volume(one) for one in volumes.entries], volumes.next_token)
        if listing == "snapshots":
            snapshots = await self.client.ask(
                controller.ListSnapshots,
                csi.ListSnapshotsRequest(max_entries=limit, starting_token=token),
                timeout=patience,
            )
            return NodePage([listed_snapshot(one.snapshot) for one in snapshots.entries], snapshots.next_token)
        health = await self.client.ask(
            controller.ControllerListVolumeHealth,
            csi.ControllerListVolumeHealthRequest(max_entries=limit, starting_token=token),
            timeout=patience,
        )
        entries = [Listed(one.volume_id, one.SerializeToString()) for one in health.entries]
        return NodePage(entries, health.next_token)


def listed_volume(entry: csi.ListVolumesResponse.Entry) -> Listed:
    return Listed(entry.volume.volume_id, entry.SerializeToString())


def listed_snapshot(snapshot: csi.Snapshot) -> Listed:
    return Listed(snapshot.snapshot_id, snapshot.SerializeToString(), snapshot.group_snapshot_id)


def ailments(entry: bytes) -> list[Ailment]:
    """What an entry of the list ``health`` says."""
    found = csi.VolumeHealth.FromString(entry)
    return [
        Ailment(Status(one.status), one.reason, one.message)
        for one in found.health_statuses
        if int(one.status) in STATUSES
    ]


def passing(
    method: Callable[[Client], grpc.aio.UnaryUnaryMultiCallable[Request, Response]], request: Request
) -> Callable[[Peer, str], Awaitable[Response]]:
    """Passes ``request`` on unchanged: the ``send`` that fleet.Fleet takes."""

    async def send(node: Peer, pool_id: str) -> Response:
        return await node.client.ask(
            method(node.client), request, timeout=deadline.remaining(CALL), metadata=metadata(pool_id)
        )

    return send


def metadata(pool_id: str) -> Metadata:
    """The request id, so that both processes' logs can be read together, and the pool the node is taken to have."""
    request_id = structlog.contextvars.get_contextvars().get("request_id", "")
    pairs = ((REQUEST_ID, str(request_id)), (POOL, pool_id))
    return tuple((key, value) for key, value in pairs if value)

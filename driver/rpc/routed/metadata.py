"""CSI SnapshotMetadata over a fleet: the node's stream, passed through as fast as the caller takes it."""

from collections.abc import AsyncIterator

from csi.v1 import csi_pb2 as csi
from csi.v1 import csi_pb2_grpc as stubs

from ...fleet.fleet import Fleet
from .. import convert
from ..interceptor import Context
from .peer import Peer, metadata


class SnapshotMetadata(stubs.SnapshotMetadataServicer):
    def __init__(self, fleet: Fleet[Peer]) -> None:
        self._fleet = fleet

    async def GetMetadataAllocated(
        self, request: csi.GetMetadataAllocatedRequest, context: Context
    ) -> AsyncIterator[csi.GetMetadataAllocatedResponse]:
        home, pool_id = await self._fleet.locate(convert.required(request.snapshot_id, "snapshot_id"))
        client = home.node.client
        method = client.metadata.GetMetadataAllocated
        async for response in client.stream(method, request, metadata=metadata(pool_id)):
            yield response

    async def GetMetadataDelta(
        self, request: csi.GetMetadataDeltaRequest, context: Context
    ) -> AsyncIterator[csi.GetMetadataDeltaResponse]:
        convert.required(request.base_snapshot_id, "base_snapshot_id")
        home, pool_id = await self._fleet.locate(convert.required(request.target_snapshot_id, "target_snapshot_id"))
        client = home.node.client
        method = client.metadata.GetMetadataDelta
        async for response in client.stream(method, request, metadata=metadata(pool_id)):
            yield response

"""CSI GroupController over a fleet."""

from csi.v1 import csi_pb2 as csi
from csi.v1 import csi_pb2_grpc as stubs

from ...fleet.fleet import Fleet
from .. import convert, offered
from ..interceptor import Context
from .peer import Peer, listed_snapshot, passing


class GroupController(stubs.GroupControllerServicer):
    def __init__(self, fleet: Fleet[Peer]) -> None:
        self._fleet = fleet

    async def GroupControllerGetCapabilities(
        self, request: csi.GroupControllerGetCapabilitiesRequest, context: Context
    ) -> csi.GroupControllerGetCapabilitiesResponse:
        return offered.group(type(self))

    async def CreateVolumeGroupSnapshot(
        self, request: csi.CreateVolumeGroupSnapshotRequest, context: Context
    ) -> csi.CreateVolumeGroupSnapshotResponse:
        send = passing(lambda node: node.group.CreateVolumeGroupSnapshot, request)
        response = await self._fleet.create_group(convert.group_request(request), send)
        for snapshot in response.group_snapshot.snapshots:
            await self._fleet.remember("snapshots", listed_snapshot(snapshot))
        return response

    async def DeleteVolumeGroupSnapshot(
        self, request: csi.DeleteVolumeGroupSnapshotRequest, context: Context
    ) -> csi.DeleteVolumeGroupSnapshotResponse:
        group_id = convert.required(request.group_snapshot_id, "group_snapshot_id")
        send = passing(lambda node: node.group.DeleteVolumeGroupSnapshot, request)
        response = await self._fleet.delete(group_id, send)
        for snapshot_id in request.snapshot_ids:
            await self._fleet.memory.forget(snapshot_id)
        return response or csi.DeleteVolumeGroupSnapshotResponse()

    async def GetVolumeGroupSnapshot(
        self, request: csi.GetVolumeGroupSnapshotRequest, context: Context
    ) -> csi.GetVolumeGroupSnapshotResponse:
        group_id = convert.required(request.group_snapshot_id, "group_snapshot_id")
        return await self._fleet.call(group_id, passing(lambda node: node.group.GetVolumeGroupSnapshot, request))

"""CSI GroupController for the pools of this process."""

from typing import TYPE_CHECKING

from csi.v1 import csi_pb2 as csi
from csi.v1 import csi_pb2_grpc as stubs

from ..model.snapshot import GroupView
from . import answer, convert, offered
from .interceptor import Context

if TYPE_CHECKING:
    from ..engine.engine import Engine


class GroupController(stubs.GroupControllerServicer):
    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    async def GroupControllerGetCapabilities(
        self, request: csi.GroupControllerGetCapabilitiesRequest, context: Context
    ) -> csi.GroupControllerGetCapabilitiesResponse:
        return offered.group(type(self))

    async def CreateVolumeGroupSnapshot(
        self, request: csi.CreateVolumeGroupSnapshotRequest, context: Context
    ) -> csi.CreateVolumeGroupSnapshotResponse:
        view = await self._engine.groups.create(convert.group_request(request))
        return csi.CreateVolumeGroupSnapshotResponse(group_snapshot=self._group(view))

    async def DeleteVolumeGroupSnapshot(
        self, request: csi.DeleteVolumeGroupSnapshotRequest, context: Context
    ) -> csi.DeleteVolumeGroupSnapshotResponse:
        group_id = convert.required(request.group_snapshot_id, "group_snapshot_id")
        await self._engine.groups.delete(group_id, tuple(request.snapshot_ids))
        return csi.DeleteVolumeGroupSnapshotResponse()

    async def GetVolumeGroupSnapshot(
        self, request: csi.GetVolumeGroupSnapshotRequest, context: Context
    ) -> csi.GetVolumeGroupSnapshotResponse:
        group_id = convert.required(request.group_snapshot_id, "group_snapshot_id")
        view = await self._engine.groups.get(group_id, tuple(request.snapshot_ids))
        return csi.GetVolumeGroupSnapshotResponse(group_snapshot=self._group(view))

    def _group(self, view: GroupView) -> csi.VolumeGroupSnapshot:
        members = [answer.snapshot(one, self._engine.topology(one.pool_id)) for one in view.snapshots]
        return answer.group(view, members)

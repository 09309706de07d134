"""CSI Controller for the pools of this process: convert, call the engine, convert back."""

from typing import TYPE_CHECKING

from google.protobuf.wrappers_pb2 import Int64Value

from csi.v1 import csi_pb2 as csi
from csi.v1 import csi_pb2_grpc as stubs

from ..model.snapshot import Snapshot
from ..model.volume import Volume
from . import answer, convert, offered
from .interceptor import Context

if TYPE_CHECKING:
    from ..engine.engine import Engine

PAGE = 4000
"""Entries in a page at most, also for max_entries 0: a longer answer would pass the 4 MiB that gRPC clients accept."""


def page_size(max_entries: int) -> int:
    """How many entries an answer to ``max_entries`` holds at most."""
    return min(convert.not_negative(max_entries, "max_entries") or PAGE, PAGE)


class Controller(stubs.ControllerServicer):
    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    async def ControllerGetCapabilities(
        self, request: csi.ControllerGetCapabilitiesRequest, context: Context
    ) -> csi.ControllerGetCapabilitiesResponse:
        return offered.controller(type(self))

    async def CreateVolume(self, request: csi.CreateVolumeRequest, context: Context) -> csi.CreateVolumeResponse:
        volume = await self._engine.volumes.create(convert.volume_request(request))
        return csi.CreateVolumeResponse(volume=self._volume(volume))

    async def DeleteVolume(self, request: csi.DeleteVolumeRequest, context: Context) -> csi.DeleteVolumeResponse:
        await self._engine.volumes.delete(convert.required(request.volume_id, "volume_id"))
        return csi.DeleteVolumeResponse()

    async def ControllerPublishVolume(
        self, request: csi.ControllerPublishVolumeRequest, context: Context
    ) -> csi.ControllerPublishVolumeResponse:
        await self._engine.grants.publish(
            convert.required(request.volume_id, "volume_id"),
            convert.required(request.node_id, "node_id"),
            convert.required_capability(request),
            request.readonly,
        )
        return csi.ControllerPublishVolumeResponse()

    async def ControllerUnpublishVolume(
        self, request: csi.ControllerUnpublishVolumeRequest, context: Context
    ) -> csi.ControllerUnpublishVolumeResponse:
        await self._engine.grants.unpublish(convert.required(request.volume_id, "volume_id"), request.node_id)
        return csi.ControllerUnpublishVolumeResponse()

    async def ValidateVolumeCapabilities(
        self, request: csi.ValidateVolumeCapabilitiesRequest, context: Context
    ) -> csi.ValidateVolumeCapabilitiesResponse:
        why_not = await self._engine.volumes.validate(
            convert.required(request.volume_id, "volume_id"),
            convert.capabilities(request.volume_capabilities),
            dict(request.parameters),
            dict(request.mutable_parameters),
            dict(request.volume_context),
        )
        if why_not:
            return csi.ValidateVolumeCapabilitiesResponse(message=answer.words(why_not))
        return csi.ValidateVolumeCapabilitiesResponse(
            confirmed=csi.ValidateVolumeCapabilitiesResponse.Confirmed(
                volume_context=request.volume_context,
                volume_capabilities=request.volume_capabilities,
                parameters=request.parameters,
                mutable_parameters=request.mutable_parameters,
            )
        )

    async def ListVolumes(self, request: csi.ListVolumesRequest, context: Context) -> csi.ListVolumesResponse:
        page = await self._engine.volumes.page(request.starting_token, page_size(request.max_entries))
        entries = [
            csi.ListVolumesResponse.Entry(
                volume=self._volume(entry.volume),
                status=csi.ListVolumesResponse.VolumeStatus(published_node_ids=entry.node_ids),
            )
            for entry in page.entries
        ]
        return csi.ListVolumesResponse(entries=entries, next_token=page.next_token)

    async def ControllerGetVolume(
        self, request: csi.ControllerGetVolumeRequest, context: Context
    ) -> csi.ControllerGetVolumeResponse:
        entry = await self._engine.volumes.entry(convert.required(request.volume_id, "volume_id"))
        return csi.ControllerGetVolumeResponse(
            volume=self._volume(entry.volume),
            status=csi.ControllerGetVolumeResponse.VolumeStatus(published_node_ids=entry.node_ids),
        )

    async def ControllerListVolumeHealth(
        self, request: csi.ControllerListVolumeHealthRequest, context: Context
    ) -> csi.ControllerListVolumeHealthResponse:
        page = await self._engine.health.page(request.starting_token, page_size(request.max_entries))
        return csi.ControllerListVolumeHealthResponse(
            entries=[answer.health(volume_id, ailments) for volume_id, ailments in page.entries],
            next_token=page.next_token,
        )

    async def ControllerGetVolumeHealth(
        self, request: csi.ControllerGetVolumeHealthRequest, context: Context
    ) -> csi.ControllerGetVolumeHealthResponse:
        volume_id = convert.required(request.volume_id, "volume_id")
        ailments = await self._engine.health.of(volume_id)
        return csi.ControllerGetVolumeHealthResponse(volume_health=answer.health(volume_id, ailments))

    async def GetCapacity(self, request: csi.GetCapacityRequest, context: Context) -> csi.GetCapacityResponse:
        query = convert.capacity_query(request)
        room = await self._engine.volumes.capacity(query.capabilities, query.parameters, query.topology)
        return csi.GetCapacityResponse(
            available_capacity=room.available,
            maximum_volume_size=Int64Value(value=room.maximum),
            minimum_volume_size=Int64Value(value=room.minimum),
        )

    async def CreateSnapshot(self, request: csi.CreateSnapshotRequest, context: Context) -> csi.CreateSnapshotResponse:
        snapshot = await self._engine.snapshots.create(convert.snapshot_request(request))
        return csi.CreateSnapshotResponse(snapshot=self._snapshot(snapshot))

    async def DeleteSnapshot(self, request: csi.DeleteSnapshotRequest, context: Context) -> csi.DeleteSnapshotResponse:
        await self._engine.snapshots.delete(convert.required(request.snapshot_id, "snapshot_id"))
        return csi.DeleteSnapshotResponse()

    async def ListSnapshots(self, request: csi.ListSnapshotsRequest, context: Context) -> csi.ListSnapshotsResponse:
        page = await self._engine.snapshots.page(
            request.starting_token, page_size(request.max_entries), request.source_volume_id, request.snapshot_id
        )
        entries = [csi.ListSnapshotsResponse.Entry(snapshot=self._snapshot(one)) for one in page.entries]
        return csi.ListSnapshotsResponse(entries=entries, next_token=page.next_token)

    async def GetSnapshot(self, request: csi.GetSnapshotRequest, context: Context) -> csi.GetSnapshotResponse:
        snapshot = await self._engine.snapshots.get(convert.required(request.snapshot_id, "snapshot_id"))
        return csi.GetSnapshotResponse(snapshot=self._snapshot(snapshot))

    async def ControllerExpandVolume(
        self, request: csi.ControllerExpandVolumeRequest, context: Context
    ) -> csi.ControllerExpandVolumeResponse:
        volume_id = convert.required(request.volume_id, "volume_id")
        convert.optional_capability(request)
        volume, node_has_work = await self._engine.volumes.expand(volume_id, convert.required_range(request))
        return csi.ControllerExpandVolumeResponse(capacity_bytes=volume.size, node_expansion_required=node_has_work)

    async def ControllerModifyVolume(
        self, request: csi.ControllerModifyVolumeRequest, context: Context
    ) -> csi.ControllerModifyVolumeResponse:
        volume_id = convert.required(request.volume_id, "volume_id")
        await self._engine.volumes.modify(volume_id, dict(request.mutable_parameters))
        return csi.ControllerModifyVolumeResponse()

    def _volume(self, record: Volume) -> csi.Volume:
        return answer.volume(record, self._engine.topology(record.pool_id))

    def _snapshot(self, record: Snapshot) -> csi.Snapshot:
        return answer.snapshot(record, self._engine.topology(record.pool_id))

"""CSI Controller over a fleet. What changes is also told to the memory, which speaks for a node once it is lost."""

from collections.abc import Callable

from google.protobuf.wrappers_pb2 import Int64Value

from csi.v1 import csi_pb2 as csi
from csi.v1 import csi_pb2_grpc as stubs

from ...fleet.fleet import Fleet
from ...fleet.nodes import Listed
from ...model import errors, ids
from .. import answer, convert, offered
from ..controller import page_size
from ..interceptor import Context
from .peer import Peer, listed_snapshot, listed_volume, passing


class Controller(stubs.ControllerServicer):
    def __init__(self, fleet: Fleet[Peer]) -> None:
        self._fleet = fleet

    async def ControllerGetCapabilities(
        self, request: csi.ControllerGetCapabilitiesRequest, context: Context
    ) -> csi.ControllerGetCapabilitiesResponse:
        return offered.controller(type(self))

    async def CreateVolume(self, request: csi.CreateVolumeRequest, context: Context) -> csi.CreateVolumeResponse:
        send = passing(lambda node: node.controller.CreateVolume, request)
        response = await self._fleet.create_volume(convert.volume_request(request), send)
        self._fleet.forgetting.check_served(response.volume.volume_id)
        entry = csi.ListVolumesResponse.Entry(volume=response.volume, status=csi.ListVolumesResponse.VolumeStatus())
        await self._fleet.remember("volumes", listed_volume(entry))
        return response

    async def DeleteVolume(self, request: csi.DeleteVolumeRequest, context: Context) -> csi.DeleteVolumeResponse:
        send = passing(lambda node: node.controller.DeleteVolume, request)
        deleted = await self._fleet.delete(convert.required(request.volume_id, "volume_id"), send)
        return deleted or csi.DeleteVolumeResponse()

    async def ControllerPublishVolume(
        self, request: csi.ControllerPublishVolumeRequest, context: Context
    ) -> csi.ControllerPublishVolumeResponse:
        volume_id = convert.required(request.volume_id, "volume_id")
        convert.required_capability(request)
        if not await self._fleet.roster.knows_node(convert.required(request.node_id, "node_id")):
            raise errors.NotFound(f"node {request.node_id} does not exist")
        send = passing(lambda node: node.controller.ControllerPublishVolume, request)
        response = await self._fleet.call(volume_id, send)
        await self._change(volume_id, lambda entry: _attach(entry, request.node_id))
        return response

    async def ControllerUnpublishVolume(
        self, request: csi.ControllerUnpublishVolumeRequest, context: Context
    ) -> csi.ControllerUnpublishVolumeResponse:
        volume_id = convert.required(request.volume_id, "volume_id")
        if self._fleet.forgetting.gives_up(volume_id):
            return csi.ControllerUnpublishVolumeResponse()
        send = passing(lambda node: node.controller.ControllerUnpublishVolume, request)
        response = await self._fleet.call(volume_id, send)
        await self._change(volume_id, lambda entry: _detach(entry, request.node_id))
        return response

    async def ValidateVolumeCapabilities(
        self, request: csi.ValidateVolumeCapabilitiesRequest, context: Context
    ) -> csi.ValidateVolumeCapabilitiesResponse:
        send = passing(lambda node: node.controller.ValidateVolumeCapabilities, request)
        return await self._fleet.call(convert.required(request.volume_id, "volume_id"), send)

    async def ListVolumes(self, request: csi.ListVolumesRequest, context: Context) -> csi.ListVolumesResponse:
        page = await self._fleet.merge.page("volumes", request.starting_token, page_size(request.max_entries))
        entries = [csi.ListVolumesResponse.Entry.FromString(one.entry) for one in page.entries]
        return csi.ListVolumesResponse(entries=entries, next_token=page.next_token)

    async def ControllerGetVolume(
        self, request: csi.ControllerGetVolumeRequest, context: Context
    ) -> csi.ControllerGetVolumeResponse:
        send = passing(lambda node: node.controller.ControllerGetVolume, request)
        return await self._fleet.call(convert.required(request.volume_id, "volume_id"), send)

    async def ControllerListVolumeHealth(
        self, request: csi.ControllerListVolumeHealthRequest, context: Context
    ) -> csi.ControllerListVolumeHealthResponse:
        page = await self._fleet.merge.page("health", request.starting_token, page_size(request.max_entries))
        entries = [self._health(one) for one in page.entries]
        return csi.ControllerListVolumeHealthResponse(entries=entries, next_token=page.next_token)

    def _health(self, listed: Listed) -> csi.VolumeHealth:
        """As it was remembered, and INACCESSIBLE while its node does not answer."""
        entry = csi.VolumeHealth.FromString(listed.entry) if listed.entry else csi.VolumeHealth(volume_id=listed.id)
        parts = ids.split(entry.volume_id)
        home = self._fleet.roster.at_hand(parts[0]) if parts else None
        if home is not None and not home.alive:
            entry.health_statuses.extend(answer.health(entry.volume_id, [home.away()]).health_statuses)
        return entry

    async def ControllerGetVolumeHealth(
        self, request: csi.ControllerGetVolumeHealthRequest, context: Context
    ) -> csi.ControllerGetVolumeHealthResponse:
        send = passing(lambda node: node.controller.ControllerGetVolumeHealth, request)
        return await self._fleet.call(convert.required(request.volume_id, "volume_id"), send)

    async def GetCapacity(self, request: csi.GetCapacityRequest, context: Context) -> csi.GetCapacityResponse:
        room = await self._fleet.merge.room(convert.capacity_query(request))
        return csi.GetCapacityResponse(
            available_capacity=room.available,
            maximum_volume_size=Int64Value(value=room.maximum),
            minimum_volume_size=Int64Value(value=room.minimum),
        )

    async def CreateSnapshot(self, request: csi.CreateSnapshotRequest, context: Context) -> csi.CreateSnapshotResponse:
        send = passing(lambda node: node.controller.CreateSnapshot, request)
        response = await self._fleet.create_snapshot(convert.snapshot_request(request), send)
        self._fleet.forgetting.check_served(response.snapshot.snapshot_id)
        await self._fleet.remember("snapshots", listed_snapshot(response.snapshot))
        return response

    async def DeleteSnapshot(self, request: csi.DeleteSnapshotRequest, context: Context) -> csi.DeleteSnapshotResponse:
        send = passing(lambda node: node.controller.DeleteSnapshot, request)
        deleted = await self._fleet.delete(convert.required(request.snapshot_id, "snapshot_id"), send)
        return deleted or csi.DeleteSnapshotResponse()

    async def ListSnapshots(self, request: csi.ListSnapshotsRequest, context: Context) -> csi.ListSnapshotsResponse:
        if wanted := request.snapshot_id or request.source_volume_id:
            if self._fleet.forgetting.gives_up(wanted):
                return csi.ListSnapshotsResponse()
            return await self._fleet.call(wanted, passing(lambda node: node.controller.ListSnapshots, request))
        page = await self._fleet.merge.page("snapshots", request.starting_token, page_size(request.max_entries))
        entries = [csi.ListSnapshotsResponse.Entry(snapshot=csi.Snapshot.FromString(one.entry)) for one in page.entries]
        return csi.ListSnapshotsResponse(entries=entries, next_token=page.next_token)

    async def GetSnapshot(self, request: csi.GetSnapshotRequest, context: Context) -> csi.GetSnapshotResponse:
        send = passing(lambda node: node.controller.GetSnapshot, request)
        return await self._fleet.call(convert.required(request.snapshot_id, "snapshot_id"), send)

    async def ControllerExpandVolume(
        self, request: csi.ControllerExpandVolumeRequest, context: Context
    ) -> csi.ControllerExpandVolumeResponse:
        volume_id = convert.required(request.volume_id, "volume_id")
        send = passing(lambda node: node.controller.ControllerExpandVolume, request)
        response = await self._fleet.call(volume_id, send)
        await self._change(volume_id, lambda entry: _grow(entry, response.capacity_bytes))
        return response

    async def ControllerModifyVolume(
        self, request: csi.ControllerModifyVolumeRequest, context: Context
    ) -> csi.ControllerModifyVolumeResponse:
        send = passing(lambda node: node.controller.ControllerModifyVolume, request)
        return await self._fleet.call(convert.required(request.volume_id, "volume_id"), send)

    async def _change(self, volume_id: str, change: Callable[[csi.ListVolumesResponse.Entry], None]) -> None:
        def rewrite(body: bytes) -> bytes:
            entry = csi.ListVolumesResponse.Entry.FromString(body)
            change(entry)
            return entry.SerializeToString()

        if ids.split(volume_id):
            await self._fleet.memory.change("volumes", volume_id, rewrite)


def _attach(entry: csi.ListVolumesResponse.Entry, node_id: str) -> None:
    nodes = {*entry.status.published_node_ids, node_id}
    entry.status.published_node_ids[:] = sorted(nodes)


def _detach(entry: csi.ListVolumesResponse.Entry, node_id: str) -> None:
    entry.status.published_node_ids[:] = [one for one in entry.status.published_node_ids if node_id not in ("", one)]


def _grow(entry: csi.ListVolumesResponse.Entry, size: int) -> None:
    entry.volume.capacity_bytes = size

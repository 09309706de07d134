"""CSI Node: convert, call the node plugin, convert back.

Ids are looked up before paths are judged (the plugin's order): a stranger's id with a bad path is NOT_FOUND.
"""

from typing import TYPE_CHECKING

from csi.v1 import csi_pb2 as csi
from csi.v1 import csi_pb2_grpc as stubs

from ..model.health import Ailment, Status
from . import answer, convert, offered
from .interceptor import Context

if TYPE_CHECKING:
    from ..node.plugin import NodePlugin

_UNITS = {"bytes": csi.VolumeUsage.BYTES, "inodes": csi.VolumeUsage.INODES}


class Node(stubs.NodeServicer):
    def __init__(self, plugin: "NodePlugin") -> None:
        self._plugin = plugin

    async def NodeGetCapabilities(
        self, request: csi.NodeGetCapabilitiesRequest, context: Context
    ) -> csi.NodeGetCapabilitiesResponse:
        return offered.node(type(self))

    async def NodeGetInfo(self, request: csi.NodeGetInfoRequest, context: Context) -> csi.NodeGetInfoResponse:
        info = self._plugin.info()
        return csi.NodeGetInfoResponse(
            node_id=info.node_id,
            max_volumes_per_node=info.max_volumes,
            accessible_topology=csi.Topology(segments=info.topology),
        )

    async def NodeStageVolume(
        self, request: csi.NodeStageVolumeRequest, context: Context
    ) -> csi.NodeStageVolumeResponse:
        await self._plugin.stage(
            convert.required(request.volume_id, "volume_id"),
            convert.required(request.staging_target_path, "staging_target_path"),
            convert.required_capability(request),
            dict(request.volume_context),
            dict(request.publish_context),
            dict(request.secrets),
        )
        return csi.NodeStageVolumeResponse()

    async def NodeUnstageVolume(
        self, request: csi.NodeUnstageVolumeRequest, context: Context
    ) -> csi.NodeUnstageVolumeResponse:
        await self._plugin.unstage(
            convert.required(request.volume_id, "volume_id"),
            convert.required(request.staging_target_path, "staging_target_path"),
        )
        return csi.NodeUnstageVolumeResponse()

    async def NodePublishVolume(
        self, request: csi.NodePublishVolumeRequest, context: Context
    ) -> csi.NodePublishVolumeResponse:
        await self._plugin.publish(
            convert.required(request.volume_id, "volume_id"),
            convert.required(request.target_path, "target_path"),
            request.staging_target_path,
            convert.required_capability(request),
            request.readonly,
            dict(request.volume_context),
            dict(request.secrets),
        )
        return csi.NodePublishVolumeResponse()

    async def NodeUnpublishVolume(
        self, request: csi.NodeUnpublishVolumeRequest, context: Context
    ) -> csi.NodeUnpublishVolumeResponse:
        await self._plugin.unpublish(
            convert.required(request.volume_id, "volume_id"), convert.required(request.target_path, "target_path")
        )
        return csi.NodeUnpublishVolumeResponse()

    async def NodeGetVolumeStats(
        self, request: csi.NodeGetVolumeStatsRequest, context: Context
    ) -> csi.NodeGetVolumeStatsResponse:
        rows = await self._plugin.stats(
            convert.required(request.volume_id, "volume_id"),
            convert.required(request.volume_path, "volume_path"),
            request.staging_target_path,
        )
        return csi.NodeGetVolumeStatsResponse(
            usage=[
                csi.VolumeUsage(
                    available=row.available or 0, total=row.total, used=row.used or 0, unit=_UNITS[row.unit]
                )
                for row in rows
            ]
        )

    async def NodeExpandVolume(
        self, request: csi.NodeExpandVolumeRequest, context: Context
    ) -> csi.NodeExpandVolumeResponse:
        volume_id = convert.required(request.volume_id, "volume_id")
        size = await self._plugin.expand(
            volume_id,
            convert.required(request.volume_path, "volume_path"),
            request.staging_target_path,
            convert.size_range(request.capacity_range, f"volume {volume_id}"),
            convert.optional_capability(request),
        )
        return csi.NodeExpandVolumeResponse(capacity_bytes=size)

    async def NodeGetVolumeHealth(
        self, request: csi.NodeGetVolumeHealthRequest, context: Context
    ) -> csi.NodeGetVolumeHealthResponse:
        volume_id = convert.required(request.volume_id, "volume_id")
        ailments = await self._plugin.health(volume_id, request.volume_publish_path, request.staging_target_path)
        return csi.NodeGetVolumeHealthResponse(volume_health=answer.health(volume_id, ailments))

    async def NodeGetStorageHealth(
        self, request: csi.NodeGetStorageHealthRequest, context: Context
    ) -> csi.NodeGetStorageHealthResponse:
        found = await self._plugin.storage_health()
        return csi.NodeGetStorageHealthResponse(
            backend_health=[_backend_health(one) for _, ailments in found for one in ailments]
        )


def _backend_health(ailment: Ailment) -> csi.NodeGetStorageHealthResponse.StorageBackendHealth:
    gone = ailment.status is Status.INACCESSIBLE
    return csi.NodeGetStorageHealthResponse.StorageBackendHealth(
        status=csi.STORAGE_UNREACHABLE if gone else csi.STORAGE_DEGRADED,
        reason=ailment.reason,
        message=answer.words(ailment.message),
    )

"""What is announced, derived from what is there: a capability is offered when every RPC it promises is implemented.

An RPC counts as implemented when a service's class defines it; the generated base classes only refuse.
"""

from collections.abc import Iterable, Mapping, Sequence

from csi.v1 import csi_pb2 as csi
from csi.v1 import csi_pb2_grpc as stubs

_Controller = csi.ControllerServiceCapability.RPC
_Node = csi.NodeServiceCapability.RPC
_Group = csi.GroupControllerServiceCapability.RPC
_Plugin = csi.PluginCapability.Service

CONTROLLER: Mapping["_Controller.Type.ValueType", tuple[str, ...]] = {
    _Controller.CREATE_DELETE_VOLUME: ("CreateVolume", "DeleteVolume"),
    _Controller.PUBLISH_UNPUBLISH_VOLUME: ("ControllerPublishVolume", "ControllerUnpublishVolume"),
    _Controller.PUBLISH_READONLY: ("ControllerPublishVolume",),
    _Controller.LIST_VOLUMES: ("ListVolumes",),
    _Controller.LIST_VOLUMES_PUBLISHED_NODES: ("ListVolumes", "ControllerPublishVolume"),
    _Controller.GET_CAPACITY: ("GetCapacity",),
    _Controller.CREATE_DELETE_SNAPSHOT: ("CreateSnapshot", "DeleteSnapshot"),
    _Controller.LIST_SNAPSHOTS: ("ListSnapshots",),
    _Controller.GET_SNAPSHOT: ("GetSnapshot",),
    _Controller.CLONE_VOLUME: ("CreateVolume",),
    _Controller.EXPAND_VOLUME: ("ControllerExpandVolume",),
    _Controller.GET_VOLUME: ("ControllerGetVolume",),
    _Controller.GET_VOLUME_HEALTH: ("ControllerGetVolumeHealth",),
    _Controller.LIST_VOLUME_HEALTH: ("ControllerListVolumeHealth", "ControllerGetVolumeHealth"),
    _Controller.SINGLE_NODE_MULTI_WRITER: ("CreateVolume", "ValidateVolumeCapabilities"),
    _Controller.MODIFY_VOLUME: ("ControllerModifyVolume",),
}
NODE: Mapping["_Node.Type.ValueType", tuple[str, ...]] = {
    _Node.STAGE_UNSTAGE_VOLUME: ("NodeStageVolume", "NodeUnstageVolume"),
    _Node.GET_VOLUME_STATS: ("NodeGetVolumeStats",),
    _Node.EXPAND_VOLUME: ("NodeExpandVolume",),
    _Node.SINGLE_NODE_MULTI_WRITER: ("NodePublishVolume",),
    _Node.GET_VOLUME_HEALTH: ("NodeGetVolumeHealth",),
    _Node.GET_STORAGE_HEALTH: ("NodeGetStorageHealth",),
}
GROUP: Mapping["_Group.Type.ValueType", tuple[str, ...]] = {
    _Group.CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT: (
        "CreateVolumeGroupSnapshot",
        "DeleteVolumeGroupSnapshot",
        "GetVolumeGroupSnapshot",
    ),
}


def implements(service: type, rpcs: Iterable[str]) -> bool:
    """Whether ``service``, or a class of ours it inherits from, defines every one of ``rpcs``."""
    return all(
        any(rpc in cls.__dict__ for cls in service.__mro__ if not cls.__module__.startswith(stubs.__name__))
        for rpc in rpcs
    )


def controller(service: type) -> csi.ControllerGetCapabilitiesResponse:
    offered = [kind for kind, rpcs in CONTROLLER.items() if implements(service, rpcs)]
    return csi.ControllerGetCapabilitiesResponse(
        capabilities=[csi.ControllerServiceCapability(rpc=_Controller(type=kind)) for kind in offered]
    )


def node(service: type) -> csi.NodeGetCapabilitiesResponse:
    offered = [kind for kind, rpcs in NODE.items() if implements(service, rpcs)]
    return csi.NodeGetCapabilitiesResponse(
        capabilities=[csi.NodeServiceCapability(rpc=_Node(type=kind)) for kind in offered]
    )


def group(service: type) -> csi.GroupControllerGetCapabilitiesResponse:
    offered = [kind for kind, rpcs in GROUP.items() if implements(service, rpcs)]
    return csi.GroupControllerGetCapabilitiesResponse(
        capabilities=[csi.GroupControllerServiceCapability(rpc=_Group(type=kind)) for kind in offered]
    )


def plugin(services: Sequence[type]) -> csi.GetPluginCapabilitiesResponse:
    """For a driver whose processes together serve ``services``. All its volumes have a topology, and grow online."""
    offered = [_Plugin.VOLUME_ACCESSIBILITY_CONSTRAINTS, _Plugin.SNAPSHOT_ACCESSIBILITY_CONSTRAINTS]
    for kind, base in (
        (_Plugin.CONTROLLER_SERVICE, stubs.ControllerServicer),
        (_Plugin.GROUP_CONTROLLER_SERVICE, stubs.GroupControllerServicer),
        (_Plugin.SNAPSHOT_METADATA_SERVICE, stubs.SnapshotMetadataServicer),
    ):
        if any(issubclass(service, base) for service in services):
            offered.append(kind)
    answer = csi.GetPluginCapabilitiesResponse(
        capabilities=[csi.PluginCapability(service=_Plugin(type=kind)) for kind in sorted(offered)]
    )
    if any(implements(service, ["ControllerExpandVolume"]) for service in services):
        online = csi.PluginCapability.VolumeExpansion(type=csi.PluginCapability.VolumeExpansion.ONLINE)
        answer.capabilities.append(csi.PluginCapability(volume_expansion=online))
    return answer

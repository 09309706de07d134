"""What is announced is what is there."""

import pytest

from csi.v1 import csi_pb2 as csi
from csi.v1 import csi_pb2_grpc as stubs
from driver.rpc import offered, services
from driver.rpc.controller import Controller
from driver.rpc.group import GroupController
from driver.rpc.node import Node
from driver.rpc.routed import services as routed
from driver.rpc.routed.controller import Controller as RoutedController

CONTROLLER = {
    "CREATE_DELETE_VOLUME", "PUBLISH_UNPUBLISH_VOLUME", "LIST_VOLUMES", "GET_CAPACITY", "CREATE_DELETE_SNAPSHOT",
    "LIST_SNAPSHOTS", "CLONE_VOLUME", "PUBLISH_READONLY", "EXPAND_VOLUME", "LIST_VOLUMES_PUBLISHED_NODES", "GET_VOLUME",
    "SINGLE_NODE_MULTI_WRITER", "MODIFY_VOLUME", "GET_SNAPSHOT", "GET_VOLUME_HEALTH", "LIST_VOLUME_HEALTH",
}  # fmt: skip
NODE = {
    "STAGE_UNSTAGE_VOLUME", "GET_VOLUME_STATS", "EXPAND_VOLUME", "SINGLE_NODE_MULTI_WRITER", "GET_VOLUME_HEALTH",
    "GET_STORAGE_HEALTH",
}  # fmt: skip


@pytest.mark.parametrize("service", [Controller, RoutedController])
def test_a_controller_offers_all_that_csi_has(service: type) -> None:
    """Issue: every RPC of the Controller service; a router as much as a node."""
    answer = offered.controller(service)
    names = [csi.ControllerServiceCapability.RPC.Type.Name(one.rpc.type) for one in answer.capabilities]
    assert (set(names), len(names)) == (CONTROLLER, len(CONTROLLER))


def test_a_node_offers_all_but_the_mount_group() -> None:
    """Design: VOLUME_MOUNT_GROUP would make kubelet skip fsGroup for every volume."""
    names = {csi.NodeServiceCapability.RPC.Type.Name(one.rpc.type) for one in offered.node(Node).capabilities}
    assert names == NODE


def test_groups_are_offered() -> None:
    """CSI GroupController has one capability."""
    assert len(offered.group(GroupController).capabilities) == 1


@pytest.mark.parametrize("driver", [services.DRIVER, routed.DRIVER])
def test_the_plugin_offers_its_services_topology_and_growth_online(driver: tuple[type, ...]) -> None:
    """The same on every socket of every role: a node announces the controller's services, which csi-sanity asks it for."""
    answer = offered.plugin(driver)
    named = {
        csi.PluginCapability.Service.Type.Name(one.service.type)
        for one in answer.capabilities
        if one.HasField("service")
    }
    grown = [one.volume_expansion.type for one in answer.capabilities if one.HasField("volume_expansion")]
    assert named == {
        "CONTROLLER_SERVICE",
        "VOLUME_ACCESSIBILITY_CONSTRAINTS",
        "GROUP_CONTROLLER_SERVICE",
        "SNAPSHOT_METADATA_SERVICE",
        "SNAPSHOT_ACCESSIBILITY_CONSTRAINTS",
    }
    assert grown == [csi.PluginCapability.VolumeExpansion.ONLINE]


def test_an_rpc_that_is_missing_takes_its_capabilities_with_it() -> None:
    """No flag could lie: LIST_VOLUMES_PUBLISHED_NODES needs both of its RPCs."""

    class Half(stubs.ControllerServicer):
        async def ListVolumes(self, request: object, context: object) -> None:
            """There, unlike ControllerPublishVolume."""

    kinds = [one.rpc.type for one in offered.controller(Half).capabilities]
    assert kinds == [csi.ControllerServiceCapability.RPC.LIST_VOLUMES]


def test_every_rpc_a_capability_names_exists() -> None:
    """A misspelt name would silently never be offered."""
    for table, base in (
        (offered.CONTROLLER, stubs.ControllerServicer),
        (offered.NODE, stubs.NodeServicer),
        (offered.GROUP, stubs.GroupControllerServicer),
    ):
        for rpcs in table.values():
            assert all(hasattr(base, rpc) for rpc in rpcs)

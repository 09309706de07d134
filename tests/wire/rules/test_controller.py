"""CSI's other Controller RPCs: the behaviours drivers most often get wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from csi.v1 import csi_pb2
from tests.daemon import Stubs

from .conftest import MIB, NODE, TOPOLOGY_KEY, capability

POOLS = ["shared", "copied", "sub", "dir"]
UNKNOWN = "p000000000000.v-" + "0" * 24


def _publish(volume_id: str, node_id: str = NODE, **more: Any) -> csi_pb2.ControllerPublishVolumeRequest:
    return csi_pb2.ControllerPublishVolumeRequest(
        volume_id=volume_id, node_id=node_id, volume_capability=capability(), **more
    )


def _unpublish(volume_id: str, node_id: str = "") -> csi_pb2.ControllerUnpublishVolumeRequest:
    return csi_pb2.ControllerUnpublishVolumeRequest(volume_id=volume_id, node_id=node_id)


# -- ControllerPublish / Unpublish -------------------------------------------------------------------------------------


def test_publish_knows_volume_and_node(stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str]) -> None:
    """Rule: volume or node missing → NOT_FOUND."""
    volume = make()
    fails("NOT_FOUND", stubs.controller.ControllerPublishVolume, _publish(UNKNOWN))
    fails("NOT_FOUND", stubs.controller.ControllerPublishVolume, _publish(volume.volume_id, "node-z"))


def test_publish_in_another_way_is_already_exists(
    stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str]
) -> None:
    """Rule: same node, same arguments → OK; other arguments → ALREADY_EXISTS."""
    volume = make()
    stubs.controller.ControllerPublishVolume(_publish(volume.volume_id))
    stubs.controller.ControllerPublishVolume(_publish(volume.volume_id))
    fails("ALREADY_EXISTS", stubs.controller.ControllerPublishVolume, _publish(volume.volume_id, readonly=True))
    stubs.controller.ControllerUnpublishVolume(_unpublish(volume.volume_id, NODE))


def test_the_ninth_volume_is_over_the_limit(stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str]) -> None:
    """Rule: max_volumes_per_node is enforced with RESOURCE_EXHAUSTED; NodeGetInfo announces it."""
    assert stubs.node.NodeGetInfo(csi_pb2.NodeGetInfoRequest()).max_volumes_per_node == 8
    volumes = [make() for _ in range(9)]
    for volume in volumes[:8]:
        stubs.controller.ControllerPublishVolume(_publish(volume.volume_id))
    message = fails("RESOURCE_EXHAUSTED", stubs.controller.ControllerPublishVolume, _publish(volumes[8].volume_id))
    assert NODE in message
    for volume in volumes:
        stubs.controller.ControllerUnpublishVolume(_unpublish(volume.volume_id))


def test_unpublish_without_a_node_means_every_node(stubs: Stubs, make: Callable[..., Any]) -> None:
    """Rule: empty node_id = every node; missing → OK; a granted volume is listed with its node."""
    volume = make()
    stubs.controller.ControllerPublishVolume(_publish(volume.volume_id))
    get = csi_pb2.ControllerGetVolumeRequest(volume_id=volume.volume_id)
    assert list(stubs.controller.ControllerGetVolume(get).status.published_node_ids) == [NODE]
    for _ in range(2):
        stubs.controller.ControllerUnpublishVolume(_unpublish(volume.volume_id))
    assert list(stubs.controller.ControllerGetVolume(get).status.published_node_ids) == []
    stubs.controller.ControllerUnpublishVolume(_unpublish(UNKNOWN))


def test_an_attached_volume_is_not_deleted(stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str]) -> None:
    """Rule: in use → FAILED_PRECONDITION, naming the node."""
    volume = make()
    stubs.controller.ControllerPublishVolume(_publish(volume.volume_id))
    delete = csi_pb2.DeleteVolumeRequest(volume_id=volume.volume_id)
    assert NODE in fails("FAILED_PRECONDITION", stubs.controller.DeleteVolume, delete)
    stubs.controller.ControllerUnpublishVolume(_unpublish(volume.volume_id))


# -- ValidateVolumeCapabilities ----------------------------------------------------------------------------------------


def test_validation_is_all_or_nothing(stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str]) -> None:
    """Rule: confirmed echoes ALL capabilities or is empty with a message; NOT_FOUND if missing."""
    volume = make()
    good, bad = capability(mode="SINGLE_NODE_READER_ONLY"), capability("block")
    request = csi_pb2.ValidateVolumeCapabilitiesRequest(
        volume_id=volume.volume_id, volume_capabilities=[good], volume_context=volume.volume_context
    )
    answer = stubs.controller.ValidateVolumeCapabilities(request)
    assert list(answer.confirmed.volume_capabilities) == [good]
    assert dict(answer.confirmed.volume_context) == dict(volume.volume_context)
    request.volume_capabilities.append(bad)
    answer = stubs.controller.ValidateVolumeCapabilities(request)
    assert not answer.HasField("confirmed")
    assert "filesystem volume, not block" in answer.message
    request.volume_id = UNKNOWN
    fails("NOT_FOUND", stubs.controller.ValidateVolumeCapabilities, request)


# -- lists -------------------------------------------------------------------------------------------------------------


def test_pages_survive_concurrent_change(stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str]) -> None:
    """Rule: max_entries 0 = all; next_token empty only at the end; a token goes on where it was; foreign → ABORTED."""
    volumes = [make(pool=pool) for pool in POOLS for _ in range(2)]
    seen: list[str] = []
    token = ""
    while True:
        answer = stubs.controller.ListVolumes(csi_pb2.ListVolumesRequest(max_entries=3, starting_token=token))
        assert len(answer.entries) <= 3
        if token == "":
            first = answer.entries[0].volume.volume_id
            stubs.controller.DeleteVolume(csi_pb2.DeleteVolumeRequest(volume_id=first))
        seen += [entry.volume.volume_id for entry in answer.entries]
        token = answer.next_token
        if not token:
            break
    assert {volume.volume_id for volume in volumes} <= set(seen)
    assert len(seen) == len(set(seen))
    every = stubs.controller.ListVolumes(csi_pb2.ListVolumesRequest())
    assert every.next_token == ""
    fails("ABORTED", stubs.controller.ListVolumes, csi_pb2.ListVolumesRequest(starting_token="foreign"))
    fails("ABORTED", stubs.controller.ListSnapshots, csi_pb2.ListSnapshotsRequest(starting_token="foreign"))
    fails("INVALID_ARGUMENT", stubs.controller.ListVolumes, csi_pb2.ListVolumesRequest(max_entries=-1))


def test_unknown_filters_give_an_empty_list(stubs: Stubs) -> None:
    """Rule: unknown id filter → empty OK list."""
    for request in (
        csi_pb2.ListSnapshotsRequest(snapshot_id="unknown"),
        csi_pb2.ListSnapshotsRequest(source_volume_id="unknown"),
    ):
        answer = stubs.controller.ListSnapshots(request)
        assert list(answer.entries) == []
        assert answer.next_token == ""


# -- GetCapacity -------------------------------------------------------------------------------------------------------


def test_capacity_honours_parameters_capabilities_and_topology(stubs: Stubs) -> None:
    """Rule: must honour capabilities, parameters and topology; maximum_volume_size is the largest single volume."""
    whole = stubs.controller.GetCapacity(csi_pb2.GetCapacityRequest())
    one = stubs.controller.GetCapacity(csi_pb2.GetCapacityRequest(parameters={"pool": "shared"}))
    assert 0 < one.available_capacity < whole.available_capacity
    assert whole.maximum_volume_size.value < whole.available_capacity
    assert one.maximum_volume_size.value == one.available_capacity
    block = stubs.controller.GetCapacity(csi_pb2.GetCapacityRequest(volume_capabilities=[capability("block")]))
    assert 0 < block.available_capacity < whole.available_capacity
    away = csi_pb2.GetCapacityRequest(accessible_topology=csi_pb2.Topology(segments={TOPOLOGY_KEY: "node-z"}))
    assert stubs.controller.GetCapacity(away).available_capacity == 0
    xfs = csi_pb2.GetCapacityRequest(volume_capabilities=[capability(fs_type="xfs")], parameters={"pool": "shared"})
    assert stubs.controller.GetCapacity(xfs).minimum_volume_size.value >= 300 * MIB


def test_capacity_shrinks_by_what_is_created(stubs: Stubs, make: Callable[..., Any]) -> None:
    """Rule: reservations count, though a thin volume takes up nothing yet."""
    request = csi_pb2.GetCapacityRequest(parameters={"pool": "shared"})
    before = stubs.controller.GetCapacity(request).available_capacity
    make(size=64 * MIB)
    after = stubs.controller.GetCapacity(request).available_capacity
    assert before - after >= 63 * MIB


# -- expand and modify -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", POOLS)
def test_expand_is_idempotent_and_bounded(
    stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str], pool: str
) -> None:
    """Rule: already ≥ target → OK; too large → OUT_OF_RANGE; never above limit_bytes; never shrinks."""
    volume = make(pool=pool, size=4 * MIB)

    def expand(required: int, limit: int = 0) -> csi_pb2.ControllerExpandVolumeRequest:
        request = csi_pb2.ControllerExpandVolumeRequest(volume_id=volume.volume_id)
        request.capacity_range.required_bytes = required
        request.capacity_range.limit_bytes = limit
        return request

    for _ in range(2):
        assert stubs.controller.ControllerExpandVolume(expand(7 * MIB)).capacity_bytes == 7 * MIB
    assert stubs.controller.ControllerExpandVolume(expand(5 * MIB)).capacity_bytes == 7 * MIB
    fails("OUT_OF_RANGE", stubs.controller.ControllerExpandVolume, expand(5 * MIB, 6 * MIB))
    fails("OUT_OF_RANGE", stubs.controller.ControllerExpandVolume, expand(1 << 50))
    fails("INVALID_ARGUMENT", stubs.controller.ControllerExpandVolume, expand(-1))


def test_only_filesystems_need_the_node_to_expand(stubs: Stubs, make: Callable[..., Any]) -> None:
    """Rule: node_expansion_required is true for filesystem volumes, false for block."""
    for access, needed in (("mount", True), ("block", False)):
        volume = make(volume_capabilities=[capability(access)])
        request = csi_pb2.ControllerExpandVolumeRequest(volume_id=volume.volume_id)
        request.capacity_range.required_bytes = 8 * MIB
        assert stubs.controller.ControllerExpandVolume(request).node_expansion_required is needed


def test_modify_is_all_or_nothing(stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str]) -> None:
    """Rule: INVALID_ARGUMENT leaves nothing changed; an absent key does not change; idempotent; NOT_FOUND if missing."""
    volume = make(pool="sub", mutable_parameters={"compression": "zstd"})

    def modify(**parameters: str) -> csi_pb2.ControllerModifyVolumeRequest:
        return csi_pb2.ControllerModifyVolumeRequest(volume_id=volume.volume_id, mutable_parameters=parameters)

    def in_force(**parameters: str) -> bool:
        request = csi_pb2.ValidateVolumeCapabilitiesRequest(
            volume_id=volume.volume_id, volume_capabilities=[capability()], mutable_parameters=parameters
        )
        return bool(stubs.controller.ValidateVolumeCapabilities(request).HasField("confirmed"))

    fails("INVALID_ARGUMENT", stubs.controller.ControllerModifyVolume, modify(compression="lzo", bogus="x"))
    assert in_force(compression="zstd")
    for _ in range(2):
        stubs.controller.ControllerModifyVolume(modify(compression="lzo"))
    assert in_force(compression="lzo")
    stubs.controller.ControllerModifyVolume(modify())
    assert in_force(compression="lzo", wipe="none")
    missing = csi_pb2.ControllerModifyVolumeRequest(volume_id=UNKNOWN, mutable_parameters={"wipe": "none"})
    fails("NOT_FOUND", stubs.controller.ControllerModifyVolume, missing)


def test_what_kubernetes_adds_to_a_change_is_no_change(stubs: Stubs, make: Callable[..., Any]) -> None:
    """csi-resizer --extra-modify-metadata says for which claim and volume it asks, among the mutable parameters."""
    volume = make(pool="sub")
    added = {f"csi.storage.k8s.io/{key}": "x" for key in ("pvc/name", "pvc/namespace", "pv/name")}
    for mutable in ({"compression": "lzo", **added}, added):
        stubs.controller.ControllerModifyVolume(
            csi_pb2.ControllerModifyVolumeRequest(volume_id=volume.volume_id, mutable_parameters=mutable)
        )

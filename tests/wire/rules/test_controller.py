"""CSI's other Controller RPCs: the behaviours drivers most often get wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from csi.v1 import csi_pb2
from tests.daemon import Stubs

from .conftest import MIB, NODE, TOPOLOGY_KEY, capability, volume_request

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


# -- snapshots ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", POOLS)
def test_snapshot_names_belong_to_one_source(
    stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str], name: Callable[[], str], pool: str
) -> None:
    """Rule: same name and source → same answer; other source → ALREADY_EXISTS; the cut's time never changes."""
    one, other, taken = make(pool=pool), make(pool=pool), name()
    request = csi_pb2.CreateSnapshotRequest(name=taken, source_volume_id=one.volume_id)
    first = stubs.controller.CreateSnapshot(request).snapshot
    again = stubs.controller.CreateSnapshot(request).snapshot
    assert (again.snapshot_id, again.creation_time) == (first.snapshot_id, first.creation_time)
    request.source_volume_id = other.volume_id
    fails("ALREADY_EXISTS", stubs.controller.CreateSnapshot, request)
    assert dict(again.accessible_topology[0].segments) == {TOPOLOGY_KEY: NODE}
    for _ in range(2):
        stubs.controller.DeleteSnapshot(csi_pb2.DeleteSnapshotRequest(snapshot_id=first.snapshot_id))
    fails("NOT_FOUND", stubs.controller.GetSnapshot, csi_pb2.GetSnapshotRequest(snapshot_id=first.snapshot_id))


def test_a_snapshot_elsewhere_is_resource_exhausted(
    stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str], name: Callable[[], str]
) -> None:
    """Rule: a snapshot of a local volume asked for elsewhere than its pool is RESOURCE_EXHAUSTED."""
    volume = make()
    elsewhere = csi_pb2.TopologyRequirement(requisite=[csi_pb2.Topology(segments={TOPOLOGY_KEY: "node-z"})])
    request = csi_pb2.CreateSnapshotRequest(
        name=name(), source_volume_id=volume.volume_id, accessibility_requirements=elsewhere
    )
    fails("RESOURCE_EXHAUSTED", stubs.controller.CreateSnapshot, request)


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


# -- groups ------------------------------------------------------------------------------------------------------------


def test_group_snapshots_are_exact_about_their_members(
    stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str], name: Callable[[], str]
) -> None:
    """Rule: other sources → ALREADY_EXISTS; given ids must match; members cannot be deleted alone; unknown delete → OK."""
    one, other, third = make(), make(pool="sub"), make()
    taken = name()
    request = csi_pb2.CreateVolumeGroupSnapshotRequest(name=taken, source_volume_ids=[one.volume_id, other.volume_id])
    group = stubs.group.CreateVolumeGroupSnapshot(request).group_snapshot
    assert group.ready_to_use
    assert {member.source_volume_id for member in group.snapshots} == {one.volume_id, other.volume_id}
    assert {member.group_snapshot_id for member in group.snapshots} == {group.group_snapshot_id}
    assert stubs.group.CreateVolumeGroupSnapshot(request).group_snapshot == group
    request.source_volume_ids.append(third.volume_id)
    fails("ALREADY_EXISTS", stubs.group.CreateVolumeGroupSnapshot, request)
    member = csi_pb2.DeleteSnapshotRequest(snapshot_id=group.snapshots[0].snapshot_id)
    fails("INVALID_ARGUMENT", stubs.controller.DeleteSnapshot, member)
    wrong = csi_pb2.GetVolumeGroupSnapshotRequest(group_snapshot_id=group.group_snapshot_id, snapshot_ids=["x"])
    fails("INVALID_ARGUMENT", stubs.group.GetVolumeGroupSnapshot, wrong)
    delete = csi_pb2.DeleteVolumeGroupSnapshotRequest(
        group_snapshot_id=group.group_snapshot_id, snapshot_ids=[one.snapshot_id for one in group.snapshots]
    )
    for _ in range(2):
        stubs.group.DeleteVolumeGroupSnapshot(delete)
    stubs.group.DeleteVolumeGroupSnapshot(csi_pb2.DeleteVolumeGroupSnapshotRequest(group_snapshot_id="unknown"))


def test_a_group_that_cannot_be_cut_together_is_refused_whole(
    stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str], name: Callable[[], str]
) -> None:
    """Rule: all members as of one moment, or none."""
    one, copied = make(), make(pool="copied")
    request = csi_pb2.CreateVolumeGroupSnapshotRequest(name=name(), source_volume_ids=[one.volume_id, copied.volume_id])
    assert copied.volume_id in fails("FAILED_PRECONDITION", stubs.group.CreateVolumeGroupSnapshot, request)
    listed = stubs.controller.ListSnapshots(csi_pb2.ListSnapshotsRequest(source_volume_id=one.volume_id))
    assert list(listed.entries) == []


def test_members_that_cannot_be_held_still_together_are_refused(
    stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str], name: Callable[[], str], tmp_path: Path
) -> None:
    """Rule: a group is consistent across its members: two subvolumes being written to cannot be cut at one moment."""
    volumes = [make(pool="sub") for _ in range(2)]
    for number, volume in enumerate(volumes):
        paths = {"staging_target_path": str(tmp_path / f"staging-{number}")}
        Path(paths["staging_target_path"]).mkdir()
        common = {"volume_id": volume.volume_id, "volume_capability": capability()} | paths
        stubs.node.NodeStageVolume(csi_pb2.NodeStageVolumeRequest(**common))
        target = str(tmp_path / f"target-{number}")
        stubs.node.NodePublishVolume(csi_pb2.NodePublishVolumeRequest(**common, target_path=target))
    both = csi_pb2.CreateVolumeGroupSnapshotRequest(name=name(), source_volume_ids=[one.volume_id for one in volumes])
    assert volumes[0].volume_id in fails("FAILED_PRECONDITION", stubs.group.CreateVolumeGroupSnapshot, both)
    for number, volume in enumerate(volumes):
        stubs.node.NodeUnpublishVolume(
            csi_pb2.NodeUnpublishVolumeRequest(
                volume_id=volume.volume_id, target_path=str(tmp_path / f"target-{number}")
            )
        )
        if number == 0:  # the other is still written to: alone, it is cut at an instant of its own
            group = stubs.group.CreateVolumeGroupSnapshot(both).group_snapshot
            stubs.group.DeleteVolumeGroupSnapshot(
                csi_pb2.DeleteVolumeGroupSnapshotRequest(group_snapshot_id=group.group_snapshot_id)
            )
    for number, volume in enumerate(volumes):
        staging = str(tmp_path / f"staging-{number}")
        stubs.node.NodeUnstageVolume(
            csi_pb2.NodeUnstageVolumeRequest(volume_id=volume.volume_id, staging_target_path=staging)
        )


# -- health, metadata, probe -------------------------------------------------------------------------------------------


def test_health_is_an_empty_list_when_healthy(
    stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str]
) -> None:
    """Rule: an empty list of statuses means healthy; unknown volume NOT_FOUND."""
    volume = make()
    request = csi_pb2.ControllerGetVolumeHealthRequest(volume_id=volume.volume_id)
    answer = stubs.controller.ControllerGetVolumeHealth(request)
    assert len(answer.volume_health.health_statuses) == 0
    request.volume_id = UNKNOWN
    fails("NOT_FOUND", stubs.controller.ControllerGetVolumeHealth, request)


def test_metadata_starts_within_the_snapshot(
    stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str], name: Callable[[], str]
) -> None:
    """Rule: starting_offset past the end → OUT_OF_RANGE; unknown snapshot → NOT_FOUND."""
    volume = make()
    snapshot = stubs.controller.CreateSnapshot(
        csi_pb2.CreateSnapshotRequest(name=name(), source_volume_id=volume.volume_id)
    ).snapshot
    request = csi_pb2.GetMetadataAllocatedRequest(snapshot_id=snapshot.snapshot_id, starting_offset=1 << 40)
    fails("OUT_OF_RANGE", stubs.metadata.GetMetadataAllocated, request)
    fails("NOT_FOUND", stubs.metadata.GetMetadataAllocated, csi_pb2.GetMetadataAllocatedRequest(snapshot_id="unknown"))
    stubs.controller.DeleteSnapshot(csi_pb2.DeleteSnapshotRequest(snapshot_id=snapshot.snapshot_id))


def test_probe_says_ready(stubs: Stubs) -> None:
    """Rule: Probe is OK with ready true once the driver serves."""
    assert stubs.identity.Probe(csi_pb2.ProbeRequest()).ready.value


def test_missing_fields_are_invalid_arguments(stubs: Stubs, fails: Callable[..., str]) -> None:
    """Rule: a missing required field → INVALID_ARGUMENT naming it."""
    assert "name" in fails("INVALID_ARGUMENT", stubs.controller.CreateVolume, volume_request(""))
    no_capability = volume_request("x", volume_capabilities=[])
    assert "capabilit" in fails("INVALID_ARGUMENT", stubs.controller.CreateVolume, no_capability)
    assert "volume_id" in fails("INVALID_ARGUMENT", stubs.controller.DeleteVolume, csi_pb2.DeleteVolumeRequest())
    assert "source" in fails(
        "INVALID_ARGUMENT", stubs.controller.CreateSnapshot, csi_pb2.CreateSnapshotRequest(name="x")
    )

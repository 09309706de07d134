"""CSI's snapshots, groups, health and metadata: the behaviours drivers most often get wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from csi.v1 import csi_pb2
from tests.daemon import Stubs

from .conftest import NODE, TOPOLOGY_KEY, capability, volume_request

POOLS = ["shared", "copied", "sub", "dir"]
UNKNOWN = "p000000000000.v-" + "0" * 24


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

"""A controller over two nodes, all real processes: calls by id and by name, lists, a lost node."""

import shutil
import signal
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from csi.holdall.v1 import holdall_pb2 as holdall
from csi.v1 import csi_pb2 as csi
from tests.daemon import Stubs

from .fleets import KEY, Fleet, capability, create, home

Code = grpc.StatusCode


def code_of(call: Callable[..., Any], request: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refused:
        call(request, timeout=20)
    return refused.value.code(), refused.value.details()


def listed(stubs: Stubs, limit: int = 0) -> list[str]:
    found: list[str] = []
    token = ""
    while True:
        page = stubs.controller.ListVolumes(csi.ListVolumesRequest(max_entries=limit, starting_token=token), timeout=20)
        found += [entry.volume.volume_id for entry in page.entries]
        token = page.next_token
        if not token:
            return found


def test_a_volumes_whole_life_goes_through_the_controller(two: Fleet) -> None:
    """Create, get, validate, expand, modify, publish, snapshot, restore, delete, each on the node that has it."""
    control = two.stubs.controller
    volume = create(two.stubs, "life", on="b")
    assert home(volume) == "node-b"
    got = control.ControllerGetVolume(csi.ControllerGetVolumeRequest(volume_id=volume.volume_id))
    assert got.volume == volume
    confirmed = control.ValidateVolumeCapabilities(
        csi.ValidateVolumeCapabilitiesRequest(volume_id=volume.volume_id, volume_capabilities=[capability()])
    )
    assert confirmed.HasField("confirmed")
    grown = control.ControllerExpandVolume(
        csi.ControllerExpandVolumeRequest(
            volume_id=volume.volume_id, capacity_range=csi.CapacityRange(required_bytes=2 << 20)
        )
    )
    assert grown.capacity_bytes == 2 << 20
    control.ControllerModifyVolume(csi.ControllerModifyVolumeRequest(volume_id=volume.volume_id))
    snapshot = control.CreateSnapshot(
        csi.CreateSnapshotRequest(name="cut", source_volume_id=volume.volume_id), timeout=30
    ).snapshot
    assert snapshot.accessible_topology[0].segments[KEY] == "node-b"
    assert control.GetSnapshot(csi.GetSnapshotRequest(snapshot_id=snapshot.snapshot_id)).snapshot.snapshot_id
    control.DeleteVolume(csi.DeleteVolumeRequest(volume_id=volume.volume_id))
    source = csi.VolumeContentSource(snapshot=csi.VolumeContentSource.SnapshotSource(snapshot_id=snapshot.snapshot_id))
    restored = csi.CreateVolumeRequest(
        name="restored", volume_capabilities=[capability()], volume_content_source=source
    )
    assert home(_until_filled(two.stubs, restored)) == "node-b"
    control.DeleteSnapshot(csi.DeleteSnapshotRequest(snapshot_id=snapshot.snapshot_id))
    assert code_of(control.GetSnapshot, csi.GetSnapshotRequest(snapshot_id=snapshot.snapshot_id))[0] is Code.NOT_FOUND


def _until_filled(stubs: Stubs, request: csi.CreateVolumeRequest) -> csi.Volume:
    for _ in range(50):
        try:
            return stubs.controller.CreateVolume(request, timeout=20).volume
        except grpc.RpcError as error:
            assert error.code() is Code.ABORTED, error.details()
            time.sleep(0.1)
    raise AssertionError("never filled")


def test_identity_is_the_controllers_own(two: Fleet) -> None:
    """Issue: Identity and Probe are local; a node announces CONTROLLER_SERVICE on kubelet's socket too."""
    controller = two.stubs.identity.GetPluginCapabilities(csi.GetPluginCapabilitiesRequest())
    with Stubs(two.nodes["a"].endpoint) as kubelet:
        node = kubelet.identity.GetPluginCapabilities(csi.GetPluginCapabilitiesRequest())
        assert kubelet.node.NodeGetInfo(csi.NodeGetInfoRequest()).node_id == "node-a"
        unserved = code_of(kubelet.controller.ListVolumes, csi.ListVolumesRequest())
    assert controller == node
    assert two.stubs.identity.Probe(csi.ProbeRequest()).ready.value
    assert unserved[0] is Code.UNIMPLEMENTED
    assert code_of(two.stubs.node.NodeGetInfo, csi.NodeGetInfoRequest())[0] is Code.UNIMPLEMENTED


def test_lists_are_merged_in_id_order_with_tokens_of_their_own(two: Fleet) -> None:
    """The engine's tokens and the fleet's are the same: this holds them together over the wire."""
    made = [create(two.stubs, f"n{number}", on="ab"[number % 2]).volume_id for number in range(7)]
    for limit in (0, 1, 2, 3, 6, 7, 8):
        assert listed(two.stubs, limit) == sorted(made)
    stale = csi.ListVolumesRequest(starting_token="invalid-token")
    assert code_of(two.stubs.controller.ListVolumes, stale)[0] is Code.ABORTED


def test_snapshots_are_listed_over_the_fleet_and_by_filter(two: Fleet) -> None:
    """ListSnapshots unfiltered is merged; by source or id it is the one node's; an unknown id is an empty list."""
    control = two.stubs.controller
    sources = [create(two.stubs, f"s{name}", on=name).volume_id for name in "ab"]
    cut = sorted(
        control.CreateSnapshot(csi.CreateSnapshotRequest(name=f"c{one}", source_volume_id=one), timeout=30)
        .snapshot.snapshot_id
        for one in sources
    )  # fmt: skip
    everything = control.ListSnapshots(csi.ListSnapshotsRequest())
    assert [entry.snapshot.snapshot_id for entry in everything.entries] == cut
    first = control.ListSnapshots(csi.ListSnapshotsRequest(max_entries=1))
    rest = control.ListSnapshots(csi.ListSnapshotsRequest(starting_token=first.next_token))
    assert [entry.snapshot.snapshot_id for entry in (*first.entries, *rest.entries)] == cut
    of_one = control.ListSnapshots(csi.ListSnapshotsRequest(source_volume_id=sources[1]))
    assert [entry.snapshot.source_volume_id for entry in of_one.entries] == [sources[1]]
    assert not control.ListSnapshots(csi.ListSnapshotsRequest(snapshot_id="unknown")).entries


def test_a_lost_node_does_not_shorten_lists_nor_block_others(two: Fleet) -> None:
    """Its volumes come from memory; a call about them is UNAVAILABLE by its name; others are answered as before."""
    control = two.stubs.controller
    on_a, on_b = create(two.stubs, "on-a", on="a"), create(two.stubs, "on-b", on="b")
    two.nodes["a"].kill()

    assert listed(two.stubs) == sorted([on_a.volume_id, on_b.volume_id])
    lost = code_of(control.ControllerGetVolume, csi.ControllerGetVolumeRequest(volume_id=on_a.volume_id))
    assert (lost[0], "node-a" in lost[1]) == (Code.UNAVAILABLE, True)
    began = time.monotonic()
    control.ControllerGetVolume(csi.ControllerGetVolumeRequest(volume_id=on_b.volume_id), timeout=20)
    assert time.monotonic() - began < 5
    health = control.ControllerListVolumeHealth(csi.ControllerListVolumeHealthRequest())
    reasons = {one.volume_id: [said.reason for said in one.health_statuses] for one in health.entries}
    assert reasons == {on_a.volume_id: ["NodeLost"]}
    pools = {pool.node_id: pool.state for pool in two.stubs.holdall.ListPools(holdall.ListPoolsRequest()).pools}
    assert pools == {"node-a": "unreachable", "node-b": "ready"}
    findings = list(two.stubs.holdall.Doctor(holdall.DoctorRequest()))
    assert ("node-a", "NodeLost") in {(one.subject, one.kind) for one in findings}

    two.nodes["a"].start()
    _until(lambda: _has(two.stubs, on_a), patience=2.0)


def _has(stubs: Stubs, volume: csi.Volume) -> bool:
    try:
        stubs.controller.ControllerGetVolume(csi.ControllerGetVolumeRequest(volume_id=volume.volume_id))
    except grpc.RpcError as error:
        assert error.code() is Code.UNAVAILABLE
        return False
    return True


def _until(true: Callable[[], bool], patience: float = 20.0) -> None:
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_hung_node_holds_up_nobody(two: Fleet) -> None:
    """Issue: a lost node never blocks calls to others: also one that still takes connections and does not answer."""
    control = two.stubs.controller
    on_a, on_b = create(two.stubs, "on-a", on="a"), create(two.stubs, "on-b", on="b")
    two.nodes["a"].signal(signal.SIGSTOP)
    listed(two.stubs)  # finds out that it hangs

    began = time.monotonic()
    assert listed(two.stubs) == sorted([on_a.volume_id, on_b.volume_id])
    assert home(create(two.stubs, "anywhere")) == "node-b"
    control.ControllerGetVolume(csi.ControllerGetVolumeRequest(volume_id=on_b.volume_id), timeout=20)
    assert control.GetCapacity(csi.GetCapacityRequest(), timeout=20).available_capacity > 0
    lost = code_of(control.ControllerGetVolume, csi.ControllerGetVolumeRequest(volume_id=on_a.volume_id))
    assert (lost[0], "node-a" in lost[1]) == (Code.UNAVAILABLE, True)
    assert time.monotonic() - began < 5

    two.nodes["a"].signal(signal.SIGCONT)
    _until(lambda: _has(two.stubs, on_a), patience=10.0)


def test_a_retry_follows_its_placement_after_the_controller_was_killed(two: Fleet) -> None:
    """Design: the Placement is durable before the first call. The other node has as much room."""
    first = [create(two.stubs, f"kept-{number}") for number in range(4)]
    two.restart_controller()
    again = [create(two.stubs, f"kept-{number}") for number in range(4)]
    assert again == first
    assert len(listed(two.stubs)) == 4


def test_a_lost_state_directory_is_made_anew_by_asking(two: Fleet) -> None:
    """Issue: placements are rebuilt by asking nodes."""
    first = create(two.stubs, "kept", on="b")
    two.controller.kill()
    shutil.rmtree(two.controller.state)
    two.controller.start()
    assert create(two.stubs, "kept", on="b") == first
    assert len(listed(two.stubs)) == 1


def test_a_group_over_two_nodes_is_refused_by_name(two: Fleet) -> None:
    """Issue: members on several nodes refused by name."""
    members = [create(two.stubs, f"m{name}", on=name).volume_id for name in "ab"]
    request = csi.CreateVolumeGroupSnapshotRequest(name="g", source_volume_ids=members)
    refused = code_of(two.stubs.group.CreateVolumeGroupSnapshot, request)
    assert refused[0] is Code.FAILED_PRECONDITION
    assert all(f"{member} on node node-{name}" in refused[1] for member, name in zip(members, "ab", strict=True))


def test_publish_knows_the_nodes_of_the_fleet(two: Fleet) -> None:
    """CSI ControllerPublishVolume: an unknown node is NOT_FOUND; the right one is shown in lists."""
    volume = create(two.stubs, "attached", on="a")
    request = csi.ControllerPublishVolumeRequest(
        volume_id=volume.volume_id, node_id="stranger", volume_capability=capability()
    )
    assert code_of(two.stubs.controller.ControllerPublishVolume, request)[0] is Code.NOT_FOUND
    request.node_id = "node-a"
    two.stubs.controller.ControllerPublishVolume(request)
    entry = two.stubs.controller.ListVolumes(csi.ListVolumesRequest()).entries[0]
    assert list(entry.status.published_node_ids) == ["node-a"]


def test_capacity_is_per_segment_and_together(two: Fleet) -> None:
    """CSI GetCapacity with and without accessible_topology."""
    control = two.stubs.controller
    whole = control.GetCapacity(csi.GetCapacityRequest())
    part = control.GetCapacity(csi.GetCapacityRequest(accessible_topology=csi.Topology(segments={KEY: "node-a"})))
    none = control.GetCapacity(csi.GetCapacityRequest(accessible_topology=csi.Topology(segments={KEY: "x"})))
    assert whole.available_capacity > part.available_capacity > 0
    assert whole.maximum_volume_size.value <= whole.available_capacity
    assert none.available_capacity == 0


def test_ids_of_nobody_are_answered_as_csi_says(two: Fleet) -> None:
    """Delete of an unknown id is OK; everything else NOT_FOUND."""
    control = two.stubs.controller
    for unknown in ("unknown", "p0123456789ab.v-" + "0" * 24):
        control.DeleteVolume(csi.DeleteVolumeRequest(volume_id=unknown))
        control.DeleteSnapshot(csi.DeleteSnapshotRequest(snapshot_id=unknown))
        control.ControllerUnpublishVolume(csi.ControllerUnpublishVolumeRequest(volume_id=unknown))
        assert (
            code_of(control.ControllerGetVolume, csi.ControllerGetVolumeRequest(volume_id=unknown))[0] is Code.NOT_FOUND
        )
        metadata = two.stubs.metadata.GetMetadataAllocated(csi.GetMetadataAllocatedRequest(snapshot_id=unknown))
        with pytest.raises(grpc.RpcError) as refused:
            next(metadata)
        assert refused.value.code() is Code.NOT_FOUND
    assert code_of(control.DeleteVolume, csi.DeleteVolumeRequest())[0] is Code.INVALID_ARGUMENT


def test_both_logs_have_the_calls_request_id(two: Fleet) -> None:
    """One request can be followed through both processes."""
    volume = create(two.stubs, "followed", on="a")

    def lines(daemon: Any) -> list[str]:
        return [
            line["request_id"]
            for line in daemon.lines
            if line.get("method") == "Controller/CreateVolume" and line.get("volume_id") == volume.volume_id
        ]

    _until(lambda: bool(lines(two.controller) and lines(two.nodes["a"])))
    assert lines(two.controller) == lines(two.nodes["a"])


def test_the_controller_opens_no_pool(two: Fleet) -> None:
    """Issue: the controller never opens a local pool."""
    assert list(two.controller.state.rglob("placement.db"))
    assert not list(two.controller.state.rglob(".holdall"))

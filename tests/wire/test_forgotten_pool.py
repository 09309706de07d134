"""A pool given up, with real processes: forgotten and remembered over the command line, deletes over CSI."""

import time
from typing import Any

import grpc
import pytest

from csi.v1 import csi_pb2 as csi

from .command import Holdall
from .fleets import Fleet, create


@pytest.fixture
def holdall(two: Fleet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Holdall:
    """The command line, at the controller."""
    monkeypatch.setenv("CSI_ENDPOINT", two.controller.endpoint)
    return Holdall(capsys)


def eventually(holdall: Holdall, name: str) -> dict[str, Any]:
    """The pool of that name, once its node was looked at: one that was lost has half a second to answer each time."""
    for _ in range(60):
        for pool in holdall.json("pool", "list"):
            if pool["name"] == name:
                found: dict[str, Any] = pool
                return found
        time.sleep(0.5)
    raise AssertionError(f"pool {name} is not listed after 30 s")


def test_a_dead_node_s_pool_is_given_up_and_taken_back(two: Fleet, holdall: Holdall) -> None:
    """Refused while the node answers; then deletes succeed, also after a restart; the pool back is not served until
    it is remembered."""
    volume = create(two.stubs, "letters", on="b")
    snapshot = two.stubs.controller.CreateSnapshot(
        csi.CreateSnapshotRequest(name="monday", source_volume_id=volume.volume_id), timeout=20
    ).snapshot
    pool_id = volume.volume_id.split(".")[0]
    assert "is on node node-b, which answers" in holdall.refused("pool", "forget", "b")
    two.nodes["b"].kill()
    with pytest.raises(grpc.RpcError) as refused:
        two.stubs.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=volume.volume_id), timeout=20)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert f"holdall pool remember {pool_id}" in holdall.well("pool", "forget", "b")
    two.restart_controller()
    two.stubs.controller.DeleteSnapshot(csi.DeleteSnapshotRequest(snapshot_id=snapshot.snapshot_id), timeout=20)
    two.stubs.controller.ControllerUnpublishVolume(
        csi.ControllerUnpublishVolumeRequest(volume_id=volume.volume_id, node_id="node-b"), timeout=20
    )
    two.stubs.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=volume.volume_id), timeout=20)
    assert not two.stubs.controller.ListSnapshots(
        csi.ListSnapshotsRequest(snapshot_id=snapshot.snapshot_id), timeout=20
    ).entries
    assert [pool["name"] for pool in holdall.json("pool", "list")] == ["a"]
    two.nodes["b"].start()
    shown = eventually(holdall, "b")
    assert create(two.stubs, "letters").volume_id != volume.volume_id
    assert (shown["state"], pool_id in shown["reason"]) == ("unreachable", True)
    assert holdall.json("volume", "list")[0]["pool"] == "a"
    holdall.well("pool", "remember", pool_id)
    assert {one["pool"] for one in holdall.json("volume", "list")} == {"a", "b"}


def test_a_node_neither_forgets_nor_follows(two: Fleet, holdall: Holdall, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is a controller's, and to follow a controller's in a cluster."""
    assert "only in a Kubernetes cluster" in holdall.refused("pool", "follow", "b")
    monkeypatch.setenv("CSI_ENDPOINT", f"unix://{two.nodes['b'].directory}/controller.sock")
    for verb in ("forget", "follow"):
        assert "is a controller's" in holdall.refused("pool", verb, "b")
    assert "is a controller's" in holdall.refused("pool", "remember", "p000000000000")

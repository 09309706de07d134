"""CSI CreateVolume and DeleteVolume: the behaviours drivers most often get wrong."""

import concurrent.futures
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from csi.v1 import csi_pb2
from tests.daemon import Daemon, Stubs

from .conftest import MIB, TOPOLOGY_KEY, capability, volume_request

POOLS = ["shared", "copied", "sub", "dir"]


def _source(volume_id: str = "", snapshot_id: str = "") -> csi_pb2.VolumeContentSource:
    source = csi_pb2.VolumeContentSource()
    if volume_id:
        source.volume.volume_id = volume_id
    if snapshot_id:
        source.snapshot.snapshot_id = snapshot_id
    return source


@pytest.mark.parametrize("pool", POOLS)
def test_the_same_request_gives_the_same_answer(stubs: Stubs, make: Callable[..., Any], pool: str) -> None:
    """Rule: same name and compatible → same answer."""
    first = make(name=f"same-{pool}", pool=pool)
    assert stubs.controller.CreateVolume(volume_request(f"same-{pool}", pool=pool)).volume == first


@pytest.mark.parametrize(
    "change",
    [
        {"size": 8 * MIB},
        {"limit": 3 * MIB, "size": 1 * MIB},
        {"parameters": {"provisioning": "thick"}},
        {"mutable_parameters": {"wipe": "discard"}},
        {"volume_capabilities": [capability("block")]},
        {"volume_capabilities": [capability(fs_type="xfs")]},
        {"volume_content_source": _source(volume_id="p000000000000.v-000000000000000000000000")},
    ],
    ids=["size", "limit", "parameters", "mutable", "access", "filesystem", "source"],
)
def test_the_same_name_with_another_request_is_already_exists(
    stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str], name: Callable[[], str], change: dict[str, Any]
) -> None:
    """Rule: incompatible size, capabilities, parameters, mutable parameters or content source → ALREADY_EXISTS."""
    taken = name()
    make(name=taken)
    fails("ALREADY_EXISTS", stubs.controller.CreateVolume, volume_request(taken, **change))


def test_the_same_name_in_another_topology_is_already_exists(
    stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str], name: Callable[[], str]
) -> None:
    """Rule: accessibility requirements belong to the request."""
    taken = name()
    make(name=taken)
    elsewhere = csi_pb2.TopologyRequirement(requisite=[csi_pb2.Topology(segments={TOPOLOGY_KEY: "node-z"})])
    fails("ALREADY_EXISTS", stubs.controller.CreateVolume, volume_request(taken, accessibility_requirements=elsewhere))


def test_a_topology_that_cannot_be_met_is_resource_exhausted(
    stubs: Stubs, fails: Callable[..., str], name: Callable[[], str]
) -> None:
    """Rule: topology that cannot be met → RESOURCE_EXHAUSTED."""
    elsewhere = csi_pb2.TopologyRequirement(requisite=[csi_pb2.Topology(segments={TOPOLOGY_KEY: "node-z"})])
    request = volume_request(name(), accessibility_requirements=elsewhere)
    assert "topology" in fails("RESOURCE_EXHAUSTED", stubs.controller.CreateVolume, request)


@pytest.mark.parametrize(
    "source", [_source(volume_id="missing"), _source(snapshot_id="missing")], ids=["volume", "snapshot"]
)
def test_a_missing_source_is_not_found(
    stubs: Stubs, fails: Callable[..., str], name: Callable[[], str], source: csi_pb2.VolumeContentSource
) -> None:
    """Rule: source missing → NOT_FOUND."""
    fails("NOT_FOUND", stubs.controller.CreateVolume, volume_request(name(), volume_content_source=source))


@pytest.mark.parametrize(
    ("size", "limit", "code"),
    [(-1, 0, "INVALID_ARGUMENT"), (0, -1, "INVALID_ARGUMENT"), (2 * MIB, 1 * MIB, "INVALID_ARGUMENT"),
     (1, 4095, "OUT_OF_RANGE"), ((1 << 63) - 1, 0, "OUT_OF_RANGE")],
)  # fmt: skip
def test_impossible_ranges(
    stubs: Stubs, fails: Callable[..., str], name: Callable[[], str], size: int, limit: int, code: str
) -> None:
    """Rule: range impossible → OUT_OF_RANGE; negative is illegal."""
    fails(code, stubs.controller.CreateVolume, volume_request(name(), size=size, limit=limit))


def test_more_than_the_pool_has_is_resource_exhausted(
    stubs: Stubs, fails: Callable[..., str], name: Callable[[], str]
) -> None:
    """Rule: no space → RESOURCE_EXHAUSTED, and the message says how much there is."""
    message = fails("RESOURCE_EXHAUSTED", stubs.controller.CreateVolume, volume_request(name(), size=1 << 40))
    assert "pool shared has" in message


@pytest.mark.parametrize(("size", "limit"), [(3 * MIB, 3 * MIB), (3 * MIB + 1, 4 * MIB), (0, 5 * MIB)])
def test_a_volume_is_never_larger_than_its_limit(make: Callable[..., Any], size: int, limit: int) -> None:
    """Rule: required_bytes ≤ capacity ≤ limit_bytes; 0 means unset."""
    volume = make(size=size, limit=limit)
    assert size <= volume.capacity_bytes <= limit


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("kind", ["snapshot", "volume"])
def test_a_copy_can_be_larger_but_not_smaller_than_its_source(
    stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str], name: Callable[[], str], pool: str, kind: str
) -> None:
    """Rule: capacity_range counts for restore and clone too."""
    origin = make(pool=pool, size=4 * MIB)
    source, snapshot_id = _source(volume_id=origin.volume_id), ""
    if kind == "snapshot":
        snapshot_id = _snapshot(stubs, name(), origin.volume_id)
        source = _source(snapshot_id=snapshot_id)
    larger = make(pool=pool, size=9 * MIB, volume_content_source=source)
    assert larger.capacity_bytes == 9 * MIB
    assert larger.content_source == source
    same = make(pool=pool, size=0, volume_content_source=source)
    assert same.capacity_bytes >= origin.capacity_bytes
    smaller = volume_request(name(), pool=pool, size=MIB, limit=2 * MIB, volume_content_source=source)
    fails("OUT_OF_RANGE", stubs.controller.CreateVolume, smaller)
    if snapshot_id:
        stubs.controller.DeleteSnapshot(csi_pb2.DeleteSnapshotRequest(snapshot_id=snapshot_id))


def _snapshot(stubs: Stubs, name: str, volume_id: str) -> str:
    while True:
        answer = stubs.controller.CreateSnapshot(csi_pb2.CreateSnapshotRequest(name=name, source_volume_id=volume_id))
        if answer.snapshot.ready_to_use:
            return str(answer.snapshot.snapshot_id)


def test_mutable_parameters_win_over_parameters(stubs: Stubs, make: Callable[..., Any]) -> None:
    """Rule: mutable_parameters take precedence: the wipe in force is the mutable one."""
    volume = make(parameters={"wipe": "none"}, mutable_parameters={"wipe": "none"}, pool="sub")
    request = csi_pb2.ValidateVolumeCapabilitiesRequest(
        volume_id=volume.volume_id, volume_capabilities=[capability()], mutable_parameters={"wipe": "none"}
    )
    assert stubs.controller.ValidateVolumeCapabilities(request).HasField("confirmed")
    compressed = make(parameters={"compression": "none"}, mutable_parameters={"compression": "zstd"}, pool="sub")
    request.volume_id = compressed.volume_id
    request.mutable_parameters.clear()
    request.mutable_parameters["compression"] = "none"
    assert not stubs.controller.ValidateVolumeCapabilities(request).HasField("confirmed")


@pytest.mark.parametrize(
    ("parameters", "word"),
    [({"speed": "fast"}, "speed"), ({"pool": "nowhere"}, "nowhere"), ({"backend": "zfs"}, "zfs"),
     ({"provisioning": "fat"}, "fat"), ({"fsType": "ntfs"}, "ntfs")],
)  # fmt: skip
def test_unknown_parameters_name_themselves(
    stubs: Stubs, fails: Callable[..., str], name: Callable[[], str], parameters: dict[str, str], word: str
) -> None:
    """Rule: bad input gets a clear error; nothing is made."""
    request = volume_request(name(), parameters=parameters)
    assert word in fails("INVALID_ARGUMENT", stubs.controller.CreateVolume, request)


@pytest.mark.parametrize(
    "name",
    ["../../../etc/passwd", "/etc/passwd", "a/../../b", "-rf", "$(reboot)", "name with spaces", "käse-\U0001f9c0", "." * 100,
     "a" * 128, "CON", "%s%n"],
)  # fmt: skip
def test_hostile_names_make_ordinary_volumes(
    stubs: Stubs, daemon: Daemon, filesystems: dict[str, Path], name: str
) -> None:
    """Rule: CVE-2026-3864 class: no string from outside is a path component."""
    before = {path for kind in filesystems.values() for path in kind.iterdir()}
    volume = stubs.controller.CreateVolume(volume_request(name, pool="dir")).volume
    assert set(volume.volume_id) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
    assert before == {path for kind in filesystems.values() for path in kind.iterdir()}
    directory = filesystems["ext4"] / "rules-dir" / "volumes" / volume.volume_id
    assert directory.is_dir()
    stubs.controller.DeleteVolume(csi_pb2.DeleteVolumeRequest(volume_id=volume.volume_id))
    until = time.monotonic() + 30.0
    while directory.exists():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("volume_id", ["unknown", "../x", "p000000000000.v-" + "0" * 24, "ä" * 40])
def test_deleting_what_is_not_there_is_fine(stubs: Stubs, volume_id: str) -> None:
    """Rule: missing → OK."""
    stubs.controller.DeleteVolume(csi_pb2.DeleteVolumeRequest(volume_id=volume_id))


@pytest.mark.parametrize("pool", POOLS)
def test_snapshots_outlive_their_volume(
    stubs: Stubs, make: Callable[..., Any], name: Callable[[], str], pool: str
) -> None:
    """Rule: a volume can be deleted while snapshots of it exist, and they can still be restored."""
    origin = make(pool=pool)
    snapshot_id = _snapshot(stubs, name(), origin.volume_id)
    stubs.controller.DeleteVolume(csi_pb2.DeleteVolumeRequest(volume_id=origin.volume_id))
    restored = make(pool=pool, volume_content_source=_source(snapshot_id=snapshot_id))
    assert restored.capacity_bytes == origin.capacity_bytes
    stubs.controller.DeleteSnapshot(csi_pb2.DeleteSnapshotRequest(snapshot_id=snapshot_id))


def test_a_volume_in_use_is_not_deleted(
    stubs: Stubs, make: Callable[..., Any], fails: Callable[..., str], tmp_path: Path
) -> None:
    """Rule: in use → FAILED_PRECONDITION without altering it."""
    volume = make()
    staging = tmp_path / "staging"
    staging.mkdir()
    stage = csi_pb2.NodeStageVolumeRequest(
        volume_id=volume.volume_id, staging_target_path=str(staging), volume_capability=capability()
    )
    stubs.node.NodeStageVolume(stage)
    (staging / "precious").write_text("data")
    delete = csi_pb2.DeleteVolumeRequest(volume_id=volume.volume_id)
    assert str(staging) in fails("FAILED_PRECONDITION", stubs.controller.DeleteVolume, delete)
    assert (staging / "precious").read_text() == "data"
    stubs.node.NodeUnstageVolume(
        csi_pb2.NodeUnstageVolumeRequest(volume_id=volume.volume_id, staging_target_path=str(staging))
    )


def test_a_name_is_free_at_once_after_delete(stubs: Stubs, make: Callable[..., Any], name: Callable[[], str]) -> None:
    """Rule: delete makes the name free; the purge follows behind."""
    taken = name()
    for size in (4 * MIB, 8 * MIB, 12 * MIB):
        volume = stubs.controller.CreateVolume(volume_request(taken, size=size)).volume
        assert volume.capacity_bytes == size
        stubs.controller.DeleteVolume(csi_pb2.DeleteVolumeRequest(volume_id=volume.volume_id))


def test_a_hundred_creates_into_room_for_fifty_give_exactly_fifty(filesystems: dict[str, Path], tmp_path: Path) -> None:
    """Rule: capacity is reserved before it is promised, also under concurrency."""
    pool = filesystems["xfs"] / f"fifty-{os.urandom(4).hex()}"
    pool.mkdir()
    probe = f'[[pool]]\nname = "shared"\nbackend = "image"\npath = "{pool}"\n'
    with Daemon(tmp_path, config=probe) as daemon, Stubs(daemon.endpoint) as stubs:
        room = stubs.controller.GetCapacity(csi_pb2.GetCapacityRequest()).available_capacity
        # Half a volume to spare: the ledger itself grows a little while it is written.
        size = int(room / 50.5) // 4096 * 4096

        def create(number: int) -> grpc.StatusCode:
            try:
                stubs.controller.CreateVolume(volume_request(f"room-{number}", size=size), timeout=60)
            except grpc.RpcError as error:
                return error.code()
            return grpc.StatusCode.OK

        with concurrent.futures.ThreadPoolExecutor(100) as callers:
            codes = list(callers.map(create, range(100)))
        assert codes.count(grpc.StatusCode.OK) == 50
        assert codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == 50
        listed = stubs.controller.ListVolumes(csi_pb2.ListVolumesRequest()).entries
        assert len(listed) == 50
        for entry in listed:
            stubs.controller.DeleteVolume(csi_pb2.DeleteVolumeRequest(volume_id=entry.volume.volume_id))

"""CSI requests in our words: what is missing or malformed is refused by its name."""

from typing import Any

import pytest

from csi.v1 import csi_pb2 as csi
from driver.model import errors
from driver.model.capability import AccessMode, Capability
from driver.model.capacity import CapacityQuery
from driver.model.sizes import SizeRange
from driver.model.snapshot import Snapshot
from driver.model.volume import Source, VolumeRequest
from driver.rpc import answer, convert

Mode = csi.VolumeCapability.AccessMode.Mode


def mounted(mode: int = Mode.SINGLE_NODE_WRITER, **mount: Any) -> csi.VolumeCapability:
    return csi.VolumeCapability(
        mount=csi.VolumeCapability.MountVolume(**mount), access_mode=csi.VolumeCapability.AccessMode(mode=mode)
    )


def create(**changes: Any) -> csi.CreateVolumeRequest:
    return csi.CreateVolumeRequest(**({"name": "n", "volume_capabilities": [mounted()]} | changes))


def test_a_create_request_is_read_whole() -> None:
    """Every field of CreateVolumeRequest but secrets, which no layer below may see."""
    topology = {"holdall.csi.dev/node": "a"}
    request = create(
        capacity_range=csi.CapacityRange(required_bytes=5, limit_bytes=9),
        volume_capabilities=[mounted(fs_type="ext4", mount_flags=["noatime"])],
        parameters={"pool": "ssd"},
        mutable_parameters={"wipe": "none"},
        secrets={"k": "v"},
        volume_content_source=csi.VolumeContentSource(snapshot=csi.VolumeContentSource.SnapshotSource(snapshot_id="s")),
        accessibility_requirements=csi.TopologyRequirement(
            requisite=[csi.Topology(segments=topology)], preferred=[csi.Topology(segments=topology)]
        ),
    )

    assert convert.volume_request(request) == VolumeRequest(
        name="n",
        capabilities=(Capability("mount", AccessMode.SINGLE_NODE_WRITER, "ext4", ("noatime",)),),
        size=SizeRange(5, 9),
        parameters={"pool": "ssd"},
        mutable={"wipe": "none"},
        source=Source("snapshot", "s"),
        requisite=(topology,),
        preferred=(topology,),
    )


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (create(name=""), "name"),
        (create(name="x" * 129), "name"),
        (create(volume_capabilities=[]), "volume_capabilities"),
        (create(volume_capabilities=[mounted(), csi.VolumeCapability()]), r"volume_capabilities\[1\]"),
        (create(capacity_range=csi.CapacityRange(required_bytes=-1)), "capacity_range"),
        (create(capacity_range=csi.CapacityRange(required_bytes=2, limit_bytes=1)), "capacity_range"),
        (create(volume_content_source=csi.VolumeContentSource()), "volume_content_source has no type"),
        (
            create(volume_content_source=csi.VolumeContentSource(volume=csi.VolumeContentSource.VolumeSource())),
            r"volume_content_source\.volume\.volume_id",
        ),
        (
            create(
                accessibility_requirements=csi.TopologyRequirement(
                    requisite=[csi.Topology(segments={"k": "a"})], preferred=[csi.Topology(segments={"k": "b"})]
                )
            ),
            r"accessibility_requirements\.preferred",
        ),
        (
            create(
                accessibility_requirements=csi.TopologyRequirement(
                    requisite=[csi.Topology(), csi.Topology(segments={"bad key": "a"})]
                )
            ),
            r"accessibility_requirements\.requisite\[1\]",
        ),
    ],
)
def test_a_malformed_create_request_is_refused_by_the_fields_name(
    request_: csi.CreateVolumeRequest, field: str
) -> None:
    """CSI: a missing or malformed field is INVALID_ARGUMENT; the message must help to find it."""
    with pytest.raises(errors.InvalidArgument, match=field):
        convert.volume_request(request_)


def test_sizes_beyond_any_filesystem_are_out_of_range() -> None:
    """CSI CreateVolume: a range that cannot be had is OUT_OF_RANGE."""
    with pytest.raises(errors.OutOfRange):
        convert.volume_request(create(capacity_range=csi.CapacityRange(required_bytes=2**63 - 1)))


def test_a_capability_needs_an_access_type() -> None:
    """CSI VolumeCapability.access_type: required."""
    given = csi.VolumeCapability(access_mode=csi.VolumeCapability.AccessMode(mode=Mode.SINGLE_NODE_WRITER))
    with pytest.raises(errors.InvalidArgument, match="volume_capability has no access type; block or mount"):
        convert.capability(given)


@pytest.mark.parametrize("mode", [0, 8, 99, -1, 2**31 - 1])
def test_a_capability_needs_a_known_access_mode(mode: int) -> None:
    """CSI VolumeCapability.access_mode: required; a mode of a later specification is none that we could keep."""
    with pytest.raises(errors.InvalidArgument, match="access mode"):
        convert.capability(mounted(mode))


def test_a_mount_group_is_refused_rather_than_ignored() -> None:
    """VOLUME_MOUNT_GROUP is not announced: ignoring the group would leave the files to somebody else."""
    with pytest.raises(errors.InvalidArgument, match="volume_mount_group"):
        convert.capability(mounted(volume_mount_group="1000"))


@pytest.mark.parametrize("mode", [int(mode) for mode in AccessMode if mode])
@pytest.mark.parametrize("access", ["mount", "block"])
def test_a_capability_goes_out_as_it_came_in(access: str, mode: int) -> None:
    """A controller asks its nodes with the capability it was asked with."""
    asked = Capability(access, AccessMode(mode), *(("xfs", ("ro",)) if access == "mount" else ()))
    assert convert.capability(answer.capability(asked)) == asked


@pytest.mark.parametrize(
    ("segments", "good"),
    [
        ({"holdall.csi.dev/node": "node-a"}, True),
        ({"zone": ""}, True),
        ({"a/b/c": "x"}, False),
        ({"/node": "x"}, False),
        ({"": "x"}, False),
        ({"-a": "x"}, False),
        ({"a" * 64: "x"}, False),
        ({"a": "x" * 64}, False),
        ({"a": "x y"}, False),
        ({"a": "ü"}, False),
    ],
)
def test_topology_keys_and_values_have_the_form_csi_gives_them(segments: dict[str, str], good: bool) -> None:
    """CSI Topology.segments: [prefix/]name, each part and the value at most 63 characters."""
    topology = csi.Topology(segments=segments)
    if good:
        assert convert.segments(topology, "field") == segments
    else:
        with pytest.raises(errors.InvalidArgument, match="field holds"):
            convert.segments(topology, "field")


def test_a_capacity_query_may_be_empty() -> None:
    """CSI GetCapacity: every field is optional; an empty topology asks about everywhere."""
    assert convert.capacity_query(csi.GetCapacityRequest()) == CapacityQuery()
    assert convert.capacity_query(csi.GetCapacityRequest(accessible_topology=csi.Topology())) == CapacityQuery()


def test_a_snapshot_needs_a_name_and_a_source() -> None:
    """CSI CreateSnapshotRequest: both required."""
    with pytest.raises(errors.InvalidArgument, match="name"):
        convert.snapshot_request(csi.CreateSnapshotRequest(source_volume_id="v"))
    with pytest.raises(errors.InvalidArgument, match="source_volume_id"):
        convert.snapshot_request(csi.CreateSnapshotRequest(name="s"))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (csi.CreateVolumeGroupSnapshotRequest(source_volume_ids=["v"]), "name"),
        (csi.CreateVolumeGroupSnapshotRequest(name="g"), "source_volume_ids"),
        (csi.CreateVolumeGroupSnapshotRequest(name="g", source_volume_ids=["v", ""]), r"source_volume_ids\[1\]"),
    ],
)
def test_a_group_needs_a_name_and_members(request_: csi.CreateVolumeGroupSnapshotRequest, field: str) -> None:
    """CSI CreateVolumeGroupSnapshotRequest."""
    with pytest.raises(errors.InvalidArgument, match=field):
        convert.group_request(request_)


def test_growing_needs_a_size() -> None:
    """CSI ControllerExpandVolumeRequest.capacity_range: required."""
    with pytest.raises(errors.InvalidArgument, match="capacity_range"):
        convert.required_range(csi.ControllerExpandVolumeRequest(volume_id="v"))
    with pytest.raises(errors.InvalidArgument, match="capacity_range"):
        convert.required_range(csi.ControllerExpandVolumeRequest(volume_id="v", capacity_range=csi.CapacityRange()))


@pytest.mark.parametrize("field", ["max_entries", "starting_offset"])
def test_counts_and_offsets_may_not_be_negative(field: str) -> None:
    """CSI: such a value is INVALID_ARGUMENT; 0 stands for "as you like"."""
    assert convert.not_negative(0, field) == 0
    with pytest.raises(errors.InvalidArgument, match=f"{field} is -1"):
        convert.not_negative(-1, field)


def test_a_creation_time_is_the_same_in_every_answer() -> None:
    """CSI Snapshot.creation_time: the moment it shows; a retry must not get another one."""
    record = Snapshot(
        id="s", pool_id="p", name="n", source_id="v", size=1, kind="block", created_at=1_700_000_000.123456
    )
    stamp = answer.snapshot(record, {}).creation_time
    assert (stamp.seconds, stamp.nanos) == (1_700_000_000, 123_456_000)

"""CSI requests in our words, checked field by field. InvalidArgument names the field as the protocol spells it.

Sizes of strings and maps are checked before (limits.py); whether an id or path means anything is for the layers below.
"""

import re
from collections.abc import Iterable

from csi.v1 import csi_pb2 as csi

from ..model import errors, ids
from ..model.capability import AccessMode, Capability
from ..model.capacity import CapacityQuery
from ..model.sizes import SizeRange
from ..model.snapshot import GroupRequest, SnapshotRequest
from ..model.volume import Source, VolumeRequest

Segments = dict[str, str]

_MODES = frozenset(int(mode) for mode in AccessMode) - {0}
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_TOPOLOGY_KEY = re.compile(rf"(?:{_NAME}/)?{_NAME}")
_TOPOLOGY_VALUE = re.compile(rf"(?:{_NAME})?")


def required(value: str, field: str) -> str:
    """``value``, unless it is empty."""
    if not value:
        raise errors.InvalidArgument(f"{field} is empty; it is required")
    return value


def volume_request(request: csi.CreateVolumeRequest) -> VolumeRequest:
    name = ids.checked_name(request.name, "the volume")
    wanted = request.accessibility_requirements
    requisite = topologies(wanted.requisite, "accessibility_requirements.requisite")
    preferred = topologies(wanted.preferred, "accessibility_requirements.preferred")
    if requisite and any(one not in requisite for one in preferred):
        raise errors.InvalidArgument(
            "accessibility_requirements.preferred names a topology that is not in accessibility_requirements.requisite"
        )
    return VolumeRequest(
        name=name,
        capabilities=capabilities(request.volume_capabilities),
        size=size_range(request.capacity_range, f"volume {name}"),
        parameters=dict(request.parameters),
        mutable=dict(request.mutable_parameters),
        source=source(request.volume_content_source) if request.HasField("volume_content_source") else None,
        requisite=requisite,
        preferred=preferred,
    )


def snapshot_request(request: csi.CreateSnapshotRequest) -> SnapshotRequest:
    wanted = request.accessibility_requirements
    return SnapshotRequest(
        name=ids.checked_name(request.name, "the snapshot"),
        source_id=required(request.source_volume_id, "source_volume_id"),
        parameters=dict(request.parameters),
        requisite=topologies(wanted.requisite, "accessibility_requirements.requisite"),
        preferred=topologies(wanted.preferred, "accessibility_requirements.preferred"),
    )


def group_request(request: csi.CreateVolumeGroupSnapshotRequest) -> GroupRequest:
    name = ids.checked_name(request.name, "the group snapshot")
    if not request.source_volume_ids:
        raise errors.InvalidArgument("source_volume_ids is empty; it is required")
    return GroupRequest(
        name=name,
        source_ids=tuple(
            required(one, f"source_volume_ids[{number}]") for number, one in enumerate(request.source_volume_ids)
        ),
        parameters=dict(request.parameters),
    )


def capacity_query(request: csi.GetCapacityRequest) -> CapacityQuery:
    return CapacityQuery(
        tuple(capability(one, f"volume_capabilities[{n}]") for n, one in enumerate(request.volume_capabilities)),
        dict(request.parameters),
        segments(request.accessible_topology, "accessible_topology") or None,
    )


def required_range(request: csi.ControllerExpandVolumeRequest) -> SizeRange:
    """The request's ``capacity_range``, which must ask for something."""
    read = size_range(request.capacity_range, f"volume {request.volume_id}")
    if not read.required and not read.limit:
        raise errors.InvalidArgument("capacity_range is missing or empty; it is required")
    return read


def capabilities(given: Iterable[csi.VolumeCapability]) -> tuple[Capability, ...]:
    """At least one."""
    read = tuple(capability(one, f"volume_capabilities[{number}]") for number, one in enumerate(given))
    if not read:
        raise errors.InvalidArgument("volume_capabilities is empty; it is required")
    return read


def required_capability(
    request: csi.ControllerPublishVolumeRequest | csi.NodeStageVolumeRequest | csi.NodePublishVolumeRequest,
) -> Capability:
    """The request's ``volume_capability``, which must be there."""
    if not request.HasField("volume_capability"):
        raise errors.InvalidArgument("volume_capability is missing; it is required")
    return capability(request.volume_capability)


def optional_capability(
    request: csi.ControllerExpandVolumeRequest | csi.NodeExpandVolumeRequest,
) -> Capability | None:
    """The request's ``volume_capability``, or None when it has none."""
    return capability(request.volume_capability) if request.HasField("volume_capability") else None


def capability(given: csi.VolumeCapability, field: str = "volume_capability") -> Capability:
    access = given.WhichOneof("access_type")
    if access is None:
        raise errors.InvalidArgument(f"{field} has no access type; block or mount is required")
    mode = _mode(given.access_mode.mode, field)
    if access == "block":
        return Capability(access="block", mode=mode)
    if given.mount.volume_mount_group:
        raise errors.InvalidArgument(
            f"{field}.mount.volume_mount_group is set; this driver does not offer VOLUME_MOUNT_GROUP"
        )
    return Capability(
        access="mount", mode=mode, fs_type=given.mount.fs_type, mount_flags=tuple(given.mount.mount_flags)
    )


def _mode(number: int, field: str) -> AccessMode:
    if number not in _MODES:
        what = f"an unknown access mode, {number}" if number else "no access mode; one is required"
        raise errors.InvalidArgument(f"{field} has {what}")
    return AccessMode(number)


def size_range(given: csi.CapacityRange, what: str) -> SizeRange:
    """Checked; an absent range is an empty one."""
    return SizeRange(given.required_bytes, given.limit_bytes).checked(what)


def source(given: csi.VolumeContentSource) -> Source:
    kind = given.WhichOneof("type")
    if kind == "snapshot":
        return Source("snapshot", required(given.snapshot.snapshot_id, "volume_content_source.snapshot.snapshot_id"))
    if kind == "volume":
        return Source("volume", required(given.volume.volume_id, "volume_content_source.volume.volume_id"))
    raise errors.InvalidArgument("volume_content_source has no type; snapshot or volume is required")


def topologies(given: Iterable[csi.Topology], field: str) -> tuple[Segments, ...]:
    return tuple(segments(one, f"{field}[{number}]") for number, one in enumerate(given))


def segments(given: csi.Topology, field: str) -> Segments:
    """Keys and values in the form the specification gives them (message Topology)."""
    read = dict(given.segments)
    for key, value in read.items():
        if not _TOPOLOGY_KEY.fullmatch(key) or not _TOPOLOGY_VALUE.fullmatch(value):
            raise errors.InvalidArgument(
                f"{field} holds {key!r}: {value!r}, which is no topology; wanted [prefix/]name and a value, each of at "
                "most 63 letters, digits, '-', '_' or '.'"
            )
    return read


def not_negative(value: int, field: str) -> int:
    """``value`` (max_entries, max_results, starting_offset), which may be 0."""
    if value < 0:
        raise errors.InvalidArgument(f"{field} is {value}; it may not be negative")
    return value

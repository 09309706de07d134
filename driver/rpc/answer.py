"""Our words as CSI messages."""

from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from csi.v1 import csi_pb2 as csi

from ..model.capability import Capability
from ..model.health import Ailment
from ..model.snapshot import GroupView, Snapshot
from ..model.volume import Source, Volume
from . import limits, status


def words(text: str) -> str:
    """``text`` for a field that people read, within CSI's 128 bytes."""
    return status.bounded(text, limits.STRING)


def volume(record: Volume, topology: dict[str, str]) -> csi.Volume:
    return csi.Volume(
        capacity_bytes=record.size,
        volume_id=record.id,
        volume_context=record.context,
        content_source=_source(record.source) if record.source else None,
        accessible_topology=[csi.Topology(segments=topology)] if topology else [],
    )


def _source(source: Source) -> csi.VolumeContentSource:
    if source.kind == "snapshot":
        return csi.VolumeContentSource(snapshot=csi.VolumeContentSource.SnapshotSource(snapshot_id=source.id))
    return csi.VolumeContentSource(volume=csi.VolumeContentSource.VolumeSource(volume_id=source.id))


def snapshot(record: Snapshot, topology: dict[str, str]) -> csi.Snapshot:
    return csi.Snapshot(
        size_bytes=record.size,
        snapshot_id=record.id,
        source_volume_id=record.source_id,
        creation_time=_time(record.created_at),
        ready_to_use=record.ready,
        group_snapshot_id=record.group_id,
        accessible_topology=[csi.Topology(segments=topology)] if topology else [],
    )


def group(view: GroupView, members: Iterable[csi.Snapshot]) -> csi.VolumeGroupSnapshot:
    return csi.VolumeGroupSnapshot(
        group_snapshot_id=view.group.id,
        snapshots=members,
        creation_time=_time(view.group.created_at),
        ready_to_use=view.group.state == "ready" and all(one.ready for one in view.snapshots),
    )


def health(volume_id: str, ailments: Iterable[Ailment]) -> csi.VolumeHealth:
    return csi.VolumeHealth(
        volume_id=volume_id,
        health_statuses=[
            csi.VolumeHealth.VolumeHealthEntry(
                status=csi.VolumeHealthErrorType.ValueType(one.status), reason=one.reason, message=words(one.message)
            )
            for one in ailments
        ],
    )


def capability(asked: Capability) -> csi.VolumeCapability:
    mode = csi.VolumeCapability.AccessMode(mode=csi.VolumeCapability.AccessMode.Mode.ValueType(asked.mode))
    if asked.access == "block":
        return csi.VolumeCapability(block=csi.VolumeCapability.BlockVolume(), access_mode=mode)
    mount = csi.VolumeCapability.MountVolume(
        fs_type=asked.fs_type, mount_flags=asked.mount_flags, volume_mount_group=asked.mount_group
    )
    return csi.VolumeCapability(mount=mount, access_mode=mode)


def _time(seconds: float) -> Timestamp:
    # Through whole microseconds: a float's own fraction would differ in its last digits from one answer to the next.
    stamp = Timestamp()
    stamp.FromMicroseconds(round(seconds * 1_000_000))
    return stamp

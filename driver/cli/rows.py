"""What the driver answers, as plain objects with stable keys: programs read them as JSON, tables pick columns from them."""

from typing import Any

from csi.holdall.v1 import holdall_pb2 as holdall
from csi.v1 import csi_pb2 as csi

from .names import readable
from .show import Column

POOL = (
    Column("name", "name"),
    Column("backend", "backend"),
    Column("state", "state"),
    Column("device_class", "class"),
    Column("available_bytes", "available", "size"),
    Column("total_bytes", "size", "size"),
    Column("volumes", "volumes", "count"),
    Column("snapshots", "snapshots", "count"),
    Column("node_id", "node"),
    Column("path", "path"),
)
POOL_WHOLE = (
    *POOL[:4],
    Column("reason", "reason"),
    Column("id", "id"),
    Column("path", "path"),
    Column("node_id", "node"),
    Column("total_bytes", "size", "size"),
    Column("available_bytes", "available", "size"),
    Column("reserved_bytes", "promised", "size"),
    Column("maximum_volume_size_bytes", "largest volume now", "size"),
    Column("minimum_volume_size_bytes", "smallest volume", "size"),
    Column("volumes", "volumes"),
    Column("snapshots", "snapshots"),
    Column("abilities", "can", "list"),
    Column("schedulable", "takes new volumes", "flag"),
    Column("topology", "topology", "map"),
)
VOLUME = (
    Column("name", "name"),
    Column("size_bytes", "size", "size"),
    Column("pool", "pool"),
    Column("node_ids", "in use on", "list"),
    Column("id", "id"),
)
VOLUME_WHOLE = (
    Column("name", "name"),
    Column("id", "id"),
    Column("size_bytes", "size", "size"),
    Column("pool", "pool"),
    Column("backend", "backend"),
    Column("source", "made from"),
    Column("node_ids", "in use on", "list"),
    Column("staging_path", "staged at"),
    Column("targets", "published at", "list"),
    Column("device", "device"),
    Column("fs_type", "filesystem"),
    Column("health", "health"),
    Column("snapshots", "snapshots", "list"),
    Column("topology", "topology", "map"),
)
SNAPSHOT = (
    Column("name", "name"),
    Column("source", "of volume"),
    Column("size_bytes", "size", "size"),
    Column("created_at", "cut at", "time"),
    Column("ready", "ready", "flag"),
    Column("group", "group"),
    Column("id", "id"),
)
GROUP = (
    Column("name", "name"),
    Column("members", "snapshots", "count"),
    Column("created_at", "cut at", "time"),
    Column("ready", "ready", "flag"),
    Column("id", "id"),
)
TASK = (
    Column("id", "id"),
    Column("kind", "kind"),
    Column("state", "state"),
    Column("share", "done", "share"),
    Column("total_bytes", "of", "size"),
    Column("subject", "works on"),
    Column("message", "message"),
)
USAGE = (
    Column("unit", "of"),
    Column("used", "used"),
    Column("available", "available"),
    Column("total", "total"),
    Column("share", "used", "share"),
    Column("path", "at"),
)


def pool(found: holdall.Pool) -> dict[str, Any]:
    return {
        "id": found.id,
        "name": found.name,
        "backend": found.backend,
        "path": found.path,
        "node_id": found.node_id,
        "device_class": found.device_class,
        "state": found.state,
        "reason": found.reason,
        "total_bytes": found.total_bytes,
        "available_bytes": found.available_bytes,
        "reserved_bytes": found.reserved_bytes,
        "maximum_volume_size_bytes": found.maximum_volume_size,
        "minimum_volume_size_bytes": found.minimum_volume_size,
        "abilities": list(found.abilities),
        "topology": dict(found.topology),
        "schedulable": found.schedulable,
        "volumes": found.volumes,
        "snapshots": found.snapshots,
    }


def volume(found: csi.Volume, node_ids: "list[str]") -> dict[str, Any]:
    source = found.content_source
    source_id = source.snapshot.snapshot_id or source.volume.volume_id
    return {
        "id": found.volume_id,
        "name": readable(found.volume_id),
        "size_bytes": found.capacity_bytes,
        "pool": found.volume_context.get("pool", ""),
        "backend": found.volume_context.get("backend", ""),
        "source_id": source_id,
        "source": f"{source.WhichOneof('type')} {readable(source_id)}" if source_id else "",
        "node_ids": node_ids,
        "topology": dict(found.accessible_topology[0].segments) if found.accessible_topology else {},
    }


def snapshot(found: csi.Snapshot) -> dict[str, Any]:
    return {
        "id": found.snapshot_id,
        "name": readable(found.snapshot_id),
        "source_id": found.source_volume_id,
        "source": readable(found.source_volume_id),
        "size_bytes": found.size_bytes,
        "created_at": found.creation_time.ToMicroseconds() / 1e6,
        "ready": found.ready_to_use,
        "group_id": found.group_snapshot_id,
        "group": readable(found.group_snapshot_id) if found.group_snapshot_id else "",
    }


def group(found: csi.VolumeGroupSnapshot) -> dict[str, Any]:
    return {
        "id": found.group_snapshot_id,
        "name": readable(found.group_snapshot_id),
        "created_at": found.creation_time.ToMicroseconds() / 1e6,
        "ready": found.ready_to_use,
        "members": len(found.snapshots),
        "snapshots": [snapshot(one) for one in found.snapshots],
    }


def health(found: csi.VolumeHealth) -> list[dict[str, str]]:
    return [
        {"status": csi.VolumeHealthErrorType.Name(one.status), "reason": one.reason, "message": one.message}
        for one in found.health_statuses
    ]


def task(found: holdall.Task) -> dict[str, Any]:
    return {
        "id": found.id,
        "pool_id": found.pool_id,
        "kind": found.kind,
        "subject": found.subject,
        "state": found.state,
        "done_bytes": found.done_bytes,
        "total_bytes": found.total_bytes,
        "share": found.done_bytes / found.total_bytes if found.total_bytes else None,
        "message": found.message,
        "started_at": found.started_at,
        "finished_at": found.finished_at,
    }


def finding(found: holdall.Finding) -> dict[str, Any]:
    return {
        "pool_id": found.pool_id,
        "subject": found.subject,
        "kind": found.kind,
        "severity": found.severity,
        "explanation": found.explanation,
        "remedy": found.remedy,
        "repaired": found.repaired,
    }


def followed(found: holdall.FollowedVolume) -> dict[str, Any]:
    return {
        "persistent_volume": found.persistent_volume,
        "claim": found.claim,
        "volume_id": found.volume_id,
        "outcome": found.outcome,
        "message": found.message,
    }


def mount(found: holdall.Mount) -> dict[str, Any]:
    return {
        "staging_path": found.staging_path,
        "targets": list(found.targets),
        "device": found.device,
        "fs_type": found.fs_type,
        "read_only": found.read_only,
    }

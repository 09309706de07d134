"""``holdall stats``: how full mounted volumes are, and what is wrong with them."""

from typing import Any

import click

from csi.holdall.v1 import holdall_pb2 as holdall
from csi.v1 import csi_pb2 as csi

from ..model import errors
from . import arguments, names, rows
from .session import ON_NODE, Session, talks
from .show import Column, Show

_COLUMNS = (
    Column("name", "name"),
    Column("used_bytes", "used", "size"),
    Column("available_bytes", "available", "size"),
    Column("total_bytes", "size", "size"),
    Column("share", "full", "share"),
    Column("used_inodes", "inodes", "count"),
    Column("path", "at"),
    Column("problem", "problem"),
)


@click.command()
@click.argument("name", metavar="[VOLUME]", required=False, default="", type=arguments.VOLUME)
@ON_NODE
@talks
async def stats(session: Session, show: Show, name: str) -> None:
    """How full a mounted volume is; without VOLUME, all that are mounted."""
    answer = await session.ask(session.holdall.GetNode, holdall.GetNodeRequest())
    mounts = list(answer.mounts)
    if name:
        volume_id = await session.volume_id(name)
        mounts = [mount for mount in mounts if mount.volume_id == volume_id]
        if not mounts:
            raise errors.FailedPrecondition(f"volume {names.readable(volume_id)} is not mounted here; mount it first")
    show.table([await _row(session, mount) for mount in mounts], _COLUMNS, "No volume is mounted.")


async def _row(session: Session, mount: holdall.Mount) -> dict[str, Any]:
    path = mount.targets[0] if mount.targets else mount.staging_path
    row: dict[str, Any] = {"id": mount.volume_id, "name": names.readable(mount.volume_id), "path": path}
    row |= dict.fromkeys(("used_bytes", "available_bytes", "total_bytes", "share", "used_inodes", "total_inodes"))
    try:
        answer = await session.mounter.ask(
            session.mounter.node.NodeGetVolumeStats,
            csi.NodeGetVolumeStatsRequest(volume_id=mount.volume_id, volume_path=path),
        )
        found = await session.mounter.ask(
            session.mounter.node.NodeGetVolumeHealth, csi.NodeGetVolumeHealthRequest(volume_id=mount.volume_id)
        )
    except errors.DomainError as error:
        return row | {"health": [], "problem": error.message}
    for usage in answer.usage:
        row |= _usage(usage, is_block=not mount.fs_type and mount.device != "")
    row["health"] = rows.health(found.volume_health)
    row["problem"] = "; ".join(one["message"] or one["reason"] for one in row["health"])
    return row


def _usage(usage: csi.VolumeUsage, *, is_block: bool) -> dict[str, Any]:
    """Of a raw block volume nobody knows what is used of it."""
    if usage.unit == csi.VolumeUsage.INODES:
        return {"used_inodes": usage.used, "total_inodes": usage.total}
    if is_block:
        return {"total_bytes": usage.total}
    return {
        "used_bytes": usage.used,
        "available_bytes": usage.available,
        "total_bytes": usage.total,
        "share": usage.used / usage.total if usage.total else None,
    }

"""``holdall group``: snapshots of several volumes at one moment."""

import click

from csi.v1 import csi_pb2 as csi

from . import arguments, names, rows
from .session import Session, talks
from .show import Column, Show

_WHOLE = (*rows.GROUP[:1], Column("id", "id"), *rows.GROUP[2:4], Column("snapshots", "snapshots", "list"))


@click.group()
def group() -> None:
    """Snapshots of several volumes at one moment."""


@group.command("list")
@talks
async def list_(session: Session, show: Show) -> None:
    """All group snapshots."""
    found = [rows.group(await _get(session, one)) for one in await session.group_ids()]
    show.table(found, rows.GROUP, "There are no group snapshots.")


@group.command("show")
@click.argument("name", metavar="GROUP", type=arguments.GROUP)
@talks
async def show_(session: Session, show: Show, name: str) -> None:
    """One group snapshot and its members."""
    found = rows.group(await _get(session, await session.group_id(name)))
    if not show.as_json:
        found["snapshots"] = [f"{one['name']} (of {one['source']})" for one in found["snapshots"]]
    show.item(found, _WHOLE)


@group.command()
@click.argument("name")
@click.argument("volumes", metavar="VOLUME...", nargs=-1, required=True, type=arguments.VOLUME)
@talks
async def create(session: Session, show: Show, name: str, volumes: tuple[str, ...]) -> None:
    """Cut snapshots of several volumes at one moment: of all, or of none."""
    request = csi.CreateVolumeGroupSnapshotRequest(
        name=name, source_volume_ids=[await session.volume_id(one) for one in volumes]
    )
    answer = await session.ask(session.group.CreateVolumeGroupSnapshot, request)
    made = rows.group(answer.group_snapshot)
    show.done(made, f"Group snapshot {name} has {made['members']} snapshots: {made['id']}")


@group.command()
@click.argument("name", metavar="GROUP", type=arguments.GROUP)
@talks
async def delete(session: Session, show: Show, name: str) -> None:
    """Delete a group snapshot with all its members."""
    group_id = await session.group_id(name)
    found = await _get(session, group_id)
    await session.ask(
        session.group.DeleteVolumeGroupSnapshot,
        csi.DeleteVolumeGroupSnapshotRequest(
            group_snapshot_id=group_id, snapshot_ids=[one.snapshot_id for one in found.snapshots]
        ),
    )
    show.done({"id": group_id, "deleted": True}, f"Group snapshot {names.readable(group_id)} is deleted.")


async def _get(session: Session, group_id: str) -> csi.VolumeGroupSnapshot:
    request = csi.GetVolumeGroupSnapshotRequest(group_snapshot_id=group_id)
    return (await session.ask(session.group.GetVolumeGroupSnapshot, request)).group_snapshot

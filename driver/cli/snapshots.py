"""``holdall snapshot``: points in time of volumes."""

import click

from csi.v1 import csi_pb2 as csi

from ..model import errors, sizes
from . import arguments, names, rows, waiting
from .session import Session, talks
from .show import Show


@click.group()
def snapshot() -> None:
    """Points in time of volumes.

    A SNAPSHOT is named by its name, by its id, or by the beginning of either. Make a volume of one with
    "holdall volume create NAME --from SNAPSHOT".
    """


@snapshot.command("list")
@click.option("--volume", default="", help="Only those of this volume.", type=arguments.VOLUME)
@talks
async def list_(session: Session, show: Show, volume: str) -> None:
    """All snapshots, or those of one volume."""
    found = await session.snapshots(await session.volume_id(volume) if volume else "")
    show.table([rows.snapshot(one) for one in found], rows.SNAPSHOT, "There are no snapshots.")


@snapshot.command("show")
@click.argument("name", metavar="SNAPSHOT", type=arguments.SNAPSHOT)
@talks
async def show_(session: Session, show: Show, name: str) -> None:
    """One snapshot."""
    snapshot_id = await session.snapshot_id(name)
    answer = await session.ask(session.controller.GetSnapshot, csi.GetSnapshotRequest(snapshot_id=snapshot_id))
    show.item(rows.snapshot(answer.snapshot), rows.SNAPSHOT)


@snapshot.command()
@click.argument("volume", type=arguments.VOLUME)
@click.argument("name")
@click.option("--parameter", "parameters", type=arguments.PAIR, multiple=True, help="As in a VolumeSnapshotClass.")
@click.option("--no-wait", is_flag=True, help="Come back once it is cut, even if its data is still being copied.")
@talks
async def create(
    session: Session,
    show: Show,
    volume: str,
    name: str,
    parameters: tuple[tuple[str, str], ...],
    no_wait: bool,
) -> None:
    """Cut a snapshot of VOLUME, which may be mounted and written to meanwhile.

    Repeating the same command is safe: it gives the snapshot that the first one cut.
    """
    request = csi.CreateSnapshotRequest(
        name=name, source_volume_id=await session.volume_id(volume), parameters=dict(parameters)
    )
    found = (await session.ask(session.controller.CreateSnapshot, request)).snapshot
    while not found.ready_to_use and not no_wait:
        ended = await waiting.watch(session, show, f"copying {name}", f"copy-{found.snapshot_id}")
        if ended is not None and ended.state == "failed":
            raise errors.HostFailed(ended.message)
        answer = await session.ask(
            session.controller.GetSnapshot, csi.GetSnapshotRequest(snapshot_id=found.snapshot_id)
        )
        found = answer.snapshot
    shown = rows.snapshot(found)
    state = "" if found.ready_to_use else "; its data is still being copied"
    show.done(
        shown,
        f"Snapshot {name} of {names.readable(found.source_volume_id)}, "
        f"{sizes.show(found.size_bytes)}{state}: {found.snapshot_id}",
    )


@snapshot.command()
@click.argument("wanted", metavar="SNAPSHOT...", nargs=-1, required=True, type=arguments.SNAPSHOT)
@talks
async def delete(session: Session, show: Show, wanted: tuple[str, ...]) -> None:
    """Delete snapshots. One that belongs to a group is deleted with its group."""
    for name in wanted:
        snapshot_id = await session.snapshot_id(name)
        await session.ask(session.controller.DeleteSnapshot, csi.DeleteSnapshotRequest(snapshot_id=snapshot_id))
        show.line({"id": snapshot_id, "deleted": True}, f"Snapshot {names.readable(snapshot_id)} is deleted.")

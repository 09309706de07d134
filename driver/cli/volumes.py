"""``holdall volume``: make, change and delete volumes."""

import click

from csi.v1 import csi_pb2 as csi

from ..model import errors, ids, sizes
from . import arguments, names, rows, waiting
from .session import ON_NODE, Session, talks
from .show import Show


@click.group()
def volume() -> None:
    """Make, change and delete volumes.

    A VOLUME is named by its name, by its id, or by the beginning of either.
    """


@volume.command("list")
@click.option("--pool", default="", help="Only those of this pool.")
@talks
async def list_(session: Session, show: Show, pool: str) -> None:
    """All volumes."""
    only = (await session.pool(pool)).id if pool else ""
    found = [
        rows.volume(entry.volume, list(entry.status.published_node_ids))
        for entry in await session.volumes()
        if not only or entry.volume.volume_id.startswith(f"{only}.")
    ]
    show.table(found, rows.VOLUME, "There are no volumes.")


@volume.command("show")
@click.argument("name", metavar="VOLUME", type=arguments.VOLUME)
@talks
async def show_(session: Session, show: Show, name: str) -> None:
    """One volume: its size, where it is in use, its snapshots, what is wrong with it."""
    volume_id = await session.volume_id(name)
    answer = await session.ask(
        session.controller.ControllerGetVolume, csi.ControllerGetVolumeRequest(volume_id=volume_id)
    )
    health = await session.ask(
        session.controller.ControllerGetVolumeHealth, csi.ControllerGetVolumeHealthRequest(volume_id=volume_id)
    )
    found = rows.volume(answer.volume, list(answer.status.published_node_ids))
    found["health"] = rows.health(health.volume_health)
    found["snapshots"] = [one.snapshot_id for one in await session.snapshots(volume_id)]
    mount = await session.mount(volume_id)
    found |= rows.mount(mount) if mount else {}
    if not show.as_json:
        found["health"] = "; ".join(one["message"] or one["reason"] for one in found["health"]) or "good"
        found["snapshots"] = [names.readable(one) for one in found["snapshots"]]
    show.item(found, rows.VOLUME_WHOLE)


@volume.command()
@click.argument("name")
@click.option("--size", type=arguments.SIZE, default=0, help="At least this much, such as 10GiB.")
@click.option("--limit", type=arguments.SIZE, default=0, help="At most this much.")
@click.option("--pool", default="", help="In this pool.  [the one with the most room]")
@click.option("--backend", default="", help="In a pool of this kind.")
@click.option("--device-type", default="", help="In a pool of this device class: ssd, hdd, nvme …")
@click.option("--fs-type", default="", help="ext4, xfs or btrfs.  [the pool's choice]")
@click.option("--block", is_flag=True, help="A raw block device, without a filesystem.")
@click.option("--from", "source", default="", metavar="SNAPSHOT|VOLUME", help="With the content of this one.")
@click.option("--parameter", "parameters", type=arguments.PAIR, multiple=True, help="As in a StorageClass.")
@click.option("--set", "mutable", type=arguments.PAIR, multiple=True, help="As in a VolumeAttributesClass.")
@talks
async def create(
    session: Session,
    show: Show,
    name: str,
    size: int,
    limit: int,
    pool: str,
    backend: str,
    device_type: str,
    fs_type: str,
    block: bool,
    source: str,
    parameters: tuple[tuple[str, str], ...],
    mutable: tuple[tuple[str, str], ...],
) -> None:
    """Make a volume, empty or with the content of a snapshot or another volume.

    Repeating the same command is safe: it gives the volume that the first one made.
    """
    chosen = {"pool": pool, "backend": backend, "deviceType": device_type}
    request = csi.CreateVolumeRequest(
        name=name,
        capacity_range=csi.CapacityRange(required_bytes=size, limit_bytes=limit),
        volume_capabilities=[capability(block=block, fs_type=fs_type)],
        parameters=dict(parameters) | {key: value for key, value in chosen.items() if value},
        mutable_parameters=dict(mutable),
    )
    if source:
        request.volume_content_source.CopyFrom(await _source(session, source))
    subject = ids.local_part(ids.VOLUME, name)
    answer = await waiting.until_answered(
        session, show, f"filling {name}", subject, lambda: session.ask(session.controller.CreateVolume, request)
    )
    made = rows.volume(answer.volume, [])
    show.done(made, f"Volume {name} has {sizes.show(made['size_bytes'])} in pool {made['pool']}: {made['id']}")


@volume.command()
@click.argument("wanted", metavar="VOLUME...", nargs=-1, required=True, type=arguments.VOLUME)
@talks
async def delete(session: Session, show: Show, wanted: tuple[str, ...]) -> None:
    """Delete volumes and what they hold. One that is in use is refused."""
    for name in wanted:
        volume_id = await session.volume_id(name)
        await session.ask(session.controller.DeleteVolume, csi.DeleteVolumeRequest(volume_id=volume_id))
        show.line({"id": volume_id, "deleted": True}, f"Volume {names.readable(volume_id)} is deleted.")


@volume.command()
@click.argument("name", metavar="VOLUME", type=arguments.VOLUME)
@click.argument("size", type=arguments.SIZE)
@ON_NODE
@talks
async def expand(session: Session, show: Show, name: str, size: int) -> None:
    """Grow a volume to SIZE, with the filesystem in it; also while it is in use. It never shrinks."""
    volume_id = await session.volume_id(name)
    wanted = csi.CapacityRange(required_bytes=size)
    answer = await session.ask(
        session.controller.ControllerExpandVolume,
        csi.ControllerExpandVolumeRequest(volume_id=volume_id, capacity_range=wanted),
    )
    later = False
    if answer.node_expansion_required:
        mount = await session.mount(volume_id)
        later = mount is None
        if mount is not None:
            await session.mounter.ask(
                session.mounter.node.NodeExpandVolume,
                csi.NodeExpandVolumeRequest(
                    volume_id=volume_id,
                    volume_path=mount.staging_path,
                    staging_target_path=mount.staging_path,
                    capacity_range=wanted,
                ),
            )
    show.done(
        {"id": volume_id, "size_bytes": answer.capacity_bytes, "filesystem_grows_at_mount": later},
        f"Volume {names.readable(volume_id)} has {sizes.show(answer.capacity_bytes)}"
        + ("; its filesystem grows when it is mounted next." if later else "."),
    )


@volume.command()
@click.argument("name", metavar="VOLUME", type=arguments.VOLUME)
@click.argument("changes", metavar="KEY=VALUE...", nargs=-1, required=True, type=arguments.PAIR)
@talks
async def modify(session: Session, show: Show, name: str, changes: tuple[tuple[str, str], ...]) -> None:
    """Change settings of a volume, such as wipe=discard: all of them, or none."""
    volume_id = await session.volume_id(name)
    await session.ask(
        session.controller.ControllerModifyVolume,
        csi.ControllerModifyVolumeRequest(volume_id=volume_id, mutable_parameters=dict(changes)),
    )
    words = ", ".join(f"{key}={value}" for key, value in changes)
    show.done({"id": volume_id, "changed": dict(changes)}, f"Volume {names.readable(volume_id)} has {words}.")


def capability(*, block: bool, fs_type: str = "", mount_flags: tuple[str, ...] = ()) -> csi.VolumeCapability:
    """A volume that several on this machine may write to."""
    mode = csi.VolumeCapability.AccessMode(mode=csi.VolumeCapability.AccessMode.SINGLE_NODE_MULTI_WRITER)
    if block:
        return csi.VolumeCapability(access_mode=mode, block=csi.VolumeCapability.BlockVolume())
    mount = csi.VolumeCapability.MountVolume(fs_type=fs_type, mount_flags=mount_flags)
    return csi.VolumeCapability(access_mode=mode, mount=mount)


async def _source(session: Session, text: str) -> csi.VolumeContentSource:
    """The snapshot a person means, or else the volume."""
    try:
        snapshot_id = await session.snapshot_id(text)
    except errors.NotFound:
        pass
    else:
        return csi.VolumeContentSource(snapshot=csi.VolumeContentSource.SnapshotSource(snapshot_id=snapshot_id))
    try:
        volume_id = await session.volume_id(text)
    except errors.NotFound:
        raise errors.NotFound(f"there is neither a snapshot nor a volume {text!r}") from None
    return csi.VolumeContentSource(volume=csi.VolumeContentSource.VolumeSource(volume_id=volume_id))

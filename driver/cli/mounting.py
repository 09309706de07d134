"""``holdall mount`` and ``holdall umount``: what kubelet does for a pod, done for a person.

A volume is staged in a directory of our own in the state directory, once, and published at each target.
"""

import os
from pathlib import Path

import click

from csi.holdall.v1 import holdall_pb2 as holdall
from csi.v1 import csi_pb2 as csi

from ..host.failure import during
from ..model import errors, ids
from . import arguments, names
from .config import STATE_DIR
from .session import ON_NODE, Session, talks
from .show import Show
from .volumes import capability

_STATE_DIR = click.option(
    "--state-dir",
    envvar="HOLDALL_STATE_DIR",
    default=STATE_DIR,
    show_default=True,
    help="Of the driver; volumes are staged in it.",
)


@click.command()
@click.argument("volume", type=arguments.VOLUME)
@click.argument("target", type=click.Path())
@click.option("--read-only", "-r", is_flag=True, help="Nobody writes through this target.")
@click.option("--block", is_flag=True, help="As a block device; TARGET becomes a file.")
@click.option("--fs-type", default="", help="Refuse a volume with another filesystem.")
@click.option("--option", "-o", "flags", multiple=True, help="Mount option, such as noatime.")
@_STATE_DIR
@ON_NODE
@talks
async def mount(
    session: Session,
    show: Show,
    volume: str,
    target: str,
    read_only: bool,
    block: bool,
    fs_type: str,
    flags: tuple[str, ...],
    state_dir: str,
) -> None:
    """Mount VOLUME at TARGET, on the machine of the driver. The first mount makes its filesystem.

    TARGET is made, and removed again by "holdall umount"; its parent directory has to be there.
    """
    volume_id = await session.volume_id(volume)
    wanted = capability(block=block, fs_type=fs_type, mount_flags=flags)
    path = os.path.abspath(target)
    used = await session.mount(volume_id)
    staging = used.staging_path if used else staging_of(state_dir, volume_id)
    if used is None:
        with during(f"making {staging}"):
            os.makedirs(staging, mode=0o700, exist_ok=True)
        await _stage(session, volume_id, staging, wanted)
    try:
        await session.mounter.ask(
            session.mounter.node.NodePublishVolume,
            csi.NodePublishVolumeRequest(
                volume_id=volume_id,
                staging_target_path=staging,
                target_path=path,
                volume_capability=wanted,
                readonly=read_only,
            ),
        )
    except errors.DomainError:
        if used is None:
            await _unstage(session, volume_id, staging)
        raise
    found = {"volume_id": volume_id, "target": path, "read_only": read_only}
    show.done(found, f"Volume {names.readable(volume_id)} is at {path}{' (read-only)' if read_only else ''}.")


@click.command()
@click.argument("target", metavar="TARGET|VOLUME")
@_STATE_DIR
@ON_NODE
@talks
async def umount(session: Session, show: Show, target: str, state_dir: str) -> None:
    """Unmount what is at TARGET, or VOLUME wherever "holdall mount" put it. Its data stays."""
    found = await _meant(session, target)
    ours = found.staging_path == staging_of(state_dir, found.volume_id)
    paths = [os.path.abspath(target)]
    if paths[0] not in found.targets:
        if not ours:
            raise errors.FailedPrecondition(
                f"volume {names.readable(found.volume_id)} was mounted by somebody else, at "
                f"{', '.join(found.targets) or found.staging_path}; name the target to unmount it nevertheless"
            )
        paths = list(found.targets)
    for path in paths:
        await session.mounter.ask(
            session.mounter.node.NodeUnpublishVolume,
            csi.NodeUnpublishVolumeRequest(volume_id=found.volume_id, target_path=path),
        )
    if ours and len(paths) == len(found.targets):
        await _unstage(session, found.volume_id, found.staging_path)
    words = " and ".join(paths) or found.staging_path
    show.done(
        {"volume_id": found.volume_id, "targets": paths},
        f"Volume {names.readable(found.volume_id)} is no longer at {words}.",
    )


def staging_of(state_dir: str, volume_id: str) -> str:
    """The staging directory that these commands use for a volume; the id has been checked to be one of ours."""
    if ids.split(volume_id) is None:
        raise errors.InvalidArgument(f"{volume_id!r} is no id of a volume")
    return f"{os.path.abspath(state_dir)}/mounted/{volume_id}"


async def _meant(session: Session, text: str) -> holdall.Mount:
    """What is mounted at a path, or of a volume. NotFound."""
    answer = await session.ask(session.holdall.GetNode, holdall.GetNodeRequest())
    path = os.path.abspath(text)
    for mount in answer.mounts:
        if path in mount.targets:
            return mount
    known = [mount.volume_id for mount in answer.mounts]
    try:
        volume_id = names.pick(ids.VOLUME, text, known)
    except errors.NotFound:
        raise errors.NotFound(f"no volume is mounted at {path}, and none that is mounted is called {text!r}") from None
    return next(mount for mount in answer.mounts if mount.volume_id == volume_id)


async def _stage(session: Session, volume_id: str, staging: str, wanted: csi.VolumeCapability) -> None:
    try:
        await session.mounter.ask(
            session.mounter.node.NodeStageVolume,
            csi.NodeStageVolumeRequest(volume_id=volume_id, staging_target_path=staging, volume_capability=wanted),
        )
    except errors.DomainError:
        _remove(staging)
        raise


async def _unstage(session: Session, volume_id: str, staging: str) -> None:
    await session.mounter.ask(
        session.mounter.node.NodeUnstageVolume,
        csi.NodeUnstageVolumeRequest(volume_id=volume_id, staging_target_path=staging),
    )
    _remove(staging)


def _remove(staging: str) -> None:
    """The staging directory is gone, if it is empty: a mount that is still there keeps it."""
    try:
        Path(staging).rmdir()
    except OSError:
        return

"""What is wrong with the mounts of a volume in use: seen now, never remembered, gone when mended."""

import os
from collections.abc import Sequence
from pathlib import Path

from ..engine.engine import Engine
from ..engine.uses import Use
from ..host import filesystem, mounts
from ..model import errors
from ..model.health import Ailment, Status
from . import paths, staged, targets
from .reach import Reach


class Health:
    """The node's half of a volume's health; the engine knows data and pools, and asks ``of_use`` for the rest."""

    def __init__(self, engine: Engine, reach: Reach) -> None:
        self._engine = engine
        self._reach = reach

    async def of(self, volume_id: str, published_at: str, staging_path: str) -> list[Ailment]:
        """Everything wrong with the volume, here and in its pool; empty means healthy.

        The paths may be empty. NotFound for an unknown volume, or a path where it was never staged or published.
        """
        found = await self._engine.health.of(volume_id)
        use = self._engine.uses.of(volume_id)
        known = {use.staging_path, *use.targets} if use else set()
        for path, field in ((published_at, "volume_publish_path"), (staging_path, "staging_target_path")):
            if path and paths.checked(path, field) not in known:
                raise errors.NotFound(f"volume {volume_id} is not at {path}")
        return found

    async def of_use(self, use: Use) -> Sequence[Ailment]:
        """What is wrong with the mounts. Waits in the pool's own threads, so never on the event loop."""
        try:
            return await self._reach.apart(use.volume_id, _look, use)
        except errors.Unavailable as stuck:
            return [Ailment(Status.INACCESSIBLE, "MountUnreachable", stuck.message)]


def _look(use: Use) -> list[Ailment]:
    found: list[Ailment] = []
    if use.kind == "block":
        if not os.path.exists(f"/sys/class/block/{os.path.basename(use.device)}/loop") and "loop" in use.device:
            found.append(Ailment(Status.INACCESSIBLE, "DeviceMissing", f"{use.device} has lost its volume"))
    else:
        found += _look_at_mount(use, use.staging_path, "Staging", use.read_only)
        if use.device:
            found += _filesystem_errors(use)
            found += _unused_room(use)
    for path, target in use.targets.items():
        found += _look_at_mount(use, path, "Target", targets.target_reads_only(target))
    return found


def _look_at_mount(use: Use, path: str, name: str, read_only: bool) -> list[Ailment]:
    try:
        seen = mounts.look(path)
        if seen is None or not seen.is_root:
            return [Ailment(Status.INACCESSIBLE, f"{name}MountMissing", f"nothing is mounted at {path} any more")]
        if use.kind == "block":
            return []
        with os.scandir(path) as entries:
            next(entries, None)
    except errors.HostFailed as error:
        return [Ailment(Status.INACCESSIBLE, "FilesystemUnreachable", error.message)]
    except OSError as error:
        return [Ailment(Status.INACCESSIBLE, "FilesystemUnreachable", f"reading {path}: {error.strerror}")]
    if seen.read_only and not read_only:
        message = f"the filesystem at {path} has gone read-only; it was mounted for writing"
        return [Ailment(Status.INACCESSIBLE, "FilesystemReadOnly", message)]
    return []


def _filesystem_errors(use: Use) -> list[Ailment]:
    """Errors that the kernel counted on this filesystem since it was last checked (ext4)."""
    if use.fs_type != "ext4":
        return []
    counter = Path("/sys/fs/ext4") / os.path.basename(use.device) / "errors_count"
    try:
        count = int(counter.read_text())
    except (OSError, ValueError):
        return []
    if not count:
        return []
    message = f"the kernel met {count} errors in its filesystem; unstage it, and check it with e2fsck"
    return [Ailment(Status.DEGRADED, "FilesystemErrors", message)]


def _unused_room(use: Use) -> list[Ailment]:
    """A volume that was expanded, but whose filesystem was not."""
    try:
        if not staged.is_staged(use) or filesystem.fills(use.staging_path, use.device, use.fs_type):
            return []
    except errors.DomainError:
        return []  # told by what else is wrong with it
    message = "its filesystem is smaller than the volume; expand it on the node, or stage it again"
    return [Ailment(Status.DEGRADED, "FilesystemSmallerThanVolume", message)]

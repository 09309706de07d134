"""What is really staged and published, told from the kernel: notes may be lost or late, mounts are not."""

import os

from ..backends import base
from ..engine.uses import Use
from ..host import mounts
from ..host.failure import during
from ..model import errors
from ..model.capability import Capability
from ..model.volume import Volume
from . import paths, targets


def source_of(use: Use) -> str:
    """What to bind at a target path: the staging path, once seen that the volume is mounted there, or the device.

    FailedPrecondition when it is not: binding would show the caller's own disk in place of the volume.
    """
    if use.kind == "block":
        return use.device
    if not is_staged(use):
        raise errors.FailedPrecondition(
            f"volume {use.volume_id} is not mounted at its staging path {use.staging_path}; stage it again"
        )
    return use.staging_path


def is_staged(use: Use) -> bool:
    """Whether the filesystem of this use is mounted at its staging path."""
    return is_at(use, use.staging_path)


def is_at(use: Use, path: str) -> bool:
    """Whether the filesystem of this use is mounted exactly at ``path``."""
    seen = paths.seen_at(path)
    if seen is None or not seen.is_root:
        return False
    if not use.device or use.fs_type == "btrfs":
        return True  # what statx shows of btrfs is a subvolume's number, not the device's
    with during(f"looking at {use.device}"):
        return seen.dev == os.stat(use.device).st_rdev


def is_published(use: Use, path: str) -> bool:
    """Whether what is mounted at the target ``path`` is what this use shows there."""
    seen = paths.seen_at(path)
    if seen is None or not seen.is_root:
        return False
    source = use.device if use.kind == "block" else use.staging_path
    return os.path.exists(source) and _same(seen, source)


def is_mounted(path: str) -> bool:
    """Whether anything is mounted exactly at ``path``; a dead filesystem is taken away and does not count."""
    seen = paths.seen_at(path)
    return seen is not None and seen.is_root


def mounted_of(candidates: list[str]) -> list[str]:
    """Those of ``candidates`` where something is mounted."""
    return [path for path in candidates if is_mounted(path)]


def shows_volume(backend: base.Backend, volume: Volume, path: str) -> bool:
    """Whether what is mounted at ``path`` is this volume; for uses nobody remembers, since it may read the mount table."""
    seen = paths.seen_at(path)
    if seen is None or not seen.is_root:
        return False
    if isinstance(backend, base.Directories):
        return _same(seen, backend.directory(volume))
    if not isinstance(backend, base.Devices):
        return False
    device = backend.attached(volume)
    if device is None:
        return False
    if volume.kind == "block":
        return _same(seen, device)
    return any(entry.mount_id == seen.mount_id and entry.source == device for entry in mounts.mountinfo())


def recognized(backend: base.Backend, volume: Volume, staging_path: str, capability: Capability) -> Use | None:
    """The use of a volume that is staged at ``staging_path`` though no note says so; None when it is not."""
    device = (backend.attached(volume) or "") if isinstance(backend, base.Devices) else ""
    if volume.kind == "block":
        if not device or paths.seen_at(staging_path) is None:
            return None
    elif not shows_volume(backend, volume, staging_path):
        return None
    seen = paths.seen_at(staging_path)
    return Use(
        volume_id=volume.id,
        staging_path=staging_path,
        kind=volume.kind,
        capability=capability,
        device=device,
        fs_type=volume.fs_type,
        read_only=targets.reads_only(capability) if volume.kind == "block" else seen is not None and seen.read_only,
    )


def _same(seen: mounts.Mounted, path: str) -> bool:
    with during(f"looking at {path}"):
        known = os.stat(path)
    return (seen.dev, seen.inode) == (known.st_dev, known.st_ino)

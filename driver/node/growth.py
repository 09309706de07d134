"""A filesystem is as large as its device: grown in place where the kernel does that, else while it is unmounted.

The kernel grows a mounted ext4 only for a process with CAP_SYS_RESOURCE, which a container may lack; xfs and btrfs ask
for no more than the mount itself. Growing ext4 unmounted takes a full check first, so it is the second choice.
"""

from ..engine.uses import Use
from ..host import filesystem, mounts
from ..model import errors
from . import paths, staged


def mount(use: Use) -> None:
    """The filesystem of this use is mounted at its staging path, with its options; checked first if marked unclean."""
    options = list(use.capability.mount_flags)
    if use.read_only:
        options.append("ro")
    if not staged.is_mounted(use.staging_path):
        filesystem.check(use.device, use.fs_type)
    mounts.ensure_mounted(use.device, use.staging_path, use.fs_type, options)


def ensure_filled(use: Use) -> None:
    """The filesystem, mounted for writing at its staging path, fills its device.

    FailedPrecondition with the remedy when that would take an unmount and somebody has the volume at a target path, or
    when it cannot grow to this size at all.
    """
    path, device, fs_type = use.staging_path, use.device, use.fs_type
    if filesystem.fills(path, device, fs_type):
        return
    try:
        filesystem.grow(path, device, fs_type)
    except errors.FailedPrecondition as refused:
        if standing := staged.mounted_of(list(use.targets)):
            raise errors.FailedPrecondition(
                f"{refused.message}; unpublish volume {use.volume_id} from {', '.join(standing)}, unstage it, and stage it "
                "again: it grows then"
            ) from refused
        mounts.ensure_unmounted(path)
        try:
            if not filesystem.grow_offline(device, fs_type):
                raise
        finally:
            mount(use)


def fill_before_reading(use: Use, is_ours: bool) -> None:
    """The filesystem fills its device before it is mounted read-only, which would keep it from growing.

    ``is_ours``: what may be mounted at the staging path now is this volume.
    """
    path, device, fs_type = use.staging_path, use.device, use.fs_type
    seen = paths.seen_at(path)
    if seen is not None and seen.is_root:
        if seen.read_only or not is_ours:
            return
        mounts.ensure_unmounted(path)  # mounted only to grow, by a process that died over it
    if filesystem.fills(device, device, fs_type) or filesystem.grow_offline(device, fs_type):
        return
    mounts.ensure_mounted(device, path, fs_type)
    try:
        filesystem.grow(path, device, fs_type)
    finally:
        mounts.ensure_unmounted(path)

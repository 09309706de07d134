"""Where ``wipe=zero`` can be kept: on filesystems that write new data of a file where its old data lies."""

import os

from ..host import fsprobe, mounts
from ..host.failure import during

KNOWN = ("ext4", "xfs")
"""Filesystems that overwrite in place, as long as nothing shares the blocks."""


def overwrites(path: str, *, shares_extents: bool) -> bool:
    """Whether what is written over a file below ``path`` is known to replace what was on the device, everywhere.

    Not on ext4 that writes data to its journal as well (ext4(5), data=journal): a copy stays there. Raises HostFailed.
    """
    if shares_extents or fsprobe.statfs_type(path).name not in KNOWN:
        return False
    with during(f"looking at {path}"):
        device = os.stat(path).st_dev
    return not any("data=journal" in one.super_options for one in mounts.mountinfo() if one.dev == device)

"""The kernel's cleaner, which gives back the space of deleted subvolumes behind everybody's back."""

import os

from . import btrfs, btrfs_tree
from .effect import effect
from .failure import FULL

ORPHANS = (1 << 64) - 5
ORPHAN_ITEM = 48


def pending(path: str) -> set[int]:
    """The ids of subvolumes of the filesystem at ``path`` that are deleted while space of theirs is not given back yet.

    O(answer). What is given back can be used by others after the next commit. Raises HostFailed.
    """
    with btrfs_tree.directory(path, f"asking for deleted subvolumes of {path}") as fd:
        return {item.offset for item in btrfs_tree.items(fd, btrfs_tree.ROOT_TREE, ORPHANS, ORPHAN_ITEM)}


@effect
def wake(path: str) -> None:
    """Everything done to subvolumes so far is committed, and the cleaner is at work rather than asleep for up to 30 s.

    The directory's times change: the kernel wakes the cleaner behind a commit, and commits only where there is
    something to commit. Raises NoSpace, HostFailed.
    """
    with btrfs_tree.directory(path, f"waking the cleaner of {path}") as fd:
        try:
            os.utime(fd)
        except OSError as error:
            # A full filesystem may refuse even that; then the cleaner comes by on its own.
            if error.errno not in FULL:
                raise
    btrfs.commit(path)

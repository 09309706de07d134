"""The kernel's cleaner, which gives back the space of deleted subvolumes behind everybody's back."""

from . import btrfs_tree

ORPHANS = (1 << 64) - 5
ORPHAN_ITEM = 48


def pending(path: str) -> set[int]:
    """The ids of subvolumes of the filesystem at ``path`` that are deleted while space of theirs is not given back yet.

    O(answer). What is given back can be used by others after the next commit. Raises HostFailed.
    """
    with btrfs_tree.directory(path, f"asking for deleted subvolumes of {path}") as fd:
        return {item.offset for item in btrfs_tree.items(fd, btrfs_tree.ROOT_TREE, ORPHANS, ORPHAN_ITEM)}

"""Removing a directory tree somebody else filled."""


def remove_tree(path: str) -> None:
    """Remove ``path`` and all below it; nothing happens if it is gone. Never leaves the tree.

    Walks by directory descriptors, opened without following symbolic links, so that a name replaced meanwhile cannot
    lead outside. Raises InUse when a mount point lies inside (what has been removed until then stays removed),
    HostFailed. Removal is not synced.
    """
    raise NotImplementedError

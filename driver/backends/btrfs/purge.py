"""Subvolumes deleted for good: their space given back, and discarded below if that was asked for.

| step | a crash after it leaves |
|---|---|
| deleted with all that users nested in it, committed | no name; the kernel gives the space back, also after a reboot |
| the kernel's cleaner is done with them, committed | free space that the device may still hold, when wipe=discard |
| their qgroups forgotten | nothing, unless wipe=discard |
| wipe=discard: free space discarded (the caller) | nothing, and by the next purge one more wait and trim |
"""

import os
import time
from collections.abc import Sequence

from ...host import btrfs, btrfs_cleaner, tree, walk
from ...host.failure import during
from ...model.errors import Busy, HostFailed
from ..base import Progress

PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
PATIENCE = 600.0
"""Seconds without any subvolume being finished, after which the wait is given up: files of it may be held open."""


def delete(paths: Sequence[str]) -> set[int]:
    """Nothing is at ``paths``, durably; the ids of the subvolumes that were. HostFailed."""
    gone: set[int] = set()
    for path in paths:
        if walk.look(path) is None:
            continue
        parent, name = os.path.split(path)
        if btrfs.is_subvolume(path):
            gone |= {btrfs.subvolume_id(path), *btrfs.nested_in(path)}
            btrfs.delete_subvolume(parent, name)
        else:
            tree.remove_tree(path)
    return gone


def wait(home: str, gone: set[int], progress: Progress) -> bool:
    """The space of the deleted subvolumes ``gone`` is free; False when stopped before. Busy, HostFailed."""
    btrfs_cleaner.wake(home)
    waiting = left = gone & btrfs_cleaner.pending(home)
    since, rounds = time.monotonic(), 0
    while left:
        if progress.stopped():
            return False
        _refuse_read_only(home)
        if time.monotonic() - since > PATIENCE:
            raise Busy(
                f"{len(left)} deleted subvolumes of {home} are not given back yet; files of them may be held open"
            )
        time.sleep(PAUSES[min(rounds, len(PAUSES) - 1)])
        rounds += 1
        if rounds % len(PAUSES) == 0:
            btrfs_cleaner.wake(home)
        left = waiting & btrfs_cleaner.pending(home)
        if left != waiting:
            waiting, since = left, time.monotonic()
    btrfs.commit(home)
    return True


def pending(home: str) -> set[int]:
    """All deleted subvolumes of the filesystem that are not given back yet, whoever deleted them. HostFailed."""
    return btrfs_cleaner.pending(home)


def _refuse_read_only(home: str) -> None:
    with during(f"looking at {home}"):
        if os.statvfs(home).f_flag & os.ST_RDONLY:
            raise HostFailed(f"the filesystem of {home} is read-only: deleted subvolumes are not given back")

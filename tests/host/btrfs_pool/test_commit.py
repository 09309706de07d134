"""Commits of a whole filesystem, asked for one after the other."""

import time
from pathlib import Path

from driver.host import btrfs, btrfs_cleaner

KERNEL_ROUND = 30.0
"""Seconds after which the kernel commits unasked; a wake-up that it lost costs as much."""


def test_no_commit_waits_for_the_kernels_next_round(mounted: Path, full_proof: bool) -> None:
    """Also when the kernel loses the wake-up, which happens to about one in a hundred."""
    where = str(mounted)
    worst = 0.0
    for number in range(1000 if full_proof else 150):
        for change in (btrfs.create_subvolume, btrfs.delete_subvolume):
            change(where, f"s{number}")
            begun = time.monotonic()
            btrfs.commit(where)
            worst = max(worst, time.monotonic() - begun)
    assert worst < KERNEL_ROUND / 2


def test_deleted_subvolumes_are_given_back_once_the_cleaner_is_woken(mounted: Path) -> None:
    """Pending until then, and nothing afterwards."""
    where = str(mounted)
    btrfs.create_subvolume(where, "one")
    number = btrfs.subvolume_id(f"{where}/one")
    btrfs.delete_subvolume(where, "one")
    assert btrfs_cleaner.pending(where) == {number}
    begun = time.monotonic()
    while btrfs_cleaner.pending(where):
        btrfs_cleaner.wake(where)
    assert time.monotonic() - begun < KERNEL_ROUND / 2

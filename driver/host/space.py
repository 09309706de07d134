"""Room on a filesystem."""

import os

import msgspec

from .failure import during


class Space(msgspec.Struct, frozen=True):
    """A filesystem's capacity in bytes and inodes; ``free`` is what an unprivileged user may still take.

    ``used`` counts from the other side: blocks reserved for root are neither used nor free, as in df(1). ``inodes`` is
    0 where the filesystem has no fixed number of them (btrfs).
    """

    total: int
    free: int
    used: int
    inodes: int
    inodes_free: int


def space(path: str) -> Space:
    """The room on the filesystem at ``path`` (statvfs(3)). Raises HostFailed."""
    with during(f"measuring the room at {path}"):
        seen = os.statvfs(path)
    unit = seen.f_frsize
    return Space(
        total=seen.f_blocks * unit,
        free=seen.f_bavail * unit,
        used=(seen.f_blocks - seen.f_bfree) * unit,
        inodes=seen.f_files,
        inodes_free=seen.f_favail,
    )

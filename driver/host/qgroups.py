"""Quota of btrfs: how much a subvolume refers to, and how much it may (BTRFS_IOC_QUOTA_CTL, TREE_SEARCH)."""

import msgspec

from .effect import effect


class QuotaStatus(msgspec.Struct, frozen=True):
    """``simple``: counted at allocation, without inherited data. ``inconsistent``: figures are wrong until a rescan."""

    enabled: bool
    simple: bool
    inconsistent: bool
    rescanning: bool


class Usage(msgspec.Struct, frozen=True):
    """Bytes a subvolume refers to, those no other subvolume shares, and the most it may refer to (None: no limit)."""

    referenced: int
    exclusive: int
    limit: int | None


def status(mount: str) -> QuotaStatus:
    """The state of quota on the filesystem at ``mount``. Raises HostFailed."""
    raise NotImplementedError


@effect
def enable(mount: str, *, simple: bool) -> None:
    """Quota is on; nothing happens if it was. Raises FailedPrecondition when it is on in the other mode, HostFailed."""
    raise NotImplementedError


@effect
def disable(mount: str) -> None:
    """Quota is off, and all limits are forgotten. Raises HostFailed."""
    raise NotImplementedError


@effect
def limit(mount: str, subvolume_id: int, max_referenced: int | None) -> None:
    """Let a subvolume refer to at most ``max_referenced`` bytes; None lifts the limit. Raises HostFailed (ENOENT)."""
    raise NotImplementedError


def usage(mount: str, subvolume_id: int) -> Usage:
    """What a subvolume uses, as of the last commit: O(1). Raises NotFound when it has no qgroup, HostFailed."""
    raise NotImplementedError


@effect
def remove(mount: str, subvolume_id: int) -> bool:
    """Forget the qgroup of a subvolume that is gone; True if it was there. Raises HostFailed."""
    raise NotImplementedError


@effect
def rescan_start(mount: str) -> None:
    """A rescan, which mends inconsistent figures, is running in the kernel. Raises HostFailed."""
    raise NotImplementedError


def rescan_running(mount: str) -> bool:
    """Whether a rescan is running. Raises HostFailed."""
    raise NotImplementedError

"""Quota of btrfs: how much a subvolume refers to, and how much it may (BTRFS_IOC_QUOTA_CTL and others)."""

import errno
import fcntl
import struct

import msgspec

from ..model.errors import FailedPrecondition, NotFound
from . import btrfs_tree
from .btrfs_tree import directory
from .effect import effect

QUOTA_CTL = 0xC0109428
QGROUP_CREATE = 0x4010942A
QGROUP_LIMIT = 0x8030942B
QUOTA_RESCAN = 0x4040942C
QUOTA_RESCAN_STATUS = 0x8040942D

CTL = struct.Struct("=QQ")
ENABLE = 1
DISABLE = 2
ENABLE_SIMPLE = 4

# Items of the quota tree, all under object 0; the offset is the qgroup's id, for a subvolume its own id.
STATUS_ITEM = 240
INFO_ITEM = 242
LIMIT_ITEM = 244
LEVEL_0 = (1 << 48) - 1
STATUS = struct.Struct("=QQQ")
INFO = struct.Struct("=QQQQQ")
LIMIT = struct.Struct("=QQQQQ")
INCONSISTENT = 1 << 2
SIMPLE = 1 << 3

LIMIT_ARGS = struct.Struct("=QQQQQQ")
MAX_REFERENCED = 0x1
NO_LIMIT = (1 << 64) - 1
RESCAN = struct.Struct("=QQ48x")


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
    with directory(mount, f"reading the state of quota on {mount}") as fd:
        flags = _status_flags(fd)
        if flags is None:
            return QuotaStatus(enabled=False, simple=False, inconsistent=False, rescanning=False)
        return QuotaStatus(
            enabled=True,
            simple=bool(flags & SIMPLE),
            inconsistent=bool(flags & INCONSISTENT),
            rescanning=_rescanning(fd),
        )


@effect
def enable(mount: str, *, simple: bool) -> None:
    """Quota is on; nothing happens if it was. Turning qgroups on starts a rescan of what is there.

    Raises FailedPrecondition when it is on in the other mode, HostFailed (EINVAL: this kernel has no simple quota).
    """
    with directory(mount, f"turning quota on for {mount}") as fd:
        flags = _status_flags(fd)
        if flags is None:
            fcntl.ioctl(fd, QUOTA_CTL, CTL.pack(ENABLE_SIMPLE if simple else ENABLE, 0))
        elif bool(flags & SIMPLE) != simple:
            found, wanted = ("simple", "qgroup") if flags & SIMPLE else ("qgroup", "simple")
            message = f"quota of {mount} is {found}, not {wanted}: turn it off first, which forgets all limits"
            raise FailedPrecondition(message)


@effect
def disable(mount: str) -> None:
    """Quota is off, and all limits are forgotten. Raises HostFailed."""
    with directory(mount, f"turning quota off for {mount}") as fd:
        if _status_flags(fd) is not None:
            fcntl.ioctl(fd, QUOTA_CTL, CTL.pack(DISABLE, 0))


@effect
def limit(mount: str, subvolume_id: int, max_referenced: int | None) -> None:
    """Let a subvolume refer to at most ``max_referenced`` bytes; None lifts the limit. Durable after btrfs.commit.

    Raises HostFailed (ENOENT when it has no qgroup, ENOTCONN when quota is off).
    """
    with directory(mount, f"limiting subvolume {subvolume_id} of {mount}") as fd:
        most = NO_LIMIT if max_referenced is None else max_referenced
        fcntl.ioctl(fd, QGROUP_LIMIT, LIMIT_ARGS.pack(subvolume_id, MAX_REFERENCED, most, 0, 0, 0))


def usage(mount: str, subvolume_id: int) -> Usage:
    """What a subvolume uses, as of the last commit: O(1). Raises NotFound when it has no qgroup, HostFailed."""
    with directory(mount, f"reading the usage of subvolume {subvolume_id} of {mount}") as fd:
        info = _item(fd, INFO_ITEM, subvolume_id)
        if info is None:
            message = f"subvolume {subvolume_id} of {mount} has no qgroup, or quota is off"
            raise NotFound(message)
        _, referenced, _, exclusive, _ = INFO.unpack_from(info)
        bound = _item(fd, LIMIT_ITEM, subvolume_id)
    flags, most = LIMIT.unpack_from(bound)[:2] if bound is not None else (0, 0)
    return Usage(referenced, exclusive, most if flags & MAX_REFERENCED else None)


def exclusive_and_referenced(mount: str) -> dict[int, tuple[int, int]]:
    """Of every subvolume, by id: the bytes it shares with no other, and all it refers to. O(subvolumes).

    Empty where quota is off. Raises HostFailed.
    """
    with directory(mount, f"reading the usage of all subvolumes of {mount}") as fd:
        found = {}
        try:
            for item in btrfs_tree.items(fd, btrfs_tree.QUOTA_TREE, 0, INFO_ITEM, 0, LEVEL_0):
                _, referenced, _, exclusive, _ = INFO.unpack_from(item.data)
                found[item.offset] = (exclusive, referenced)
        except FileNotFoundError:
            return {}
        return found


@effect
def remove(mount: str, subvolume_id: int) -> bool:
    """Forget the qgroup of a subvolume that is gone; True if it was there.

    Raises HostFailed (EBUSY while the subvolume, or data counted for it, still exists).
    """
    with directory(mount, f"forgetting the qgroup of subvolume {subvolume_id} of {mount}") as fd:
        try:
            fcntl.ioctl(fd, QGROUP_CREATE, CTL.pack(0, subvolume_id))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTCONN):
                return False
            raise
        return True


@effect
def rescan_start(mount: str) -> None:
    """A rescan, which mends inconsistent figures, is running in the kernel. Raises HostFailed."""
    with directory(mount, f"starting a quota rescan of {mount}") as fd:
        try:
            fcntl.ioctl(fd, QUOTA_RESCAN, RESCAN.pack(0, 0))
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                raise


def rescan_running(mount: str) -> bool:
    """Whether a rescan is running. Raises HostFailed."""
    with directory(mount, f"asking for a quota rescan of {mount}") as fd:
        return _rescanning(fd)


def _rescanning(fd: int) -> bool:
    return bool(RESCAN.unpack(fcntl.ioctl(fd, QUOTA_RESCAN_STATUS, RESCAN.pack(0, 0)))[0])


def _status_flags(fd: int) -> int | None:
    """The flags of the quota tree, None where quota is off."""
    data = _item(fd, STATUS_ITEM, 0)
    return None if data is None else STATUS.unpack_from(data)[2]


def _item(fd: int, kind: int, offset: int) -> bytes | None:
    try:
        found = next(btrfs_tree.items(fd, btrfs_tree.QUOTA_TREE, 0, kind, offset, offset), None)
    except FileNotFoundError:
        return None
    return None if found is None else found.data

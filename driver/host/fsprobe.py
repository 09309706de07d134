"""What is on a device, and what a path lies on."""

import msgspec


class Signature(msgspec.Struct, frozen=True):
    """What blkid(8) recognizes. ``kind`` is TYPE (ext4, xfs, LVM2_member…), or PTTYPE (gpt, dos) of a partition table."""

    kind: str
    usage: str
    uuid: str
    label: str


class FsKind(msgspec.Struct, frozen=True):
    """The filesystem a path lies on. ``name`` is as in /proc/filesystems, or ``0x…`` for one unknown to us.

    ``is_network``: other hosts may change it, or a process must answer for it (FUSE); locks and mmap are not to be relied on.
    """

    name: str
    is_network: bool


def signature(device: str) -> Signature | None:
    """What a device or image holds by ``blkid -p``; None only if it could be read and nothing was recognized.

    Raises HostFailed when it cannot be read or the probe fails, FailedPrecondition when several signatures conflict.
    """
    raise NotImplementedError


def statfs_type(path: str) -> FsKind:
    """The kind of filesystem at ``path`` (statfs(2)). Raises HostFailed."""
    raise NotImplementedError

"""What is on a device, and what a path lies on."""

import ctypes
import os
import re
import struct

import msgspec

from ..model.errors import FailedPrecondition, HostFailed
from . import command, libc
from .failure import during

# Every signature blkid knows lies within these bytes of one end or the other (ZFS labels, md superblocks).
READ_FIRST = 1 << 20
READ_LAST = 1 << 20
NOTHING_FOUND = 2
AMBIVALENT = 8

# f_type of statfs(2): name, and whether somebody else must answer for it.
KINDS = {
    0xEF53: ("ext4", False),
    0x58465342: ("xfs", False),
    0x9123683E: ("btrfs", False),
    0x01021994: ("tmpfs", False),
    0x794C7630: ("overlay", False),
    0xF2F52010: ("f2fs", False),
    0x2FC12FC1: ("zfs", False),
    0xCA451A4E: ("bcachefs", False),
    0x73717368: ("squashfs", False),
    0xE0F5E1E2: ("erofs", False),
    0x858458F6: ("ramfs", False),
    0x4D44: ("vfat", False),
    0x2011BAB0: ("exfat", False),
    0x6969: ("nfs", True),
    0x65735546: ("fuse", True),
    0x00C36400: ("ceph", True),
    0xFF534D42: ("cifs", True),
    0xFE534D42: ("cifs", True),
    0x01021997: ("9p", True),
    0x0BD00BD0: ("lustre", True),
    0x47504653: ("gpfs", True),
    0x5346414F: ("afs", True),
    0x01161970: ("gfs2", True),
    0x7461636F: ("ocfs2", True),
    0x19830326: ("beegfs", True),
}
STATFS = struct.Struct("l")
STATFS_SIZE = 256


class Signature(msgspec.Struct, frozen=True):
    """What blkid(8) recognizes. ``kind`` is TYPE (ext4, xfs, LVM2_member…), or PTTYPE (gpt, dos) of a partition table."""

    kind: str
    usage: str
    uuid: str
    label: str


class FsKind(msgspec.Struct, frozen=True):
    """The filesystem a path lies on. ``name`` is as in /proc/filesystems, or ``0x…`` for one unknown to us.

    ``is_network``: other hosts may change it, or a process must answer for it (FUSE): locks and mmap are not to be
    relied on. Unknown ones count as such. ext2 and ext3 are told as ext4, whose code runs them.
    """

    name: str
    is_network: bool


def signature(device: str) -> Signature | None:
    """What a device or image holds by ``blkid -p``; None only if it could be read and nothing was recognized.

    Raises HostFailed when it cannot be read or the probe fails, FailedPrecondition when several signatures conflict.
    """
    # blkid(8) answers 2 both for "nothing found" and for "could not be opened or read".
    _read_ends(device)
    probed = command.run(["blkid", "-p", "-o", "export", "--", device], ok=(0, NOTHING_FOUND, AMBIVALENT), timeout=60.0)
    if probed.code == AMBIVALENT:
        message = f"{device} has several signatures that contradict each other: {probed.err.strip()}"
        raise FailedPrecondition(message)
    if probed.code == NOTHING_FOUND:
        if probed.err.strip():
            message = f"probing {device} failed: {probed.err.strip()}"
            raise HostFailed(message, NOTHING_FOUND)
        return None
    found = dict(_pairs(probed.out))
    kind = found.get("TYPE") or found.get("PTTYPE")
    if not kind:
        message = f"probing {device} gave an answer that names nothing: {probed.out.strip()!r}"
        raise HostFailed(message)
    return Signature(
        kind=kind,
        usage=found.get("USAGE", ""),
        uuid=found.get("UUID") or found.get("PTUUID", ""),
        label=found.get("LABEL", ""),
    )


def statfs_type(path: str) -> FsKind:
    """The kind of filesystem at ``path`` (statfs(2)). Raises HostFailed."""
    buffer = ctypes.create_string_buffer(STATFS_SIZE)
    with during(f"asking what {path} lies on"):
        if libc.statfs(os.fsencode(path), buffer) != 0:
            raise libc.failed()
    magic = STATFS.unpack_from(buffer)[0] & 0xFFFFFFFF
    return FsKind(*KINDS.get(magic, (f"0x{magic:x}", True)))


def _read_ends(device: str) -> None:
    with during(f"reading {device}"):
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            end = os.lseek(fd, 0, os.SEEK_END)
            os.pread(fd, READ_FIRST, 0)
            os.pread(fd, READ_LAST, max(0, end - READ_LAST))
        finally:
            os.close(fd)


def _pairs(out: str) -> list[tuple[str, str]]:
    """blkid's export format: KEY=value a line, with a backslash before what a shell would take amiss."""
    lines = (line.partition("=") for line in out.splitlines())
    return [(key, re.sub(r"\\(.)", r"\1", value)) for key, _, value in lines]

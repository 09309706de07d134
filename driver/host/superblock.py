"""The first words of ext4, xfs and btrfs on a device, read from where their on-disk formats put them."""

import os
import struct

import msgspec

from ..model.errors import DataDamaged, InvalidArgument
from .failure import during

READ = 65536 + 4096

EXT4_AT = 1024
# struct ext4_super_block: blocks (low), log2 of block size less 10, magic, state, incompatible features, blocks (high).
EXT4 = struct.Struct("<4xI16xI28xHH36xI236xI")
EXT4_MAGIC = 0xEF53
EXT4_VALID = 0x1
EXT4_ERRORS = 0x2
EXT4_64BIT = 0x80
EXT4_RECOVER = 0x4
# struct xfs_dsb: magic, block size, blocks.
XFS = struct.Struct(">4sIQ")
XFS_MAGIC = b"XFSB"
BTRFS_AT = 65536
# struct btrfs_super_block: magic, log root, total bytes.
BTRFS = struct.Struct("<64x8s24xQ8xQ")
BTRFS_MAGIC = b"_BHRfS_M"


class Superblock(msgspec.Struct, frozen=True):
    """``size``: the bytes the filesystem claims. ``clean``: mounting it needs no check first (a log is no reason).

    ``logged``: a log may be waiting to be replayed; of ext4 and btrfs it is known, of xfs it is not.
    """

    size: int
    clean: bool
    logged: bool


def read(device: str, fs_type: str) -> Superblock:
    """The superblock of a filesystem on a device or in an image.

    It lags behind a mounted xfs or btrfs. Raises DataDamaged when there is no such filesystem, InvalidArgument, HostFailed.
    """
    with during(f"reading the superblock of {device}"):
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            head = os.pread(fd, READ, 0)
        finally:
            os.close(fd)
    found = _parse(head.ljust(READ, b"\0"), fs_type)
    if found is None:
        message = f"{device} holds no {fs_type} filesystem"
        raise DataDamaged(message)
    return found


def _parse(head: bytes, fs_type: str) -> Superblock | None:
    match fs_type:
        case "ext4":
            low, shift, magic, state, features, high = EXT4.unpack_from(head, EXT4_AT)
            if magic != EXT4_MAGIC:
                return None
            blocks = low | (high << 32 if features & EXT4_64BIT else 0)
            clean = bool(state & EXT4_VALID) and not state & EXT4_ERRORS
            return Superblock(blocks << (10 + shift), clean, logged=bool(features & EXT4_RECOVER))
        case "xfs":
            name, unit, blocks = XFS.unpack_from(head)
            return Superblock(unit * blocks, clean=True, logged=True) if name == XFS_MAGIC else None
        case "btrfs":
            name, log, size = BTRFS.unpack_from(head, BTRFS_AT)
            return Superblock(size, clean=True, logged=log != 0) if name == BTRFS_MAGIC else None
    message = f"filesystem {fs_type!r} is unknown: use ext4, xfs or btrfs"
    raise InvalidArgument(message)

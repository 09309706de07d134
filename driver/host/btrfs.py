"""Subvolumes of btrfs, by ioctl (btrfs-ioctl(2))."""

import contextlib
import errno
import fcntl
import os
import stat
import struct
import threading
import uuid
from collections.abc import Iterator

from ..model.errors import FailedPrecondition, InvalidArgument
from . import btrfs_nested, fsprobe
from .btrfs_tree import directory
from .effect import effect
from .failure import during

SUBVOL_CREATE_V2 = 0x50009418
SNAP_CREATE_V2 = 0x50009417
INO_LOOKUP = 0xD0009412
SUBVOL_GETFLAGS = 0x80089419
SUBVOL_SETFLAGS = 0x4008941A
START_SYNC = 0x80089418
WAIT_SYNC = 0x40089416
FS_INFO = 0x8400941F
DEV_INFO = 0xD000941E
RESIZE = 0x50009403

SUBVOL_RDONLY = 0x2
ROOT_INODE = 256
NAME_LIMIT = 255
U64 = struct.Struct("=Q")
# struct btrfs_ioctl_vol_args_v2: fd, transid, flags, four words of which we use none, name or id.
VOL_ARGS_V2 = struct.Struct("=qQQ32x4040s")
# Given to ioctl(2) in a bytearray: fcntl takes at most 1024 bytes of an immutable argument.
VOL_ARGS = struct.Struct("=q4088s")
LOOKUP = struct.Struct("=QQ")
LOOKUP_SIZE = 4096
FS_INFO_SIZE = 1024
DEV_INFO_SIZE = 4096
DEV_INFO_TOTAL = struct.Struct("=32xQ")

NUDGE = 0.1
"""Seconds after which a commit is asked for once more; most take a few milliseconds."""

COMPRESSION = "btrfs.compression"
ALGORITHMS = ("zstd", "lzo", "zlib", "none")


def is_subvolume(path: str) -> bool:
    """Whether ``path`` is the root of a btrfs subvolume; False if it is gone. Raises HostFailed."""
    with during(f"looking at {path}"):
        try:
            seen = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
    return stat.S_ISDIR(seen.st_mode) and seen.st_ino == ROOT_INODE and fsprobe.statfs_type(path).name == "btrfs"


def subvolume_id(path: str) -> int:
    """The id of the subvolume that ``path`` lies in. Raises HostFailed (ENOTTY where it is no btrfs)."""
    with directory(path, f"asking for the subvolume of {path}") as fd:
        return _tree_id(fd)


@effect
def create_subvolume(parent: str, name: str, mode: int = 0o755) -> None:
    """Make an empty subvolume ``name`` of exactly ``mode`` in the directory ``parent``; durable after commit.

    A crash may leave it with another mode. Raises NoSpace, HostFailed (EEXIST).
    """
    with directory(parent, f"creating the subvolume {parent}/{name}") as fd:
        fcntl.ioctl(fd, SUBVOL_CREATE_V2, bytearray(VOL_ARGS_V2.pack(0, 0, 0, _component(name))))
        os.chmod(name, mode, dir_fd=fd)


@effect
def snapshot(source: str, parent: str, name: str, *, read_only: bool) -> None:
    """Make ``name`` in ``parent`` a subvolume that holds what ``source`` holds at one moment; durable after commit.

    Data other processes have written, synced or not, is part of it. Subvolumes nested in ``source`` are empty
    directories in it. Raises NoSpace, HostFailed (EEXIST).
    """
    with directory(parent, f"snapshotting {source} as {parent}/{name}") as fd:
        origin = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            flags = SUBVOL_RDONLY if read_only else 0
            fcntl.ioctl(fd, SNAP_CREATE_V2, bytearray(VOL_ARGS_V2.pack(origin, 0, flags, _component(name))))
        finally:
            os.close(origin)


@effect
def delete_subvolume(parent: str, name: str) -> bool:
    """Remove the subvolume ``name`` and all nested in it, read-only ones too; True if it was there. Durable after commit.

    Its space is given back in the background. Where it is mounted it stays usable until it is unmounted.
    Raises HostFailed (EPERM for the default subvolume, or one with an active swap file).
    """
    with directory(parent, f"deleting the subvolume {parent}/{name}") as fd:
        encoded = _component(name)
        try:
            btrfs_nested.destroy(fd, encoded)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            btrfs_nested.delete_below(fd, subvolume_id(f"/proc/self/fd/{fd}/{name}"))
            btrfs_nested.destroy(fd, encoded)
        return True


def nested_in(path: str) -> list[int]:
    """The ids of all subvolumes nested in the one at ``path``, at any depth: O(answer). Raises HostFailed."""
    with directory(path, f"looking for subvolumes in {path}") as fd:
        return [nested.number for nested in btrfs_nested.below(fd, _tree_id(fd))]


def is_read_only(path: str) -> bool:
    """Whether the subvolume at ``path`` is read-only. Raises HostFailed."""
    with directory(path, f"looking at the subvolume {path}") as fd:
        return bool(_flags(fd) & SUBVOL_RDONLY)


@effect
def set_read_only(path: str, read_only: bool) -> None:
    """Make the subvolume at ``path`` read-only, or writable; durable after commit.

    What is open for writing stays so. Raises HostFailed (EPERM while it is received into).
    """
    with directory(path, f"setting whether {path} is read-only") as fd:
        flags = _flags(fd) & ~SUBVOL_RDONLY | (SUBVOL_RDONLY if read_only else 0)
        fcntl.ioctl(fd, SUBVOL_SETFLAGS, U64.pack(flags))


@effect
def commit(path: str) -> None:
    """Make all changes to subvolumes and quota so far durable (BTRFS_IOC_START_SYNC, BTRFS_IOC_WAIT_SYNC).

    Data of files that was not synced need not be. Raises NoSpace, HostFailed.
    """
    with directory(path, f"committing {path}") as fd:
        _commit(fd, path)


def _commit(fd: int, path: str) -> None:
    # The kernel wakes a thread of its own to commit, and loses that wake-up when the thread is just falling asleep: one
    # commit in a hundred then took the 30 s until its next round (Linux 6.18). A second call wakes it again.
    nudge = threading.Timer(NUDGE, _nudge, (path,))
    nudge.daemon = True
    nudge.start()
    try:
        transaction = bytearray(8)
        fcntl.ioctl(fd, START_SYNC, transaction)
        fcntl.ioctl(fd, WAIT_SYNC, bytes(transaction))
    finally:
        nudge.cancel()


def _nudge(path: str) -> None:
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _commit(fd, path)
        finally:
            os.close(fd)


def compression(path: str) -> str:
    """The compression of files made from now on in ``path``; empty where none was set. Raises HostFailed."""
    with during(f"reading the compression of {path}"):
        try:
            return os.getxattr(path, COMPRESSION).decode()
        except OSError as error:
            if error.errno == errno.ENODATA:
                return ""
            raise


@effect
def set_compression(path: str, algorithm: str) -> None:
    """Set what ``compression`` tells: zstd, lzo, zlib, none, or empty for the filesystem's default.

    Directories made in it inherit it; files that exist keep theirs. Raises InvalidArgument, HostFailed.
    """
    if algorithm and algorithm not in ALGORITHMS:
        message = f"compression {algorithm!r} is unknown: use one of {', '.join(ALGORITHMS)}"
        raise InvalidArgument(message)
    with during(f"setting the compression of {path}"):
        os.setxattr(path, COMPRESSION, algorithm.encode())


def devices(path: str) -> list[str]:
    """The block devices of the btrfs filesystem at ``path``, by their names in /dev. Raises HostFailed."""
    return [f"/dev/{os.path.basename(entry)}" for entry in _sysfs_devices(path)]


def device_numbers(path: str) -> set[int]:
    """The st_rdev of the devices of the filesystem at ``path``; empty if it is no btrfs. Raises HostFailed."""
    if fsprobe.statfs_type(path).name != "btrfs":
        return set()
    numbers = set()
    for entry in _sysfs_devices(path):
        with during(f"reading {entry}/dev"), open(f"{entry}/dev", encoding="ascii") as file:
            major, minor = file.read().split(":")
        numbers.add(os.makedev(int(major), int(minor)))
    return numbers


def size(path: str) -> int:
    """The bytes the filesystem mounted at ``path`` claims of its devices. Raises HostFailed."""
    with directory(path, f"measuring {path}") as fd:
        return sum(claimed for _, claimed in _members(fd))


@effect
def resize_to_fill(path: str) -> None:
    """The filesystem mounted at ``path``, of one device, uses all of it. Raises FailedPrecondition, HostFailed."""
    with directory(path, f"growing {path}") as fd:
        members = list(_members(fd))
        if len(members) != 1:
            message = f"{path} has {len(members)} devices: which to grow is for a person to say"
            raise FailedPrecondition(message)
        fcntl.ioctl(fd, RESIZE, bytearray(VOL_ARGS.pack(0, f"{members[0][0]}:max".encode())))


def _component(name: str) -> bytes:
    encoded = os.fsencode(name)
    if name in ("", ".", "..") or b"/" in encoded or b"\0" in encoded or len(encoded) > NAME_LIMIT:
        message = f"{name!r} cannot name a subvolume"
        raise InvalidArgument(message)
    return encoded


def _flags(fd: int) -> int:
    return int(U64.unpack(fcntl.ioctl(fd, SUBVOL_GETFLAGS, bytes(8)))[0])


def _tree_id(fd: int) -> int:
    buffer = bytearray(LOOKUP_SIZE)
    LOOKUP.pack_into(buffer, 0, 0, ROOT_INODE)
    fcntl.ioctl(fd, INO_LOOKUP, buffer)
    return int(LOOKUP.unpack_from(buffer)[0])


def _members(fd: int) -> Iterator[tuple[int, int]]:
    """The number and the claimed bytes of each device."""
    info = bytearray(FS_INFO_SIZE)
    fcntl.ioctl(fd, FS_INFO, info)
    (last,) = U64.unpack_from(info)
    for number in range(1, last + 1):
        about = bytearray(DEV_INFO_SIZE)
        U64.pack_into(about, 0, number)
        try:
            fcntl.ioctl(fd, DEV_INFO, about)
        except OSError as error:
            if error.errno == errno.ENODEV:
                continue
            raise
        yield number, DEV_INFO_TOTAL.unpack_from(about)[0]


def _sysfs_devices(path: str) -> list[str]:
    # Not by DEV_INFO: the path it tells is from whoever mounted it, maybe in another mount namespace.
    with directory(path, f"asking for the devices of {path}") as fd:
        info = bytearray(FS_INFO_SIZE)
        fcntl.ioctl(fd, FS_INFO, info)
        fsid = uuid.UUID(bytes=bytes(info[16:32]))
        devices = f"/sys/fs/btrfs/{fsid}/devices"
        return [os.path.join(devices, name) for name in sorted(os.listdir(devices))]

"""Mounts, said as the state wanted: look, act if needed, look again. Needs Linux 5.12 (mount_setattr(2))."""

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Sequence

import msgspec

from ..model.errors import FailedPrecondition, HostFailed, InvalidArgument
from . import btrfs, libc
from .failure import during
from .mount_acts import bind, mount_device, unmount
from .mount_options import RDONLY, SHOWN, SHOWN_MASK, WORDS, Options, parse_options
from .mount_table import MountInfo, mountinfo

__all__ = [
    "MountInfo",
    "Mounted",
    "Options",
    "ensure_bound",
    "ensure_mounted",
    "ensure_unmounted",
    "look",
    "mountinfo",
    "parse_options",
]

NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR})

# AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC: asks no server.
LOOK = 0x100 | 0x800 | 0x4000
# STATX_TYPE | STATX_INO | STATX_MNT_ID
WANTED = 0x1 | 0x100 | 0x1000
MOUNT_ROOT = 0x2000
# struct statx: attributes at 8, mode at 28, inode at 32, device at 136, mount id at 144.
STATX = struct.Struct("=8xQ12xH2xQ96xIIQ104x")


class Mounted(msgspec.Struct, frozen=True):
    """What lies at a path. ``is_root``: something is mounted exactly there. ``flags``: ST_* bits of statvfs(3).

    ``dev`` and ``inode`` are st_dev and st_ino of what is seen there. ``read_only``: writes fail, be it by the mount
    or by the filesystem.
    """

    mount_id: int
    dev: int
    inode: int
    is_root: bool
    read_only: bool
    flags: int


def look(path: str) -> Mounted | None:
    """What lies at ``path`` (a symbolic link is not followed); None if nothing does. Microseconds (statx(2)).

    Raises HostFailed; EIO, ESTALE and ENOTCONN say that a dead filesystem is mounted there.
    """
    with during(f"looking at {path}"):
        found = _statx(path)
        if found is None:
            return None
        attributes, mode, inode, major, minor, mount_id = found
        flags = 0 if stat.S_ISLNK(mode) else os.statvfs(path).f_flag
    return Mounted(
        mount_id=mount_id,
        dev=os.makedev(major, minor),
        inode=inode,
        is_root=bool(attributes & MOUNT_ROOT),
        read_only=bool(flags & os.ST_RDONLY),
        flags=flags,
    )


def ensure_mounted(source: str, target: str, fs_type: str, options: Sequence[str] = ()) -> None:
    """The filesystem on block device ``source`` is mounted at the directory ``target``.

    Raises FailedPrecondition, naming what was found, when something else is mounted there or the same with other
    per-mount flags (what the filesystem was told with it is not compared); InvalidArgument for an option the filesystem
    refuses; HostFailed with the kernel's words.
    """
    wanted = parse_options(options)
    with during(f"looking at {source}"):
        device = os.stat(source).st_rdev
    if not _holds_device(target, source, device, wanted):
        mount_device(source, target, fs_type, wanted)
        if not _holds_device(target, source, device, wanted):
            message = f"{source} was mounted at {target} but is not to be seen there"
            raise HostFailed(message)


def ensure_bound(source: str, target: str, *, read_only: bool, options: Sequence[str] = ()) -> None:
    """The directory, file or device ``source`` is visible at ``target``, an existing directory or file.

    The mount appears with its flags at once: no moment at which a read-only one can be written to. ``options`` are
    per-mount ones only (nosuid, nodev, noexec, noatime…), added to those that the mount of ``source`` has. Mounts
    inside ``source`` are not carried over. Raises FailedPrecondition when something else is mounted there or the same
    with other flags, or ``source`` is read-only and should not be; InvalidArgument, HostFailed.
    """
    attributes, data = parse_options(options)
    if data:
        message = f"{', '.join(data)} cannot be set on one mount of a filesystem"
        raise InvalidArgument(message)
    wanted = Options(attributes & ~RDONLY | (RDONLY if read_only else 0), ())
    with during(f"looking at {source}"):
        origin = os.stat(source)
        if not read_only and os.statvfs(source).f_flag & os.ST_RDONLY:
            message = f"{source} is read-only, so {target} cannot be writable"
            raise FailedPrecondition(message)
    if not _shows(target, source, origin, wanted):
        bind(source, target, wanted)
        if not _shows(target, source, origin, wanted):
            message = f"{source} was bound at {target} but is not to be seen there"
            raise HostFailed(message)


def ensure_unmounted(target: str) -> None:
    """Nothing is mounted at ``target``, however many mounts were stacked there; a path that is gone is fine.

    Never looks at what is mounted before it is unmounted, so a dead filesystem cannot hang it; one that answers
    EIO, ESTALE or ENOTCONN is detached lazily. Raises InUse when it is busy, HostFailed.
    """
    while unmount(target):
        pass
    # EINVAL also stands for a mount that may not be undone from here (a locked one, mount_namespaces(7)).
    with during(f"looking at {target}"):
        left = _statx(target)
    if left is not None and left[0] & MOUNT_ROOT:
        message = f"the kernel does not let {target} be unmounted from this mount namespace"
        raise HostFailed(message, errno.EINVAL)


def _statx(path: str) -> tuple[int, ...] | None:
    buffer = ctypes.create_string_buffer(STATX.size)
    if libc.statx(libc.AT_FDCWD, os.fsencode(path), LOOK, WANTED, buffer) == 0:
        return STATX.unpack(buffer.raw)
    error = libc.failed()
    if error.errno in NOTHING_THERE:
        return None
    raise error


def _holds_device(target: str, source: str, device: int, wanted: Options) -> bool:
    seen = look(target)
    if seen is None or not seen.is_root:
        return False
    # The device number of files on btrfs is the subvolume's, not the disk's.
    if seen.dev != device and device not in btrfs.device_numbers(target):
        message = f"{_name(seen)} is mounted at {target}, where {source} was to be"
        raise FailedPrecondition(message)
    if seen.flags & SHOWN_MASK != wanted.shown:
        raise FailedPrecondition(_other_flags(target, source, seen, wanted))
    return True


def _shows(target: str, source: str, origin: os.stat_result, wanted: Options) -> bool:
    seen = look(target)
    if seen is None or not seen.is_root:
        return False
    if (seen.dev, seen.inode) != (origin.st_dev, origin.st_ino):
        message = f"{_name(seen)} is mounted at {target}, where {source} was to be"
        raise FailedPrecondition(message)
    if wanted.shown & ~seen.flags or seen.read_only != bool(wanted.attributes & RDONLY):
        raise FailedPrecondition(_other_flags(target, source, seen, wanted))
    return True


def _other_flags(target: str, source: str, seen: Mounted, wanted: Options) -> str:
    return f"{source} is mounted at {target} {_words(seen.flags)}, where it was to be {_words(wanted.shown)}"


def _name(seen: Mounted) -> str:
    for entry in mountinfo():
        if entry.mount_id == seen.mount_id:
            return f"{entry.source} ({entry.fs_type}{'' if entry.root == '/' else ', ' + entry.root})"
    return f"a filesystem on device {os.major(seen.dev)}:{os.minor(seen.dev)}"


def _words(flags: int) -> str:
    words = [word for word, attribute in WORDS.items() if flags & SHOWN[attribute]]
    return ",".join(["ro" if flags & os.ST_RDONLY else "rw", *words])

"""Mounts, said as the state wanted: look, act if needed, look again."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec


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


class MountInfo(msgspec.Struct, frozen=True):
    """A line of /proc/self/mountinfo (proc(5)); ``dev`` as st_dev, ``root`` is the path inside the filesystem."""

    mount_id: int
    parent_id: int
    dev: int
    root: str
    target: str
    options: tuple[str, ...]
    fs_type: str
    source: str
    super_options: tuple[str, ...]


class Options(NamedTuple):
    """Mount options, sorted: MOUNT_ATTR_* bits of this mount (mount_setattr(2)), and words for the filesystem."""

    attributes: int
    data: tuple[str, ...]


def parse_options(options: Sequence[str]) -> Options:
    """Sort mount(8) options. Raises InvalidArgument for a word that is no property of a mount (bind, remount, loop…)."""
    raise NotImplementedError


def look(path: str) -> Mounted | None:
    """What lies at ``path`` (a symbolic link is not followed); None if nothing does. Microseconds (statx(2)).

    Raises HostFailed; EIO, ESTALE and ENOTCONN say that a dead filesystem is mounted there.
    """
    raise NotImplementedError


def ensure_mounted(source: str, target: str, fs_type: str, options: Sequence[str] = ()) -> None:
    """The filesystem on block device ``source`` is mounted at the directory ``target``.

    Raises FailedPrecondition, naming what was found, when something else is mounted there or the same with other flags;
    InvalidArgument for an option the filesystem refuses; HostFailed with the kernel's words.
    """
    raise NotImplementedError


def ensure_bound(source: str, target: str, *, read_only: bool, options: Sequence[str] = ()) -> None:
    """The directory, file or device ``source`` is visible at ``target``, an existing directory or file.

    The mount appears with its flags at once: no moment at which a read-only one can be written to. ``options`` are
    per-mount ones only (nosuid, nodev, noexec, noatime…). Raises FailedPrecondition when something else is mounted
    there or the same with other flags, InvalidArgument, HostFailed.
    """
    raise NotImplementedError


def ensure_unmounted(target: str) -> None:
    """Nothing is mounted at ``target``, however many mounts were stacked there; a path that is gone is fine.

    Never looks at what is mounted before it is unmounted, so a dead filesystem cannot hang it; one that answers
    EIO, ESTALE or ENOTCONN is detached lazily. Raises InUse when it is busy, HostFailed.
    """
    raise NotImplementedError


def mountinfo() -> list[MountInfo]:
    """Every mount of our namespace: milliseconds per thousand, so for start-up and doctor only. Raises HostFailed."""
    raise NotImplementedError

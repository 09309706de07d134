"""Subvolumes of btrfs, by ioctl (btrfs-ioctl(2))."""

from .effect import effect

ROOT_INODE = 256


def is_subvolume(path: str) -> bool:
    """Whether ``path`` is the root of a btrfs subvolume; False if it is gone. Raises HostFailed."""
    raise NotImplementedError


def subvolume_id(path: str) -> int:
    """The id of the subvolume that ``path`` lies in. Raises HostFailed."""
    raise NotImplementedError


@effect
def create_subvolume(parent: str, name: str) -> None:
    """Make an empty subvolume ``name`` in the directory ``parent``. Not durable before sync.

    Raises NoSpace, HostFailed (EEXIST).
    """
    raise NotImplementedError


@effect
def snapshot(source: str, parent: str, name: str, *, read_only: bool) -> None:
    """Make ``name`` in ``parent`` a subvolume that holds what ``source`` holds now. Not durable before sync.

    Raises NoSpace, HostFailed (EEXIST).
    """
    raise NotImplementedError


@effect
def delete_subvolume(parent: str, name: str) -> bool:
    """Remove the subvolume ``name`` and all nested in it, read-only ones too; True if it was there.

    Its space is given back in the background. Raises InUse when it is mounted, HostFailed.
    """
    raise NotImplementedError


def is_read_only(path: str) -> bool:
    """Whether the subvolume at ``path`` is read-only. Raises HostFailed."""
    raise NotImplementedError


@effect
def set_read_only(path: str, read_only: bool) -> None:
    """Make the subvolume at ``path`` read-only, or writable. Raises HostFailed (ETXTBSY while files are open for writing)."""
    raise NotImplementedError


@effect
def sync(path: str) -> None:
    """Commit everything done on the filesystem so far (BTRFS_IOC_START_SYNC, WAIT_SYNC). Raises NoSpace, HostFailed."""
    raise NotImplementedError


def compression(path: str) -> str:
    """The compression new files in ``path`` get: "" by default, else zstd, lzo, zlib, none. Raises HostFailed."""
    raise NotImplementedError


@effect
def set_compression(path: str, algorithm: str) -> None:
    """Set what ``compression`` tells, for files made from now on. Raises InvalidArgument, HostFailed."""
    raise NotImplementedError


def devices(path: str) -> list[str]:
    """The block devices of the btrfs filesystem at ``path``. Raises HostFailed."""
    raise NotImplementedError


def size(path: str) -> int:
    """The bytes the filesystem at ``path`` claims of its devices. Raises HostFailed."""
    raise NotImplementedError


@effect
def resize_to_fill(path: str) -> None:
    """Let the filesystem mounted at ``path`` use all of its first device. Raises HostFailed."""
    raise NotImplementedError

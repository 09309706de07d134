"""Filesystems on a block device: ext4, xfs and btrfs, made, measured, grown, checked and given new identities."""

from collections.abc import Sequence

from .effect import effect

TYPES = ("ext4", "xfs", "btrfs")


@effect
def make(device: str, fs_type: str, *, uuid: str = "", options: Sequence[str] = (), zeroed: bool = False) -> None:
    """Make a filesystem with 4096-byte blocks on ``device``, which the caller knows to be empty; discards nothing.

    ``zeroed`` says that the device is known to read as zeros, which saves writing them. ``uuid`` empty: a random one.
    Looks for signatures itself and raises FailedPrecondition if it finds any. Raises OutOfRange when the device is
    below minimum_size, InvalidArgument for an unknown type, HostFailed.
    """
    raise NotImplementedError


@effect
def grow(mount_point: str, device: str, fs_type: str) -> None:
    """The mounted filesystem fills its device; nothing happens if it does. Raises HostFailed."""
    raise NotImplementedError


@effect
def grow_offline(device: str, fs_type: str) -> bool:
    """Let an unmounted filesystem fill its device; False where that takes a mount (xfs, btrfs). Raises HostFailed."""
    raise NotImplementedError


@effect
def new_uuid(device: str, fs_type: str) -> None:
    """Give an unmounted copy of a filesystem its own random identity, having replayed its log. Raises HostFailed."""
    raise NotImplementedError


@effect
def check(device: str, fs_type: str) -> None:
    """An unmounted filesystem is fit to be mounted, safe repairs made (e2fsck -p).

    xfs and btrfs do theirs at mount, as their fsck(8) says, so nothing is done. Raises DataDamaged when a person must
    decide, HostFailed.
    """
    raise NotImplementedError


def minimum_size(fs_type: str) -> int:
    """The least size in bytes of a device that ``make`` takes. Raises InvalidArgument for an unknown type."""
    raise NotImplementedError


def size_of(path: str, fs_type: str) -> int:
    """The size in bytes a filesystem claims of its device, by its unmounted device or its mount point.

    It fills the device when less than one allocation group short of it. Raises HostFailed, DataDamaged when the
    device holds no such filesystem.
    """
    raise NotImplementedError


def fills(path: str, device: str, fs_type: str) -> bool:
    """Whether growing would gain nothing: the filesystem at ``path`` claims all of ``device`` it can use."""
    raise NotImplementedError

"""Filesystems on a block device: ext4, xfs and btrfs, made, measured, grown, checked and given new identities."""

import os
import stat
from collections.abc import Sequence

from ..model.errors import DataDamaged, FailedPrecondition, InvalidArgument, OutOfRange
from . import block, btrfs, command, disk, fsprobe, mount_acts, superblock, xfs
from .command import CommandFailed
from .effect import effect
from .failure import during
from .mount_options import Options

MIB = 1 << 20
MINIMUM = {"ext4": MIB, "xfs": 300 * MIB, "btrfs": 110 * MIB}
TYPES = tuple(MINIMUM)
BTRFS_LEAST_GROWN = 256 * MIB

# ext4 makes no last group of blocks that could hold little but its own tables; xfs none below 64 blocks.
EXT4_GROUP = 128 * MIB
EXT4_SLACK = 4 * MIB
XFS_SLACK = 256 << 10

# mke2fs 1.46 does not know this one yet; without it the kernel writes the inode tables after the first mount.
PREZEROED = "assume_storage_prezeroed"
NOT_PERMITTED = "Permission denied to resize filesystem"
NO_OPTIONS = Options(0, ())
LONG = 600.0

E2FSCK_MENDED = (0, 1, 2)
E2FSCK_DAMAGED = 4


@effect
def make(device: str, fs_type: str, *, uuid: str = "", options: Sequence[str] = (), zeroed: bool = False) -> None:
    """Make a filesystem with 4096-byte blocks on ``device``, which the caller knows to be empty; discards nothing.

    ``zeroed`` says that the device is known to read as zeros, which saves writing them: a sparse image stays sparse.
    ``uuid`` empty: a random one. ``options`` go to mkfs. Looks for signatures itself and raises FailedPrecondition if it
    finds any. Raises OutOfRange when the device is below minimum_size, InvalidArgument for an unknown type, HostFailed.
    """
    least, size = minimum_size(fs_type), block.size_of(device)
    if size < least:
        message = f"{device} has {size} bytes; {fs_type} needs {least}"
        raise OutOfRange(message)
    found = fsprobe.signature(device)
    if found is not None:
        message = f"{device} is not empty: it holds {found.kind} {found.uuid}".rstrip()
        raise FailedPrecondition(message)
    match fs_type:
        case "ext4":
            _make_ext4(device, uuid, options, zeroed)
        case "xfs":
            identity = ["-m", f"uuid={uuid}"] if uuid else []
            command.run(["mkfs.xfs", "-q", "-K", "-s", "size=4096", *identity, *options, device], timeout=LONG)
        case "btrfs":
            identity = ["-U", uuid] if uuid else []
            command.run(["mkfs.btrfs", "-q", "-K", "-s", "4096", *identity, *options, device], timeout=LONG)


@effect
def grow(mount_point: str, device: str, fs_type: str) -> None:
    """The mounted filesystem fills its device; nothing happens if it does.

    Raises FailedPrecondition when this process may not grow a mounted ext4 (CAP_SYS_RESOURCE), or for a btrfs that would
    have less than 256 MiB even then, which the kernel does not do; HostFailed.
    """
    if fills(mount_point, device, fs_type):
        return
    match fs_type:
        case "ext4":
            _grow_ext4(device)
        case "xfs":
            command.run(["xfs_growfs", "-d", mount_point], timeout=LONG)
        case "btrfs":
            if block.size_of(device) < BTRFS_LEAST_GROWN:
                message = f"the kernel grows btrfs to {BTRFS_LEAST_GROWN} bytes or more, which {device} does not have"
                raise FailedPrecondition(message)
            btrfs.resize_to_fill(mount_point)


@effect
def grow_offline(device: str, fs_type: str) -> bool:
    """An unmounted filesystem fills its device; False where that takes a mount (xfs, btrfs). Raises HostFailed."""
    if fills(device, device, fs_type):
        return True
    if fs_type != "ext4":
        return False
    _e2fsck(device, "-f")
    command.run(["resize2fs", device], timeout=LONG)
    return True


@effect
def new_uuid(device: str, fs_type: str) -> None:
    """Give an unmounted copy of a filesystem its own random identity, its log replayed where that is needed for it.

    A crash may leave an ext4 half done, which the next call mends. Raises DataDamaged, HostFailed.
    """
    found = superblock.read(device, fs_type)
    match fs_type:
        case "ext4":
            try:
                command.run(["tune2fs", "-U", "random", device], timeout=LONG)
            except CommandFailed:
                # It wants a check first when a log is to be replayed, or (made elsewhere, without metadata_csum_seed) when all
                # checksums change with the identity.
                _e2fsck(device, "-f")
                command.run(["tune2fs", "-U", "random", device], timeout=LONG)
        case "xfs":
            # Changing the identity throws the log away, and a frozen xfs leaves one to replay on purpose.
            mount_acts.replay(device, fs_type, Options(0, ("nouuid",)))
            command.run(["xfs_admin", "-U", "generate", device], timeout=LONG)
        case "btrfs":
            if found.logged:
                # btrfstune makes the log unreadable, and with it the whole filesystem (seen with btrfs-progs 6.2). Beside its
                # mounted origin a copy can be mounted since Linux 6.7; before, this fails and nothing has changed.
                mount_acts.replay(device, fs_type, NO_OPTIONS)
            command.run(["btrfstune", "-m", device], timeout=LONG)


@effect
def check(device: str, fs_type: str) -> None:
    """An unmounted filesystem is fit to be mounted, safe repairs made (e2fsck -p); one marked clean is taken at its word.

    xfs and btrfs do theirs at mount, as their fsck(8) says, so nothing is done. Raises DataDamaged when a person must
    decide or no such filesystem is there, HostFailed.
    """
    if not superblock.read(device, fs_type).clean:
        _e2fsck(device)


def minimum_size(fs_type: str) -> int:
    """The least size in bytes of a device that ``make`` takes. Raises InvalidArgument for an unknown type."""
    try:
        return MINIMUM[fs_type]
    except KeyError:
        message = f"filesystem {fs_type!r} is unknown: use one of {', '.join(TYPES)}"
        raise InvalidArgument(message) from None


def size_of(path: str, fs_type: str) -> int:
    """The size in bytes a filesystem claims of its device, by its unmounted device or image, or its mount point.

    Raises HostFailed, DataDamaged when there is no such filesystem.
    """
    with during(f"measuring the filesystem at {path}"):
        mounted = stat.S_ISDIR(os.stat(path).st_mode)
        if mounted and fs_type == "btrfs":
            return btrfs.size(path)
        if mounted and fs_type == "xfs":
            return xfs.geometry(path).size
        # ext4 keeps its superblock in the device's page cache, where we see it as it is now.
        return superblock.read(disk.device_below(path) if mounted else path, fs_type).size


def fills(path: str, device: str, fs_type: str) -> bool:
    """Whether the filesystem at ``path`` claims all of ``device`` that it can use. Raises as size_of does."""
    claimed = size_of(path, fs_type)
    slack = {"ext4": 0 if claimed % EXT4_GROUP else EXT4_SLACK, "xfs": XFS_SLACK}.get(fs_type, 0)
    return block.size_of(device) - claimed <= slack


def _make_ext4(device: str, uuid: str, options: Sequence[str], zeroed: bool) -> None:
    # metadata_csum_seed makes a new UUID cost one write; without it every checksum of a clone changes.
    fixed = ["mkfs.ext4", "-F", "-q", "-b", "4096", "-m", "0", "-O", "metadata_csum_seed"]
    identity = ["-U", uuid] if uuid else []
    lazy = [*fixed, "-E", "nodiscard,lazy_itable_init=1", *identity, *options, device]
    if not zeroed:
        command.run(lazy, timeout=LONG)
        return
    try:
        command.run([*fixed, "-E", f"nodiscard,{PREZEROED}=1", *identity, *options, device], timeout=LONG)
    except CommandFailed as error:
        if PREZEROED not in error.err:
            raise
        command.run(lazy, timeout=LONG)


def _grow_ext4(device: str) -> None:
    try:
        command.run(["resize2fs", device], timeout=LONG)
    except CommandFailed as error:
        if NOT_PERMITTED not in error.err:
            raise
        # The kernel says the same of a filesystem it found errors in since it was mounted.
        message = (
            f"the mounted ext4 on {device} cannot be grown: the kernel wants CAP_SYS_RESOURCE for that, and no errors "
            f"in the filesystem; unmounted it can be"
        )
        raise FailedPrecondition(message) from error


def _e2fsck(device: str, *how: str) -> None:
    try:
        command.run(["e2fsck", "-p", *how, device], ok=E2FSCK_MENDED, timeout=LONG)
    except CommandFailed as error:
        if error.code & E2FSCK_DAMAGED and error.code > 0:
            raise DataDamaged(error.message, error.code) from error
        raise

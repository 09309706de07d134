"""The kinds of pool the contract is held against, one function each: real filesystems, made on loop devices.

A kind yields a ``Ground``: what to configure, and what lies below. Filesystems are shared by a session (``Filesystems``);
every test has a directory, and so a pool, of its own.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from driver.backends import default_pool
from driver.host import loop, mounts
from driver.model.pool import PoolConfig

SIZE = 768 << 20
"""Of a filesystem: enough for several volumes, little enough to be read as a whole. btrfs wants room for metadata."""

MAKERS = {
    "xfs": ("mkfs.xfs", "-q", "-f", "-m", "reflink=1", "-s", "size=4096"),
    "ext4": ("mkfs.ext4", "-q", "-F", "-b", "4096"),
    "btrfs": ("mkfs.btrfs", "-q", "-f"),
}


class Ground(msgspec.Struct, frozen=True):
    """Where a pool lies. ``device`` is the block device whose bytes are the pool's, ``path`` where its filesystem is
    mounted (empty: the pool mounts its own)."""

    config: PoolConfig
    root: Path
    device: str
    path: str


class Filesystems:
    """Filesystems on loop devices, made when first asked for, taken away at the end with all that lies on them.

    ``sizes``: bytes of a kind's filesystem (``own``: of a pool's own image) where it is not SIZE.
    """

    def __init__(self, root: Path, sizes: dict[str, int] | None = None) -> None:
        self._root = root
        self._sizes = sizes or {}
        self._made: dict[str, tuple[str, str]] = {}

    def size(self, kind: str) -> int:
        return self._sizes.get(kind, SIZE)

    def get(self, kind: str) -> tuple[str, str]:
        """``(mount point, device)`` of the session's filesystem of that kind."""
        if kind not in self._made:
            self._made[kind] = make_filesystem(self._root / kind, kind, self.size(kind))
        return self._made[kind]

    def close(self) -> None:
        for mount_point, device in self._made.values():
            take_away(mount_point, device)
        self._made.clear()


def make_filesystem(root: Path, kind: str, size: int) -> tuple[str, str]:
    """``(mount point, device)`` of a new filesystem below ``root``."""
    root.mkdir(parents=True)
    image, mount_point = root / "image", root / "mnt"
    image.touch()
    os.truncate(image, size)
    mount_point.mkdir()
    device = loop.attach(str(image)).path
    run(*MAKERS[kind], device)
    run("mount", device, str(mount_point))
    return str(mount_point), device


def take_away(mount_point: str, device: str) -> None:
    """Nothing of a filesystem is left mounted or attached, also when a test left something on it."""
    release(mount_point)
    mounts.ensure_unmounted(mount_point)
    run("losetup", "-d", device)


def release(path: str) -> None:
    """No loop device has a file below ``path``, and nothing is mounted from one or below ``path``."""
    inside = [one.device.path for one in loop.all_devices() if one.backing_path.startswith(f"{path}/")]
    for mount in reversed(mounts.mountinfo()):
        if mount.source in inside or mount.target.startswith(f"{path}/"):
            run("umount", mount.target)
    for device in inside:
        run("losetup", "-d", device)


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@contextmanager
def _on(filesystems: Filesystems, scratch: Path, kind: str, backend: str) -> Iterator[Ground]:
    mount_point, device = filesystems.get(kind)
    path = Path(mount_point) / scratch.name
    path.mkdir()
    try:
        yield Ground(_config(backend, path=str(path)), scratch / "state", device, mount_point)
    finally:
        release(str(path))
        _remove(path, kind)


def _config(backend: str, **keys: Any) -> PoolConfig:
    return PoolConfig(name="tested", backend=backend, **keys)


def _remove(path: Path, kind: str) -> None:
    if kind == "btrfs":
        # Read-only subvolumes resist rm(1); the deepest go first.
        for line in reversed(run("btrfs", "subvolume", "list", "-o", str(path)).splitlines()):
            run("btrfs", "subvolume", "delete", f"{path.parent}/{line.split(' path ', 1)[1]}")
    subprocess.run(["chattr", "-R", "-f", "-ia", str(path)], check=False, capture_output=True)
    run("rm", "-rf", "--one-file-system", str(path))


@contextmanager
def image_xfs(filesystems: Filesystems, scratch: Path) -> Iterator[Ground]:
    """Images on XFS, which shares extents."""
    with _on(filesystems, scratch, "xfs", "image") as ground:
        yield ground


@contextmanager
def image_ext4(filesystems: Filesystems, scratch: Path) -> Iterator[Ground]:
    """Images on ext4: snapshots and clones are copies."""
    with _on(filesystems, scratch, "ext4", "image") as ground:
        yield ground


@contextmanager
def image_default(filesystems: Filesystems, scratch: Path) -> Iterator[Ground]:
    """The default pool on a filesystem that cannot share extents: an XFS image of its own."""
    state = scratch / "state"
    state.mkdir(parents=True)
    config = default_pool.config(str(state), {"size": filesystems.size("own"), "floor": 0})
    root = state / "pools" / config.name
    try:
        yield Ground(config, root, config.options["image"], "")
    finally:
        release(str(root / "mnt"))
        mounts.ensure_unmounted(str(root / "mnt"))
        release(str(state))


@contextmanager
def directory_ext4(filesystems: Filesystems, scratch: Path) -> Iterator[Ground]:
    """Directories on ext4."""
    with _on(filesystems, scratch, "ext4", "directory") as ground:
        yield ground


@contextmanager
def directory_xfs(filesystems: Filesystems, scratch: Path) -> Iterator[Ground]:
    """Directories on XFS, whose files share extents."""
    with _on(filesystems, scratch, "xfs", "directory") as ground:
        yield ground


@contextmanager
def btrfs(filesystems: Filesystems, scratch: Path) -> Iterator[Ground]:
    """Subvolumes on btrfs."""
    with _on(filesystems, scratch, "btrfs", "btrfs") as ground:
        yield ground


@contextmanager
def btrfs_own(filesystems: Filesystems, scratch: Path) -> Iterator[Ground]:
    """Subvolumes in a btrfs image of the pool's own."""
    scratch.mkdir(exist_ok=True)
    root = scratch / "state"
    image = scratch / "pool.img"
    config = _config("btrfs", options={"image": str(image), "size": filesystems.size("own"), "host_floor": 0})
    try:
        yield Ground(config, root, str(image), "")
    finally:
        mounts.ensure_unmounted(str(root / "mnt"))
        release(str(scratch))


class Kind(NamedTuple):
    """A kind of pool. ``shares``: snapshots and clones take constant time. ``given``: its directory is somebody's own.
    ``sliced``: the modules of tests that a slice runs over it, where it is mostly like another kind; None: all."""

    name: str
    backend: str
    make: Callable[[Filesystems, Path], Any]
    shares: bool
    given: bool = True
    sliced: tuple[str, ...] | None = None


KINDS = (
    Kind("image-xfs", "image", image_xfs, shares=True),
    Kind("image-ext4", "image", image_ext4, shares=False),
    Kind(
        "image-default",
        "image",
        image_default,
        shares=True,
        given=False,
        sliced=("test_core", "test_durability", "test_full", "test_open", "test_wipe"),
    ),
    Kind("directory-ext4", "directory", directory_ext4, shares=False),
    Kind("directory-xfs", "directory", directory_xfs, shares=False, sliced=("test_wipe", "test_hostile")),
    Kind("btrfs", "btrfs", btrfs, shares=True),
    Kind("btrfs-own", "btrfs", btrfs_own, shares=True, given=False, sliced=("test_wipe",)),
)

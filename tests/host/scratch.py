"""A private place on a disk for images, loop devices and mounts, all of which go with it, also after a failure."""

import contextlib
import errno
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from driver.host import effect, files, filesystem, freeze, loop, mounts, reflink
from driver.model.errors import DomainError, InUse

SIZES = {"ext4": 64 << 20, "xfs": 300 << 20, "btrfs": 128 << 20}


class Volume(NamedTuple):
    """A filesystem of its own: its image, loop device and mount point."""

    image: str
    device: loop.LoopDevice
    path: str


class Scratch:
    """Makes things below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._places = [root]
        self._count = 0

    def place(self, filesystem_at: Path) -> Path:
        """A private directory on another filesystem, cleared like the root."""
        path = filesystem_at / self.root.name
        path.mkdir()
        self._places.append(path)
        return path

    def image(self, size: int = 64 << 20, *, at: Path | None = None) -> str:
        """A sparse file."""
        self._count += 1
        path = str((at or self.root) / f"image-{self._count}")
        files.create_sparse(path, size)
        return path

    def directory(self) -> str:
        """An empty directory."""
        self._count += 1
        path = self.root / f"dir-{self._count}"
        path.mkdir()
        return str(path)

    def formatted(self, fs_type: str, size: int = 0, *, at: Path | None = None) -> Volume:
        """An unmounted filesystem; ``path`` is an empty directory."""
        image = self.image(size or SIZES[fs_type], at=at)
        device = loop.attach(image)
        filesystem.make(device.path, fs_type, zeroed=True)
        return Volume(image, device, self.directory())

    def mounted(self, fs_type: str, size: int = 0, *, at: Path | None = None) -> Volume:
        """A mounted filesystem."""
        made = self.formatted(fs_type, size, at=at)
        mounts.ensure_mounted(made.device.path, made.path, fs_type)
        return made

    def cut(self, volume: Volume, fs_type: str) -> Path:
        """The root of a mounted filesystem as it would be after a power cut now: what its device has got, log replayed."""
        self._count += 1
        copy = f"{os.path.dirname(volume.image)}/cut-{self._count}"
        reflink.share(volume.image, copy)
        device = loop.attach(copy)
        filesystem.new_uuid(device.path, fs_type)
        path = self.directory()
        mounts.ensure_mounted(device.path, path, fs_type)
        return Path(path)

    def clear(self) -> None:
        """Thaw, unmount and detach all that lies below our places or comes from there.

        What stays in use goes when its last user does: another lane's mount namespace can hold copies of our mounts.
        """
        effect.uninstall()
        below = tuple(f"{place}/" for place in self._places)
        for entry in reversed(mounts.mountinfo()):
            if entry.target.startswith(below):
                with contextlib.suppress(DomainError):
                    freeze.thaw(entry.target)
                if not _patiently(lambda target=entry.target: mounts.ensure_unmounted(target)):
                    subprocess.run(["umount", "-l", entry.target], check=True)
        for attached in loop.all_devices():
            ours = attached.backing_path.startswith(below)
            if ours and not _patiently(lambda device=attached.device: loop.detach(device)):
                subprocess.run(["losetup", "-d", attached.device.path], check=True)


def _patiently(release: Callable[[], None]) -> bool:
    """Killed processes take a moment to let go of what they had open."""
    for _ in range(40):
        try:
            release()
            return True
        except InUse:
            time.sleep(0.05)
    return False


def open_directory(path: str) -> int:
    """A descriptor of a directory."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def fill(directory: str) -> str:
    """Take all blocks of the filesystem at ``directory``, but none of what its root directory has."""
    path = f"{directory}/filler"
    with open(path, "wb", buffering=0) as file:
        for piece in (1 << 20, 4096):
            try:
                while True:
                    file.write(bytes(piece))
            except OSError as error:
                assert error.errno == errno.ENOSPC
        os.fsync(file.fileno())
    return path


def vfs_options(path: str) -> set[str]:
    """The flags of the mount at a path, as the kernel tells them."""
    words = subprocess.run(
        ["findmnt", "-n", "-o", "VFS-OPTIONS", "--target", path], check=True, capture_output=True, text=True
    ).stdout
    return set(words.strip().split(","))

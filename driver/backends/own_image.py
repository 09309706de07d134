"""A filesystem of a pool's own, in a sparse image file on the host's: made once, then attached and mounted while open."""

import contextlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from ..host import extents, files, filesystem, loop, mounts, owner, trim
from ..host import space as host_space
from ..host.failure import during
from ..model import sizes
from ..model.errors import DomainError, FailedPrecondition, HostFailed, InUse, NoSpace
from ..model.pool import Space
from .memory import Memory

FLOOR = 4 * sizes.GIB
"""Most that is kept free on the host's filesystem when the configuration does not say; less on a small one (5 %)."""


class OwnImage:
    """``image`` holds a filesystem of type ``fs_type``; ``open`` makes it and mounts it at ``mount_point``.

    ``size`` 0: what is free on the host's filesystem when the image is made, less the floor. ``floor`` None: 5 % of the
    host's filesystem, at most FLOOR.
    """

    def __init__(
        self,
        pool: str,
        root: Path,
        *,
        image: str,
        mount_point: str,
        fs_type: str,
        make_options: Sequence[str] = (),
        mount_options: Sequence[str] = (),
        size: int = 0,
        floor: int | None = None,
    ) -> None:
        self._pool = pool
        self._memory = Memory(root)
        self.image = image
        self.mount_point = mount_point
        self._fs_type = fs_type
        self._make_options = tuple(make_options)
        self._mount_options = tuple(mount_options)
        self._size = size
        self._floor = floor
        self._lock: owner.Lock | None = None

    def open(self) -> None:
        """The filesystem is mounted at ``mount_point``. An image that an earlier run left attached or mounted is used
        as it is. Nothing new stays attached, mounted or half made when it raises: InUse naming the other process that
        has the image; FailedPrecondition when the image's directory is missing or something else is mounted, or when
        the image was made before and is gone; NoSpace when a new one finds no room; HostFailed."""
        self._check_directory()
        if self._lock is None:
            self._lock = owner.Lock.acquire(f"{self.image}.lock", f"pool {self._pool} (pid {os.getpid()})")
        try:
            if not self._exists():
                self._make()
            self._memory.remember_image(self.image)
            self._mount()
        except BaseException:
            self._unlock()
            raise

    def close(self) -> None:
        """Not mounted or attached any more, unless a volume on it is in use: then it stays for the next ``open``."""
        if self._lock is None:
            return
        try:
            with contextlib.suppress(InUse):
                mounts.ensure_unmounted(self.mount_point)
                if (device := loop.find(self.image)) is not None:
                    loop.detach(device)
        finally:
            self._unlock()

    def room(self) -> Space:
        """The filesystem's room, and no more free than the host has above the floor."""
        inside = host_space.space(self.mount_point)
        outside = host_space.space(os.path.dirname(self.image))
        return Space(total=inside.total, free=min(inside.free, max(0, outside.free - self._kept(outside))))

    def back(self, path: str) -> None:
        """Every block that the file at ``path``, on the filesystem inside, has now also has its room on the host: holes of
        the image that lie below it are filled. NoSpace when the host has too little; HostFailed."""
        with during(f"opening {path}"):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            for extent in extents.extents(fd):
                files.allocate(self.image, extent.length, extent.physical)
        finally:
            os.close(fd)
        files.fsync_file(self.image)

    def reclaim(self) -> int:
        """What is free inside takes no room on the host any more; the bytes of it. Raises HostFailed."""
        return trim.fitrim(self.mount_point)

    def reclaimable(self) -> int:
        """Bytes the image takes on the host beyond what is used inside."""
        inside = host_space.space(self.mount_point)
        with during(f"measuring {self.image}"):
            return max(0, os.stat(self.image).st_blocks * 512 - inside.used)

    def _kept(self, outside: host_space.Space) -> int:
        return min(FLOOR, outside.total // 20) if self._floor is None else self._floor

    def _check_directory(self) -> None:
        directory = os.path.dirname(self.image)
        if not os.path.isdir(directory):
            raise FailedPrecondition(
                f"pool {self._pool}: found no directory at {directory}; wanted an existing one for the image "
                f"{os.path.basename(self.image)}"
            )

    def _exists(self) -> bool:
        try:
            found = os.lstat(self.image)
        except FileNotFoundError:
            if self._memory.image == self.image:
                raise FailedPrecondition(
                    f"pool {self._pool}: the image {self.image} was made before and is gone; is its filesystem mounted? "
                    f"If it was removed on purpose, remove {self._memory.file} to begin a new one"
                ) from None
            return False
        if not stat.S_ISREG(found.st_mode):
            raise FailedPrecondition(
                f"pool {self._pool}: {self.image} is no regular file; wanted an image of a filesystem"
            )
        return True

    def _make(self) -> None:
        """Under another name, complete and synced, then renamed: a crash leaves nothing, or all of it."""
        new = f"{self.image}.new"
        with contextlib.suppress(FileNotFoundError):
            os.lstat(new)
            self._drop(new)
        size = self._chosen_size()
        try:
            files.create_sparse(new, size)
            device = loop.attach(new)
            filesystem.make(device.path, self._fs_type, options=self._make_options, zeroed=True)
            loop.detach(device)
            files.fsync_file(new)
            files.rename_durably(new, self.image)
        except DomainError:
            with contextlib.suppress(DomainError):
                self._drop(new)
            raise

    def _chosen_size(self) -> int:
        outside = host_space.space(os.path.dirname(self.image))
        room = max(0, outside.free - self._kept(outside))
        size = sizes.round_down(self._size or room, sizes.MIB)
        least = filesystem.minimum_size(self._fs_type)
        if size < least or room < least:
            raise NoSpace(
                f"pool {self._pool}: {os.path.dirname(self.image)} has {sizes.show(outside.free)} free, of which "
                f"{sizes.show(self._kept(outside))} are kept; an image of {sizes.show(max(size, least))} is wanted, and "
                f"the smallest {self._fs_type} takes {sizes.show(least)}"
            )
        return size

    def _drop(self, path: str) -> None:
        if (device := loop.find(path)) is not None:
            loop.detach(device)
        files.remove_file(path)

    def _mount(self) -> None:
        known = loop.find(self.image)
        device = known or loop.attach(self.image)
        try:
            mount_root = os.path.dirname(self.mount_point)
            with during(f"making {mount_root}"):
                os.makedirs(mount_root, mode=0o700, exist_ok=True)
            files.make_dir(self.mount_point)
            self._clear_stale(device)
            mounts.ensure_mounted(device.path, self.mount_point, self._fs_type, self._mount_options)
        except BaseException:
            if known is None:
                with contextlib.suppress(DomainError):
                    loop.detach(device)
            raise

    def _clear_stale(self, device: loop.LoopDevice) -> None:
        """A mount that an earlier image or a dead device left at our mount point is gone."""
        try:
            found = mounts.look(self.mount_point)
        except HostFailed:
            mounts.ensure_unmounted(self.mount_point)
            return
        if found is None or not found.is_root:
            return
        orphans = {one.device.path for one in loop.all_devices() if one.deleted}
        for mount in mounts.mountinfo():
            if mount.target == self.mount_point and mount.source in orphans and mount.source != device.path:
                mounts.ensure_unmounted(self.mount_point)
                return

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

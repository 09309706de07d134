"""A pool whose volumes are subvolumes of a btrfs filesystem: somebody's, or one of its own in an image.

The ledger keeps btrfs's checksums: without copy-on-write (``chattr +C``) a commit took 0.75 instead of 0.95 ms, which is
not worth records whose damage nobody sees.

| step of a delete | a crash after it leaves |
|---|---|
| a snapshot made writable: btrfs renames no read-only one | a snapshot without record; the start goes on |
| renamed into the trash, committed | trash; the purge goes on (purge.py) |
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ...host import btrfs, fsprobe, trim
from ...host import space as host_space
from ...host.failure import during
from ...model import errors, sizes
from ...model.health import Ailment, Status
from ...model.pool import PoolConfig, Space
from ...model.snapshot import Snapshot
from ...model.volume import Kind, Volume
from .. import settings
from ..base import Entry, Progress, Shape
from ..layout import Layout
from ..own_image import OwnImage
from ..tree_size import Sizes
from . import configuration, contents, keys, purge
from .births import Births
from .quota import Quota

LEAST = sizes.MIB
"""Least size of a volume: of a limit this small all but 32 KiB could be written (measured)."""
OWN_MOUNT_OPTIONS = ("noatime",)
SLACK = 20
"""An own image gives back without a purge what is free inside and not on the host, once it is this part of the whole."""


class BtrfsBackend:
    """See the Protocols of ``base`` it satisfies: Directories, Snapshots, SnapshotStore, Expansion, Attributes, Usage,
    Upkeep and Reclaim."""

    kind = "btrfs"

    def __init__(self, config: PoolConfig, root: Path) -> None:
        self.config = config
        chosen = configuration.read(config)
        self._layout = Layout(config.name, root)
        self._quota = Quota(config.name, chosen.quota)
        self._births = Births(self._layout, self._quota)
        self._sizes = Sizes()
        self._discards = True
        self._own: OwnImage | None = None
        if chosen.image:
            self._own = OwnImage(
                config.name,
                root,
                image=chosen.image,
                mount_point=config.path or str(root / "mnt"),
                fs_type="btrfs",
                mount_options=OWN_MOUNT_OPTIONS,
                size=chosen.size,
                floor=chosen.host_floor,
            )

    # The pool.

    def open(self) -> None:
        if self._own:
            self._own.open()
        try:
            path = self._own.mount_point if self._own else self.config.path
            if os.path.isdir(path):
                self._check_filesystem(path)
            self._layout.open(path)
            self._births.open()
            self._quota.enable(path)
            self._discards = trim.discard_supported(path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._sizes.close()
        self._layout.close()
        if self._own:
            self._own.close()

    @property
    def home(self) -> str:
        return self._layout.home

    def space(self) -> Space:
        self._layout.check_present()
        if self._own:
            return self._own.room()
        seen = host_space.space(self._layout.path)
        return Space(total=seen.total, free=seen.free)

    def allocated(self) -> int:
        self._layout.check_present()
        used = host_space.space(self._layout.path).used
        directories = (self._layout.volumes, self._layout.snapshots, self._layout.trash, self._births.partial)
        return self._quota.taken(self.home, contents.numbers(directories), used)

    def ailments(self) -> Sequence[Ailment]:
        path = self._layout.path
        try:
            self._layout.check_present()
        except errors.Unavailable as away:
            return [Ailment(Status.INACCESSIBLE, "PoolUnreachable", away.message)]
        with during(f"looking at {path}"):
            flags = os.statvfs(path).f_flag
        found = list(self._quota.ailments(path))
        if flags & os.ST_RDONLY:
            message = f"the filesystem of pool {self.config.name} at {path} is read-only"
            found.append(Ailment(Status.DEGRADED, "PoolReadOnly", message))
        return found

    def chores(self) -> Sequence[tuple[str, Callable[[Progress], None]]]:
        """A rescan when the figures are wrong; and the host gets back what users freed, once it is much."""
        path = self._layout.path
        due: list[tuple[str, Callable[[Progress], None]]] = []
        if self._quota.wants_rescan(path):
            due.append(("rescan", lambda progress: self._quota.rescan(path, progress)))
        if self._own and self._own.reclaimable() > self._own.room().total // SLACK:
            due.append(("reclaim", lambda progress: self.reclaim()))
        return due

    def reclaim(self) -> None:
        if self._own:
            self._own.reclaim()

    # Volumes.

    def shape(self, *, kind: Kind, fs_type: str, parameters: dict[str, str], mutable: dict[str, str]) -> Shape:
        if kind != "filesystem":
            raise errors.InvalidArgument(f"{self._words} makes filesystem volumes only, not {kind}")
        if fs_type not in ("", "btrfs"):
            raise errors.InvalidArgument(
                f"{self._words} makes subvolumes of btrfs; filesystem {fs_type!r} cannot be had"
            )
        attributes = settings.complete(self._keys, parameters | mutable, self._words)
        return Shape(kind=kind, fs_type="btrfs", attributes=attributes, minimum=LEAST)

    def ensure_created(self, volume: Volume) -> None:
        self._births.ensure_created(volume)

    def exists(self, volume: Volume) -> bool:
        return self._births.exists(volume)

    def volume_ailments(self, volume: Volume) -> Sequence[Ailment]:
        path = self._layout.volume(volume.id)
        if not self.exists(volume):
            message = f"the subvolume of volume {volume.id} is missing: {path}"
            return [Ailment(Status.INACCESSIBLE, "VolumeMissing", message)] if volume.formatted else []
        if count := len(btrfs.nested_in(path)):
            message = (
                f"volume {volume.id} holds {count} subvolumes of its user's, outside its size limit and its snapshots"
            )
            return [Ailment(Status.DEGRADED, "NestedSubvolumes", message)]
        return []

    def contents(self) -> Iterator[Entry]:
        self._layout.check_present()
        yield from contents.entries(self._layout, self._births.partial, self._quota)

    def ensure_trashed(self, volume: Volume, trash_id: str) -> None:
        path = self._layout.volume(volume.id)
        self._sizes.forget(path)
        self._layout.move_to_trash(path, self._layout.trashed(trash_id))
        self._layout.move_to_trash(f"{self._births.partial}/{volume.id}", self._layout.trashed(trash_id, ".partial"))

    def trash_allocated(self, trash_id: str) -> int:
        places = (self._layout.trashed(trash_id, suffix) for suffix in ("", ".partial"))
        return sum(self._used(path) for path in places if btrfs.is_subvolume(path))

    def ensure_purged(self, thing: Volume | Snapshot, trash_id: str, wipe: str, progress: Progress) -> None:
        gone = purge.delete([self._layout.trashed(trash_id, suffix) for suffix in ("", ".partial")])
        if not gone and wipe == "none":
            btrfs.commit(self.home)
            return
        # Deleted by an earlier try whose numbers nobody knows any more: then for every one that is being given back.
        if not purge.wait(self.home, gone or purge.pending(self.home), progress):
            return
        self._quota.forget(self.home, gone)
        if wipe == "discard":
            trim.fitrim(self._layout.path)
        self._layout.refill_reserve()

    # Directories.

    def directory(self, volume: Volume) -> str:
        return self._layout.volume(volume.id)

    def mark_used(self, volume: Volume) -> None:
        btrfs.commit(self.home)

    # Snapshots and SnapshotStore.

    def shares_extents(self) -> bool:
        return True

    def ensure_cut(self, snapshot: Snapshot, source: Volume) -> None:
        self._births.ensure_cut(snapshot, source)

    def ensure_volume_from_snapshot(self, volume: Volume, snapshot: Snapshot) -> None:
        self._births.ensure_cloned(volume, snapshot)

    def ensure_volume_from_volume(self, volume: Volume, source: Volume) -> None:
        self._births.ensure_cloned(volume, source)

    def snapshot_exists(self, snapshot: Snapshot) -> bool:
        return self._births.exists(snapshot)

    def snapshot_allocated(self, snapshot: Snapshot, source: Volume | None) -> int:
        path = self._layout.snapshot(snapshot.id)
        if source is not None and not self.snapshot_exists(snapshot):
            path = self._layout.volume(source.id)
        return self._used(path) if btrfs.is_subvolume(path) else 0

    def ensure_snapshot_trashed(self, snapshot: Snapshot, trash_id: str) -> None:
        path = self._layout.snapshot(snapshot.id)
        if btrfs.is_subvolume(path) and btrfs.is_read_only(path):
            btrfs.set_read_only(path, False)
        self._layout.move_to_trash(path, self._layout.trashed(trash_id))

    # Expansion, Attributes, Usage.

    def ensure_resized(self, volume: Volume, size: int) -> None:
        self._quota.raise_limit(self._births.found(volume), size)
        btrfs.commit(self.home)

    def needs_node(self, volume: Volume) -> bool:
        return False

    def checked_attributes(self, volume: Volume, changes: dict[str, str]) -> dict[str, str]:
        return volume.attributes | settings.changed(self._keys, changes, self._words)

    def ensure_attributes(self, volume: Volume, attributes: dict[str, str]) -> None:
        self._births.compress(self._births.found(volume), attributes)
        btrfs.commit(self.home)

    def usage(self, volume: Volume) -> tuple[int, int]:
        path = self._layout.volume(volume.id)
        if not self._quota.counts:
            return self._sizes.of(path), 0
        found = self._quota.usage(path)
        return found.referenced, found.limit or 0

    def enforces_size(self) -> bool:
        return self._quota.counts

    # What these share.

    @property
    def _words(self) -> str:
        return f"pool {self.config.name} (btrfs)"

    @property
    def _keys(self) -> dict[str, settings.Setting]:
        return keys.known(self._discards)

    def _check_filesystem(self, path: str) -> None:
        found = fsprobe.statfs_type(path).name
        if found != "btrfs":
            raise errors.FailedPrecondition(
                f"pool {self.config.name}: found {found} at {path}; wanted btrfs, or the key image for one of its own"
            )
        self._quota.check(path)

    def _used(self, path: str) -> int:
        return self._quota.referenced(path) if self._quota.counts else self._sizes.of(path)

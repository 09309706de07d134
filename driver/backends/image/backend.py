"""A pool whose volumes are image files. What it does is in the modules beside it; here stands what the engine may ask."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from ...host import extents, files, fsprobe, loop, reflink, trim
from ...host import space as host_space
from ...host.failure import during
from ...model import sizes
from ...model.errors import NoSpace, Unavailable
from ...model.health import Ailment, Status
from ...model.pool import PoolConfig, Space
from ...model.snapshot import Snapshot
from ...model.volume import Kind, Volume
from .. import in_place, settings
from ..base import Entry, Extent, Progress, Shape
from ..layout import Layout
from ..own_image import OwnImage
from . import changes, configuration, copies, keys, measure, purge
from .attachments import Attachments, keeps_blocks
from .images import Images, is_thick

OWN_FS_TYPE = "xfs"
OWN_OPTIONS = ("-m", "reflink=1")
OWN_MOUNT_OPTIONS = ("noatime",)
SLACK = 20
"""An own image gives back without a purge what is free inside and not on the host, once it is this part of the whole."""


LOG = 128 * sizes.MIB
"""Taken on the host and never free inside: the log and what else the filesystem keeps for itself."""


class ImageBackend:
    """See the Protocols of ``base`` it satisfies: Devices, Snapshots, Copies, SnapshotStore, Expansion, Attributes,
    ChangedBlocks, Frozen, Upkeep and Reclaim."""

    kind = "image"

    def __init__(self, config: PoolConfig, root: Path) -> None:
        self.config = config
        self._settings = configuration.read(config)
        self._layout = Layout(config.name, root)
        self._facts = keys.Facts()
        self._own: OwnImage | None = None
        if self._settings.image:
            self._own = OwnImage(
                config.name,
                root,
                image=self._settings.image,
                mount_point=config.path or str(root / "mnt"),
                fs_type=OWN_FS_TYPE,
                make_options=OWN_OPTIONS,
                mount_options=OWN_MOUNT_OPTIONS,
                size=self._settings.size,
                floor=self._settings.host_floor,
            )
        self._images = Images(self._layout, self._own)
        self._attachments = Attachments(self._images, self._settings.direct_io)

    # The pool.

    def open(self) -> None:
        if self._own:
            self._own.open()
        try:
            self._layout.open(self._own.mount_point if self._own else self.config.path)
            shares = reflink.supported(self._layout.home)
            self._facts = keys.Facts(
                fs_type=fsprobe.statfs_type(self._layout.path).name,
                shares_extents=shares,
                discards=trim.discard_supported(self._layout.path),
                overwrites=in_place.overwrites(self._layout.path, shares_extents=shares),
            )
            self._attachments.recall()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
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
        return measure.allocated(self._layout, self._facts.shares_extents)

    def ailments(self) -> Sequence[Ailment]:
        name, path = self.config.name, self._layout.path
        try:
            self._layout.check_present()
        except Unavailable as away:
            return [Ailment(Status.INACCESSIBLE, "PoolUnreachable", away.message)]
        with during(f"looking at {path}"):
            flags = os.statvfs(path).f_flag
        found = []
        if flags & os.ST_RDONLY:
            message = f"the filesystem of pool {name} at {path} is read-only"
            found.append(Ailment(Status.DEGRADED, "PoolReadOnly", message))
        space = self.space()
        if space.free < space.total // 20:
            message = f"pool {name} has {sizes.show(space.free)} of {sizes.show(space.total)} free"
            found.append(Ailment(Status.DEGRADED, "PoolNearlyFull", message))
        return found

    def chores(self) -> Sequence[tuple[str, Callable[[Progress], None]]]:
        """Blocks freed by a user's own discards are given back to the host, once they are many."""
        if self._own and self._own.reclaimable() > self._own.room().total // SLACK + LOG:
            return [("reclaim", lambda progress: self.reclaim())]
        return []

    def reclaim(self) -> None:
        if self._own:
            self._own.reclaim()

    # Volumes.

    def shape(self, *, kind: Kind, fs_type: str, parameters: dict[str, str], mutable: dict[str, str]) -> Shape:
        given = parameters | mutable
        return keys.shape(self._keys, self._facts, kind=kind, fs_type=fs_type, given=given, what=self._words)

    def ensure_created(self, volume: Volume) -> None:
        self._images.ensure_created(volume)

    def exists(self, volume: Volume) -> bool:
        return self._images.look(volume) is not None

    def volume_ailments(self, volume: Volume) -> Sequence[Ailment]:
        found = self._images.look(volume)
        path = self._images.path(volume)
        if found is None and volume.formatted:
            message = f"the image of volume {volume.id} is missing: {path}"
            return [Ailment(Status.INACCESSIBLE, "ImageMissing", message)]
        if found is not None and found.st_size < volume.size and volume.formatted:
            message = f"{path} has {found.st_size} bytes; volume {volume.id} has {volume.size}"
            return [Ailment(Status.DATA_LOSS, "ImageTruncated", message)]
        return []

    def contents(self) -> Iterator[Entry]:
        return self._images.contents()

    def ensure_trashed(self, volume: Volume, trash_id: str) -> None:
        self._attachments.detach(volume)
        self._images.ensure_trashed(volume, trash_id)

    def trash_allocated(self, trash_id: str) -> int:
        return sum(extents.allocated_bytes(path) for path in self._images.trashed(trash_id))

    def ensure_purged(self, thing: Volume | Snapshot, trash_id: str, wipe: str, progress: Progress) -> None:
        for path in self._images.trashed(trash_id):
            self._attachments.free(path)
            if not purge.remove(path, wipe, progress):
                return
        files.fsync_dir(self._layout.trash)
        if wipe == "discard":
            trim.fitrim(self._layout.path)
        self._layout.refill_reserve()

    # Devices and Frozen.

    def attach(self, volume: Volume, *, read_only: bool = False) -> str:
        return self._attachments.attach(volume, read_only)

    def attached(self, volume: Volume) -> str | None:
        device = self._attachments.attached(volume)
        return device.path if device else None

    def detach(self, volume: Volume) -> None:
        self._attachments.detach(volume)

    def is_blank(self, volume: Volume) -> bool:
        return self._images.is_blank(volume)

    def wants_freeze(self, volume: Volume) -> bool:
        return volume.kind == "filesystem"

    # Snapshots, Copies, SnapshotStore.

    def shares_extents(self) -> bool:
        return self._facts.shares_extents

    def ensure_cut(self, snapshot: Snapshot, source: Volume) -> None:
        self._share(source, snapshot)

    def ensure_volume_from_snapshot(self, volume: Volume, snapshot: Snapshot) -> None:
        self._share(snapshot, volume)

    def ensure_volume_from_volume(self, volume: Volume, source: Volume) -> None:
        self._share(source, volume)

    def copy_total(self, source: Volume | Snapshot) -> int:
        """The length of the image: a copy's progress is the byte it has come to."""
        with during(f"measuring {source.id}"):
            return os.stat(self._images.found(source)).st_size

    def ensure_snapshot_copied(self, snapshot: Snapshot, source: Volume, start: int, progress: Progress) -> None:
        self._copy(source, snapshot, start, progress)

    def ensure_volume_copied(self, volume: Volume, source: Volume | Snapshot, start: int, progress: Progress) -> None:
        self._copy(source, volume, start, progress)

    def snapshot_exists(self, snapshot: Snapshot) -> bool:
        return self._images.look(snapshot) is not None

    def snapshot_allocated(self, snapshot: Snapshot, source: Volume | None) -> int:
        thing = snapshot if source is None or self.snapshot_exists(snapshot) else source
        if self._images.look(thing) is None:
            return 0
        path = self._images.path(thing)
        # Preallocated blocks that were never written are not shared, and become holes of the snapshot.
        return measure.written(path) if isinstance(thing, Volume) and is_thick(thing) else extents.allocated_bytes(path)

    def ensure_snapshot_trashed(self, snapshot: Snapshot, trash_id: str) -> None:
        self._images.ensure_trashed(snapshot, trash_id)

    # Expansion and Attributes.

    def ensure_resized(self, volume: Volume, size: int) -> None:
        self._images.ensure_size(volume, size)
        if (device := self._attachments.attached(volume)) is not None:
            loop.refresh_size(device)

    def needs_node(self, volume: Volume) -> bool:
        return volume.kind == "filesystem"

    def checked_attributes(self, volume: Volume, changes: dict[str, str]) -> dict[str, str]:
        return volume.attributes | settings.changed(self._keys, changes, self._words)

    def ensure_attributes(self, volume: Volume, attributes: dict[str, str]) -> None:
        wanted = msgspec.structs.replace(volume, attributes=attributes)
        path = self._images.found(volume)
        idle = self._attachments.attached(volume) is None
        if is_thick(wanted):
            try:
                self._images.ensure_allocated(path, volume.size)
            except NoSpace:
                if idle and not is_thick(volume):
                    self._images.release_unwritten(path)
                raise
            files.fsync_file(path)
        elif idle:
            self._images.release_unwritten(path)
        if keeps_blocks(wanted):
            self._attachments.keep_blocks(wanted)

    # ChangedBlocks.

    def block_size(self) -> int:
        return sizes.BLOCK

    def allocated_extents(self, snapshot: Snapshot, start: int) -> Iterator[Extent]:
        with changes.Image(self._images.found(snapshot)) as image:
            yield from changes.allocated(image, snapshot.size, start)

    def changed_extents(self, base: Snapshot, target: Snapshot, start: int) -> Iterator[Extent]:
        with changes.Image(self._images.found(base)) as old, changes.Image(self._images.found(target)) as new:
            find = changes.moved if self._facts.shares_extents else changes.differing
            yield from find(old, new, target.size, start)

    # What these share.

    @property
    def _words(self) -> str:
        return f"pool {self.config.name} (image)"

    @property
    def _keys(self) -> dict[str, settings.Setting]:
        return keys.known(self._facts, self._settings.provisioning)

    def _share(self, source: Volume | Snapshot, made: Volume | Snapshot) -> None:
        path = self._images.found(source)
        if isinstance(source, Volume):
            self._attachments.flush(source)
        copies.share(self._images, path, made)

    def _copy(self, source: Volume | Snapshot, made: Volume | Snapshot, start: int, progress: Progress) -> None:
        path = self._images.found(source)
        if isinstance(source, Volume):
            self._attachments.flush(source)
        copies.copy(self._images, path, made, start, progress)

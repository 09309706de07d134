"""A pool whose volumes are subdirectories of any filesystem, also of one behind FUSE or a network.

A volume's root directory is 0777 and its parents are 0700 of root: a pod of any user writes without an fsGroup, which
kubelet does not apply to volumes without a fsType (fsGroupPolicy ReadWriteOnceWithFSType), and nobody on the host gets
in but through a mount of ours. Peers (hostpath, NFS) choose the same mode. Size is recorded, not enforced.

| step of a delete | a crash after it leaves |
|---|---|
| renamed into the trash, both directories synced | trash; the purge goes on |
| wiped as asked | trash, wiped again by the next purge |
| removed; where ``wipe=discard``: trimmed | nothing, and one trim more by the next purge |
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from ...host import files, fsprobe, reflink, tree, trim, walk
from ...host import space as host_space
from ...host.failure import during
from ...model import errors, ids
from ...model.health import Ailment, Status
from ...model.pool import PoolConfig, Space
from ...model.sizes import BLOCK
from ...model.snapshot import Snapshot
from ...model.volume import Kind, Volume
from .. import in_place, options, settings
from ..base import Entry, Progress, Shape
from ..layout import Layout
from ..tree_size import Sizes, taken
from . import contents, copy, erase

ROOT_MODE = 0o777
LAZY = ("xfs",)
"""Filesystems that give the blocks of a removed file back some time later."""
PATIENCE = 2.0
"""Seconds after which adding up the volumes' sizes gives up until next time."""


class Facts(msgspec.Struct, frozen=True):
    """What the pool's filesystem turned out to be when it was opened."""

    fs_type: str
    shares: bool
    discards: bool
    overwrites: bool


class DirectoryBackend:
    """See the module, and the Protocols of ``base`` it satisfies: Directories, Copies, SnapshotStore, Expansion,
    Attributes and Usage."""

    kind = "directory"

    def __init__(self, config: PoolConfig, root: Path) -> None:
        options.check_known(config, ())
        self.config = config
        self._layout = Layout(config.name, root)
        self._facts: Facts | None = None
        self._sizes = Sizes()

    def open(self) -> None:
        self._layout.open(self.config.path)
        files.make_dir(self._partial)
        found = fsprobe.statfs_type(self._layout.path)
        shares = not found.is_network and reflink.supported(self._layout.home)
        self._facts = Facts(
            fs_type=found.name,
            shares=shares,
            discards=not found.is_network and trim.discard_supported(self._layout.path),
            overwrites=in_place.overwrites(self._layout.path, shares_extents=shares),
        )

    def close(self) -> None:
        self._sizes.close()
        self._layout.close()

    @property
    def home(self) -> str:
        return self._layout.home

    @property
    def _partial(self) -> str:
        return f"{self._layout.home}/partial"

    # The core.

    def space(self) -> Space:
        self._layout.check_present()
        seen = host_space.space(self._layout.path)
        return Space(total=seen.total, free=seen.free)

    def allocated(self) -> int:
        self._layout.check_present()
        deadline = time.monotonic() + PATIENCE
        total = 0
        for directory in (self._layout.volumes, self._layout.snapshots, self._layout.trash):
            for name in self._layout.names(directory):
                path = f"{directory}/{name}"
                total += self._sizes.of(path)
                if not self._sizes.is_known(path) or time.monotonic() > deadline:
                    # Not known yet: then everything on the filesystem passes for ours, rather than for somebody else's.
                    space = self.space()
                    return space.total - space.free
        return total

    def shape(self, *, kind: Kind, fs_type: str, parameters: dict[str, str], mutable: dict[str, str]) -> Shape:
        if kind != "filesystem":
            raise errors.InvalidArgument(f"backend directory makes filesystem volumes only, not {kind}")
        own = self._facts.fs_type if self._facts else fs_type
        if fs_type not in ("", own):
            raise errors.InvalidArgument(
                f"volumes of pool {self.config.name} are directories of its {own}; filesystem {fs_type!r} cannot be had"
            )
        attributes = settings.complete(self._settings, parameters | mutable, self._words)
        return Shape(kind=kind, fs_type=own, attributes=attributes, minimum=BLOCK)

    def ensure_created(self, volume: Volume) -> None:
        path = self._layout.volume(volume.id)
        self._layout.check_present()
        if walk.look(path) is not None:
            return
        # Renamed into place, so that a directory in place is known to have its mode, and keeps what its user gave it.
        new = f"{self._partial}/{volume.id}.new"
        tree.remove_tree(new)
        files.make_dir(new, ROOT_MODE)
        files.rename(new, path)

    def ensure_trashed(self, volume: Volume, trash_id: str) -> None:
        path = self._layout.volume(volume.id)
        self._sizes.forget(path)
        self._trash(path, volume.id, trash_id)

    def ensure_purged(self, thing: Volume | Snapshot, trash_id: str, wipe: str, progress: Progress) -> None:
        for suffix in ("", ".partial"):
            path = self._layout.trashed(trash_id, suffix)
            if (act := self._before_removal(wipe)) and not act(path, progress):
                return
            contents.remove(path)
        files.fsync_dir(self._layout.trash)
        if wipe == "discard":
            trim.fitrim(self._layout.path)
        self._layout.refill_reserve()

    def trash_allocated(self, trash_id: str) -> int:
        return sum(taken(self._layout.trashed(trash_id, suffix)) for suffix in ("", ".partial"))

    def contents(self) -> Iterator[Entry]:
        self._layout.check_present()
        yield from contents.of_kind(self._layout.volumes, "volume", ids.VOLUME)
        yield from contents.of_kind(self._layout.snapshots, "snapshot", ids.SNAPSHOT)
        yield from contents.of_trash(self._layout.trash)
        yield from contents.of_partial(self._partial)

    def exists(self, volume: Volume) -> bool:
        self._layout.check_present()
        return walk.is_directory(self._layout.volume(volume.id))

    def ailments(self) -> Sequence[Ailment]:
        try:
            self._layout.check_present()
        except errors.Unavailable as away:
            return [Ailment(Status.INACCESSIBLE, "PoolUnreachable", away.message)]
        with during(f"looking at {self._layout.path}"):
            flags = os.statvfs(self._layout.path).f_flag
        if flags & os.ST_RDONLY:
            message = f"the filesystem of pool {self.config.name} at {self._layout.path} is read-only"
            return [Ailment(Status.DEGRADED, "PoolReadOnly", message)]
        return []

    def volume_ailments(self, volume: Volume) -> Sequence[Ailment]:
        if volume.formatted and not self.exists(volume):
            path = self._layout.volume(volume.id)
            return [
                Ailment(Status.INACCESSIBLE, "VolumeMissing", f"the directory of volume {volume.id} is gone: {path}")
            ]
        return []

    # Directories.

    def directory(self, volume: Volume) -> str:
        return self._layout.volume(volume.id)

    def mark_used(self, volume: Volume) -> None:
        files.fsync_dir(self._layout.volumes)

    # Copies and the rest of a snapshot's life.

    def copy_total(self, source: Volume | Snapshot) -> int:
        self._layout.check_present()
        return copy.total(self._path(source))

    def ensure_snapshot_copied(self, snapshot: Snapshot, source: Volume, start: int, progress: Progress) -> None:
        self._copy(snapshot, source, start, progress)

    def ensure_volume_copied(self, volume: Volume, source: Volume | Snapshot, start: int, progress: Progress) -> None:
        self._copy(volume, source, start, progress)

    def snapshot_exists(self, snapshot: Snapshot) -> bool:
        self._layout.check_present()
        return walk.is_directory(self._layout.snapshot(snapshot.id))

    def snapshot_allocated(self, snapshot: Snapshot, source: Volume | None) -> int:
        if self.snapshot_exists(snapshot):
            return taken(self._layout.snapshot(snapshot.id))
        return self.copy_total(source) if source else 0

    def ensure_snapshot_trashed(self, snapshot: Snapshot, trash_id: str) -> None:
        self._trash(self._layout.snapshot(snapshot.id), snapshot.id, trash_id)

    # Expansion, Attributes, Usage.

    def ensure_resized(self, volume: Volume, size: int) -> None:
        """Nothing: the size is a promise in the record, which this filesystem cannot enforce."""

    def needs_node(self, volume: Volume) -> bool:
        return False

    def checked_attributes(self, volume: Volume, changes: dict[str, str]) -> dict[str, str]:
        return volume.attributes | settings.changed(self._settings, changes, self._words)

    def ensure_attributes(self, volume: Volume, attributes: dict[str, str]) -> None:
        """Nothing: ``wipe`` acts when the volume is purged."""

    def usage(self, volume: Volume) -> tuple[int, int]:
        return self._sizes.of(self._layout.volume(volume.id)), 0

    def enforces_size(self) -> bool:
        return False

    # What these share.

    @property
    def _words(self) -> str:
        return f"pool {self.config.name} (directory)"

    @property
    def _settings(self) -> dict[str, settings.Setting]:
        refused: dict[str, str] = {}
        if self._facts and not self._facts.discards:
            refused["discard"] = f"nothing below its {self._facts.fs_type} takes discards"
        if self._facts and not self._facts.overwrites:
            refused["zero"] = f"its {self._facts.fs_type} may keep old data when a file is overwritten"
        return {"wipe": settings.Setting("none", ("none", "discard", "zero"), refused)}

    def _before_removal(self, wipe: str) -> Callable[[str, Progress], bool] | None:
        """What is done to a tree before its names go; see ``erase``."""
        if wipe == "zero":
            return erase.overwrite
        if wipe == "discard":
            return erase.give_back
        return erase.shorten if self._facts and self._facts.fs_type in LAZY else None

    def _path(self, thing: Volume | Snapshot) -> str:
        return self._layout.volume(thing.id) if isinstance(thing, Volume) else self._layout.snapshot(thing.id)

    def _copy(self, made: Volume | Snapshot, source: Volume | Snapshot, start: int, progress: Progress) -> None:
        self._layout.check_present()
        places = copy.Places(self._path(source), f"{self._partial}/{made.id}", self._path(made))
        shares = self._facts is not None and self._facts.shares
        copy.copy_tree(places, start, copy.total(places.source), shares, progress)

    def _trash(self, path: str, object_id: str, trash_id: str) -> None:
        self._layout.move_to_trash(path, self._layout.trashed(trash_id))
        self._layout.move_to_trash(f"{self._partial}/{object_id}", self._layout.trashed(trash_id, ".partial"))

"""How subvolumes come to be: new, cut from a volume, copied from either.

A new volume is made beside and renamed into place, so that what is in place has its mode: 0777 under parents of 0700, as
in the directory backend, and for the same reason.

| step of a restore or clone | a crash after it leaves |
|---|---|
| snapshot of the source in place, of one moment and durable | a volume without limit that nobody lists; a retry goes on |
| limit and compression set, committed | the volume, not listed; a retry finds it |
"""

from ...host import btrfs, files, walk
from ...model.errors import DataDamaged
from ...model.snapshot import Snapshot
from ...model.volume import Volume
from ..layout import Layout
from . import compression, purge
from .quota import Quota

ROOT_MODE = 0o777


class Births:
    """The subvolumes of one pool, made."""

    def __init__(self, layout: Layout, quota: Quota) -> None:
        self._layout = layout
        self._quota = quota

    @property
    def partial(self) -> str:
        """The directory of what is not in place yet."""
        return f"{self._layout.home}/partial"

    def open(self) -> None:
        """Ready to make something."""
        files.make_dir(self.partial)

    def found(self, thing: Volume | Snapshot) -> str:
        """Where it lies. DataDamaged when it is not there, Unavailable when its whole pool is not."""
        path = self._path(thing)
        if not btrfs.is_subvolume(path):
            self._layout.check_present()
            raise DataDamaged(f"the subvolume of {thing.id} is missing: {path}")
        return path

    def exists(self, thing: Volume | Snapshot) -> bool:
        """Whether it is there. Unavailable when its whole pool is not."""
        self._layout.check_present()
        return btrfs.is_subvolume(self._path(thing))

    def ensure_created(self, volume: Volume) -> None:
        """The volume is there, empty if it was not, with its settings and its limit."""
        self._layout.check_present()
        path = self._path(volume)
        if walk.look(path) is not None:
            self._complete(path, volume)
            return
        new = f"{self.partial}/{volume.id}"
        purge.delete([new])
        btrfs.create_subvolume(self.partial, volume.id, ROOT_MODE)
        self._complete(new, volume)
        files.rename(new, path)

    def ensure_cut(self, snapshot: Snapshot, source: Volume) -> None:
        """The snapshot is there, read-only (as send wants it), of one moment, durable."""
        if not self.exists(snapshot):
            btrfs.snapshot(self.found(source), self._layout.snapshots, snapshot.id, read_only=True)
        btrfs.commit(self._layout.home)

    def ensure_cloned(self, volume: Volume, source: Volume | Snapshot) -> None:
        """The volume is there, with its source's content of one moment and its own settings and limit, durable."""
        if not self.exists(volume):
            btrfs.snapshot(self.found(source), self._layout.volumes, volume.id, read_only=False)
        self._complete(self._path(volume), volume)
        btrfs.commit(self._layout.home)

    def compress(self, path: str, attributes: dict[str, str]) -> None:
        """Its compression is what ``attributes`` say; where they say nothing, what it was."""
        if algorithm := attributes.get(compression.KEY):
            compression.ensure(path, algorithm)

    def _complete(self, path: str, volume: Volume) -> None:
        self.compress(path, volume.attributes)
        self._quota.limit(path, volume.size)

    def _path(self, thing: Volume | Snapshot) -> str:
        return self._layout.volume(thing.id) if isinstance(thing, Volume) else self._layout.snapshot(thing.id)

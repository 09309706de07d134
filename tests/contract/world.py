"""A pool under test, and the few things tests do with volumes of any kind."""

import fcntl
import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from driver.backends import base, registry
from driver.host import freeze
from driver.model import ids
from driver.model.snapshot import Snapshot
from driver.model.volume import Kind as VolumeKind
from driver.model.volume import Volume

from .pools import Ground, Kind

POOL_ID = "p0123456789ab"
MIB = 1 << 20
FILE = "content"
KINDS_OF = "kinds_of_pool"
Test = TypeVar("Test", bound=Callable[..., Any])


class Quiet:
    """Progress that remembers what was reported, and asks to stop after ``patience`` questions."""

    def __init__(self, patience: int = -1) -> None:
        self.reports: list[tuple[int, int]] = []
        self._patience = patience

    def report(self, done: int, total: int) -> None:
        self.reports.append((done, total))

    def stopped(self) -> bool:
        self._patience -= 1
        return self._patience == -1


class World:
    """One opened pool. ``reopen`` is a restart: another object, which knows only what the storage and kernel tell."""

    def __init__(self, kind: Kind, ground: Ground) -> None:
        self.kind = kind
        self.ground = ground
        self.backend = registry.create(ground.config, ground.root)
        self.backend.open()

    def reopen(self) -> None:
        self.backend.close()
        self.backend = registry.create(self.ground.config, self.ground.root)
        self.backend.open()

    @property
    def devices(self) -> bool:
        return isinstance(self.backend, base.Devices)

    @property
    def pool_path(self) -> Path:
        return Path(self.backend.home).parent

    def volume(
        self,
        name: str = "one",
        size: int = 16 * MIB,
        kind: VolumeKind | None = None,
        formatted: bool = True,
        **attributes: str,
    ) -> Volume:
        """The record of a volume; nothing is made. Where the backend has devices it is a block volume unless said."""
        kind = kind or ("block" if self.devices else "filesystem")
        shape = self.backend.shape(kind=kind, fs_type="", parameters=attributes, mutable={})
        return Volume(
            id=ids.derive(POOL_ID, ids.VOLUME, name),
            pool_id=POOL_ID,
            name=name,
            kind=kind,
            size=max(size, shape.minimum),
            fs_type=shape.fs_type,
            attributes=shape.attributes,
            formatted=formatted,
        )

    def create(self, name: str = "one", size: int = 16 * MIB, **attributes: str) -> Volume:
        """A volume that exists and has been used: recorded as holding data."""
        volume = self.volume(name, size, **attributes)
        self.backend.ensure_created(msgspec.structs.replace(volume, formatted=False))
        return volume

    def snapshot(self, source: Volume, name: str = "cut") -> Snapshot:
        """The record of a snapshot; nothing is made."""
        return Snapshot(
            id=ids.derive(POOL_ID, ids.SNAPSHOT, name),
            pool_id=POOL_ID,
            name=name,
            source_id=source.id,
            size=source.size,
            kind=source.kind,
            fs_type=source.fs_type,
            attributes=source.attributes,
            formatted=source.formatted,
        )

    def cut(self, source: Volume, name: str = "cut") -> Snapshot:
        """A snapshot, by whichever way this pool has."""
        snapshot = self.snapshot(source, name)
        self.make_snapshot(snapshot, source)
        return snapshot

    def make_snapshot(self, snapshot: Snapshot, source: Volume) -> None:
        if isinstance(self.backend, base.Snapshots) and self.backend.shares_extents():
            self.backend.ensure_cut(snapshot, source)
        else:
            assert isinstance(self.backend, base.Copies)
            self.backend.ensure_snapshot_copied(snapshot, source, 0, Quiet())

    def fill(self, volume: Volume, source: Volume | Snapshot) -> None:
        """``volume`` is made from ``source``, by whichever way this pool has."""
        if not (isinstance(self.backend, base.Snapshots) and self.backend.shares_extents()):
            assert isinstance(self.backend, base.Copies)
            self.backend.ensure_volume_copied(volume, source, 0, Quiet())
        elif isinstance(source, Snapshot):
            self.backend.ensure_volume_from_snapshot(volume, source)
        else:
            self.backend.ensure_volume_from_volume(volume, source)

    def write(self, volume: Volume, data: bytes, offset: int = 0) -> None:
        """``data`` is in the volume, durable: on its device, or in a file in its directory."""
        fd = os.open(self._place(volume), os.O_RDWR | (0 if self.devices else os.O_CREAT))
        try:
            os.pwrite(fd, data, offset)
            os.fsync(fd)
        finally:
            os.close(fd)

    def read(self, volume: Volume, length: int, offset: int = 0) -> bytes:
        """What is in the volume there."""
        fd = os.open(self._place(volume), os.O_RDONLY)
        try:
            return os.pread(fd, length, offset)
        finally:
            os.close(fd)

    def filled(self, name: str = "one", **attributes: str) -> Volume:
        """A volume with a megabyte of its own (``pattern`` of its name) at the start, and nobody using it."""
        volume = self.create(name, **attributes)
        self.write(volume, pattern(name, MIB))
        self.idle(volume)
        return volume

    def restored(self, source: Volume | Snapshot, name: str = "restored", size: int = 16 * MIB) -> Volume:
        """A new volume made from ``source``."""
        volume = self.volume(name, size)
        self.fill(volume, source)
        return volume

    def idle(self, volume: Volume) -> None:
        """Nobody has the volume open."""
        if isinstance(self.backend, base.Devices):
            self.backend.detach(volume)

    def purge(self, thing: Volume | Snapshot, trash_id: str, wipe: str = "none") -> None:
        """Trashed and purged."""
        self.trash(thing, trash_id)
        self.backend.ensure_purged(thing, trash_id, wipe, Quiet())

    def trash(self, thing: Volume | Snapshot, trash_id: str) -> None:
        if isinstance(thing, Volume):
            self.backend.ensure_trashed(thing, trash_id)
        else:
            assert isinstance(self.backend, base.SnapshotStore)
            self.backend.ensure_snapshot_trashed(thing, trash_id)

    def settle(self) -> None:
        """What was freed is free: some filesystems take their time."""
        freeze.sync_filesystem(str(self.pool_path))

    def entries(self, where: str) -> set[str]:
        """The ids found there."""
        return {entry.id for entry in self.backend.contents() if entry.where == where}

    def names(self) -> set[str]:
        """Every path in the pool, but for what belongs to the ledger: to see that nothing is left over."""
        root = self.pool_path
        return {str(path.relative_to(root)) for path in root.rglob("*")}

    def _place(self, volume: Volume) -> str:
        if isinstance(self.backend, base.Devices):
            return self.backend.attach(volume)
        assert isinstance(self.backend, base.Directories)
        return f"{self.backend.directory(volume)}/{FILE}"


def pattern(seed: str, length: int) -> bytes:
    """Bytes that are nowhere else: no run of them repeats, and each seed has its own."""
    return hashlib.shake_128(seed.encode()).digest(length)


def discard(fd: int, offset: int, length: int) -> bool:
    """Tell a device that a range is not needed (BLKDISCARD), as mkfs and fstrim do; False if it takes no discards."""
    try:
        fcntl.ioctl(fd, 0x1277, struct.pack("=QQ", offset, length))
    except OSError:
        return False
    return True


def only(chosen: Callable[[Kind], bool]) -> Callable[[Test], Test]:
    """Run a test over those kinds of pool only."""

    def mark(test: Test) -> Test:
        setattr(test, KINDS_OF, chosen)
        return test

    return mark

"""What a backend is: a small core every pool has, and one Protocol per further ability.

What a pool can do is derived from the Protocols its backend satisfies (``abilities``); there is no flag that could lie.
Everything here is called in the pool's own threads and may block. Every ``ensure_…`` looks before it acts, may be
repeated after a crash at any point, and raises domain errors only. Backends never write the ledger; the engine does.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from ..model.health import Ailment
from ..model.pool import PoolConfig, Space
from ..model.snapshot import Snapshot
from ..model.volume import Kind, Volume


class Shape(msgspec.Struct, frozen=True):
    """What a request came to in this backend, checked and complete, before anything is made."""

    kind: Kind
    fs_type: str
    attributes: dict[str, str]
    minimum: int
    """Least size of such a volume, in bytes."""
    default: int = 1 << 30
    """Size when the request names none."""
    maximum: int = 1 << 62


class Entry(msgspec.Struct, frozen=True):
    """Something found in the pool's own directories, as ``doctor`` compares it with the ledger."""

    id: str
    """Volume or snapshot id, or the trash record's id; a name not of ours as it stands."""
    where: str
    """``volume``, ``snapshot``, ``trash`` or ``foreign``."""
    size: int = 0
    allocated: int = 0


class Extent(msgspec.Struct, frozen=True):
    """A run of bytes in a snapshot's own address space."""

    offset: int
    length: int


class Progress(Protocol):
    """How long work reports and is stopped."""

    def report(self, done: int, total: int) -> None:
        """``done`` bytes of ``total`` are written AND durable: a resumed run may start there."""

    def stopped(self) -> bool:
        """True once the work should end early (the driver stops); return without finishing."""


class Backend(Protocol):
    """The core. Constructed as ``cls(config: PoolConfig, root: Path)``; ``root`` is a private directory in the state dir
    for what a backend needs beside the pool (an own image, a mount point)."""

    kind: str
    """The name in ``backend = "…"``."""

    config: PoolConfig

    def open(self) -> None:
        """The pool's directory is there and usable: own image made or attached and mounted if so configured, layout
        directories present. Raises FailedPrecondition/HostFailed/InvalidArgument naming path, found and wanted; then
        nothing was changed. Bad keys in ``config.options`` are InvalidArgument naming the key."""

    def close(self) -> None:
        """Releases what ``open`` took (fds, mounts of ours that nothing uses). Volumes that are staged stay usable."""

    @property
    def home(self) -> str:
        """Path of the pool's own ``.holdall`` directory (ledger, lock), valid after ``open``."""

    def space(self) -> Space:
        """O(1)."""

    def allocated(self) -> int:
        """Bytes the pool's volumes and snapshots take up now. May walk; called rarely."""

    def shape(
        self,
        *,
        kind: Kind,
        fs_type: str,
        parameters: dict[str, str],
        mutable: dict[str, str],
    ) -> Shape:
        """The checked, completed form of a request. Pure. InvalidArgument for an unknown or contradictory parameter,
        filesystem or kind, naming it and what this backend knows. ``parameters`` no longer hold the keys the engine
        itself reads (pool, backend, deviceType, csi.storage.k8s.io/*); ``mutable`` wins over ``parameters``."""

    def ensure_created(self, volume: Volume) -> None:
        """An empty volume of exactly ``volume.size`` exists under its id. Need not be synced when it is empty: a volume
        that is not ``formatted`` and missing after a crash is made again by the next call."""

    def ensure_trashed(self, volume: Volume, trash_id: str) -> None:
        """The volume's data lies in the trash under ``trash_id``; its id is free. Nothing to do when it is not there."""

    def ensure_purged(self, thing: Volume | Snapshot, trash_id: str, wipe: str, progress: Progress) -> None:
        """Nothing under ``trash_id`` is left; the space is given back. ``wipe``: none, discard, zero."""

    def trash_allocated(self, trash_id: str) -> int:
        """Bytes that purging it will give back (an upper bound where extents are shared)."""

    def contents(self) -> Iterator[Entry]:
        """Everything in the pool's directories, ours or not."""

    def exists(self, volume: Volume) -> bool:
        """Whether the volume's data is there."""

    def ailments(self) -> Sequence[Ailment]:
        """What is wrong with the pool itself now (read-only, quota inconsistent ...). Quick; may touch the pool."""

    def volume_ailments(self, volume: Volume) -> Sequence[Ailment]:
        """What is wrong with this volume's data (image gone or shorter than recorded ...)."""


@runtime_checkable
class Devices(Protocol):
    """Volumes are block devices: kind ``block`` as they are, kind ``filesystem`` with a filesystem the node makes."""

    def attach(self, volume: Volume, *, read_only: bool = False) -> str:
        """Path of the device that holds exactly this volume; the same one when already attached."""

    def attached(self, volume: Volume) -> str | None:
        """The device, when attached now."""

    def detach(self, volume: Volume) -> None:
        """Not attached any more. InUse when the kernel still uses it."""

    def is_blank(self, volume: Volume) -> bool:
        """Whether the volume provably holds no data at all."""


@runtime_checkable
class Directories(Protocol):
    """Volumes are directories that the node binds."""

    def directory(self, volume: Volume) -> str:
        """Path of the directory with the volume's content."""

    def mark_used(self, volume: Volume) -> None:
        """The directory itself is durable: called before the first publish of a volume that is not ``formatted``."""


@runtime_checkable
class Snapshots(Protocol):
    """Points in time in constant time, sharing extents with their source."""

    def ensure_cut(self, snapshot: Snapshot, source: Volume) -> None:
        """The snapshot exists, durable and complete, with the source's content as of one moment during this call.
        Called with the source's own filesystem frozen where consistency asks for it."""

    def ensure_volume_from_snapshot(self, volume: Volume, snapshot: Snapshot) -> None:
        """``volume`` exists, durable, with the snapshot's content, and is ``volume.size`` bytes large."""

    def ensure_volume_from_volume(self, volume: Volume, source: Volume) -> None:
        """``volume`` exists, durable, with the source's content as of one moment, ``volume.size`` bytes large."""

    def shares_extents(self) -> bool:
        """Whether this pool's filesystem does it in constant time now. When False the engine uses Copies instead."""


@runtime_checkable
class Copies(Protocol):
    """Snapshots and clones by copying, from a source that nobody has open for writing; resumable."""

    def copy_total(self, source: Volume | Snapshot) -> int:
        """Bytes to be copied, for progress and reservation."""

    def ensure_snapshot_copied(self, snapshot: Snapshot, source: Volume, start: int, progress: Progress) -> None:
        """As ``ensure_cut``, from byte ``start`` on; durable and complete when it returns (unless ``stopped``)."""

    def ensure_volume_copied(self, volume: Volume, source: Volume | Snapshot, start: int, progress: Progress) -> None:
        """As ``ensure_volume_from_…``, from byte ``start`` on."""


@runtime_checkable
class SnapshotStore(Protocol):
    """The rest of a snapshot's life, whichever way it was cut."""

    def snapshot_exists(self, snapshot: Snapshot) -> bool: ...

    def snapshot_allocated(self, snapshot: Snapshot, source: Volume | None) -> int:
        """Bytes to reserve for it at the cut: what it takes up, shared or not."""

    def ensure_snapshot_trashed(self, snapshot: Snapshot, trash_id: str) -> None: ...


@runtime_checkable
class Expansion(Protocol):
    def ensure_resized(self, volume: Volume, size: int) -> None:
        """The volume (file, attached device, quota) is ``size`` bytes, never less than before; the filesystem inside is
        the node's business. Durable. NoSpace when preallocation finds no room, and then unchanged."""

    def needs_node(self, volume: Volume) -> bool:
        """Whether the node must grow a filesystem afterwards."""


@runtime_checkable
class Attributes(Protocol):
    """Settings that may change during a volume's life (CSI ControllerModifyVolume)."""

    def checked_attributes(self, volume: Volume, changes: dict[str, str]) -> dict[str, str]:
        """``volume.attributes`` with ``changes`` applied. Pure. InvalidArgument naming key, value and what is allowed."""

    def ensure_attributes(self, volume: Volume, attributes: dict[str, str]) -> None:
        """They are in force. Repeatable; on failure what was in force before still is."""


@runtime_checkable
class Usage(Protocol):
    """Directory volumes whose use is known without walking, or by a bounded walk."""

    def usage(self, volume: Volume) -> tuple[int, int]:
        """Bytes used, and the limit in force (0: none)."""

    def enforces_size(self) -> bool: ...


@runtime_checkable
class ChangedBlocks(Protocol):
    """CSI SnapshotMetadata. Extents strictly increase and do not overlap."""

    def block_size(self) -> int: ...

    def allocated_extents(self, snapshot: Snapshot, start: int) -> Iterator[Extent]:
        """Runs that may hold data, from byte ``start`` on."""

    def changed_extents(self, base: Snapshot, target: Snapshot, start: int) -> Iterator[Extent]:
        """A superset of the bytes that differ, from byte ``start`` on: base plus these bytes of target is target."""


@runtime_checkable
class Upkeep(Protocol):
    """Work a pool wants done from time to time (a quota rescan)."""

    def chores(self) -> Sequence[tuple[str, Callable[[Progress], None]]]:
        """Name and body of what is due now; usually empty. Quick."""


@runtime_checkable
class Reclaim(Protocol):
    """Where freed space must be handed to what lies below (a sparse image on the host)."""

    def reclaim(self) -> None:
        """What purges freed is free below as well. Called once after a batch of purges, not after each."""


@runtime_checkable
class Frozen(Protocol):
    """Where a live snapshot needs the volume's own filesystem frozen by the engine for a clean cut."""

    def wants_freeze(self, volume: Volume) -> bool: ...


ABILITIES: dict[str, type] = {
    "devices": Devices,
    "directories": Directories,
    "snapshots": Snapshots,
    "copies": Copies,
    "expansion": Expansion,
    "attributes": Attributes,
    "usage": Usage,
    "changed-blocks": ChangedBlocks,
}


def abilities(backend: Backend) -> tuple[str, ...]:
    """The names of what ``backend`` can do, derived from the Protocols it satisfies."""
    return tuple(name for name, protocol in ABILITIES.items() if isinstance(backend, protocol))

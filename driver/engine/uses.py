"""What this node has staged and published: who holds a volume open, and where.

Kept in the state directory without syncs: it must survive a killed process, and a power cut ends the mounts as well.
The node plugin writes it; snapshots, clones, deletes and health read it.
"""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from ..model.capability import Capability
from ..model.volume import Kind


class Target(msgspec.Struct, frozen=True):
    """One published path."""

    capability: Capability
    readonly: bool = False


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """One volume in use on this node. ``device`` is empty for directory volumes."""

    volume_id: str
    staging_path: str
    kind: Kind
    capability: Capability
    device: str = ""
    fs_type: str = ""
    read_only: bool = False
    targets: dict[str, Target] = {}
    inline: bool = False

    @property
    def writable(self) -> bool:
        """Whether anybody could be writing through this use now."""
        if self.device and self.kind == "filesystem":
            return not self.read_only
        return any(not target.readonly for target in self.targets.values())


class Notes(Protocol):
    """Where uses are kept (driver/state/notes.py)."""

    def put(self, key: str, value: bytes) -> None: ...
    def drop(self, key: str) -> None: ...
    def all(self) -> dict[str, bytes]: ...


class Uses:
    """All uses of this node, in memory, written through to ``notes``."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._uses: dict[str, Use] = {}

    def load(self) -> None:
        """As the last process left them. A note that cannot be read is dropped: the node's own look heals it."""
        for key, value in self._notes.all().items():
            try:
                self._uses[key] = msgspec.json.decode(value, type=Use)
            except msgspec.MsgspecError:
                self._notes.drop(key)

    def of(self, volume_id: str) -> Use | None:
        return self._uses.get(volume_id)

    def all(self) -> Iterable[Use]:
        return list(self._uses.values())

    def put(self, use: Use) -> None:
        self._notes.put(use.volume_id, msgspec.json.encode(use))
        self._uses[use.volume_id] = use

    def drop(self, volume_id: str) -> None:
        self._notes.drop(volume_id)
        self._uses.pop(volume_id, None)

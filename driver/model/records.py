"""Everything a ledger can hold, and what it must be able to look records up by."""

from typing import Literal

import msgspec

from .capability import Capability
from .snapshot import Group, Snapshot
from .volume import Volume

RecordKind = Literal["volume", "snapshot", "group", "grant", "trash", "task"]


class Grant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """ControllerPublishVolume, granted: ``volume_id`` may be used on ``node_id``. ``id`` is ``<volume id>@<node hash>``."""

    id: str
    volume_id: str
    node_id: str
    capability: Capability
    readonly: bool = False


class Trash(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A deleted volume or snapshot whose space is not given back yet. ``id`` is unique, also when a name comes again."""

    id: str
    volume: Volume | None = None
    snapshot: Snapshot | None = None
    wipe: str = "none"
    reserved: int = 0
    deleted_at: float = 0.0


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Long work that a restart resumes. ``done`` bytes of ``total`` are durable."""

    id: str
    kind: Literal["fill", "copy", "purge", "rescan"]
    subject: str
    state: Literal["queued", "running", "done", "failed"] = "queued"
    done: int = 0
    total: int = 0
    message: str = ""
    started_at: float = 0.0
    finished_at: float = 0.0


Record = Volume | Snapshot | Group | Grant | Trash | TaskRecord

KINDS: dict[type, RecordKind] = {
    Volume: "volume",
    Snapshot: "snapshot",
    Group: "group",
    Grant: "grant",
    Trash: "trash",
    TaskRecord: "task",
}
TYPES: dict[RecordKind, type[Record]] = {kind: cls for cls, kind in KINDS.items()}


class Index(msgspec.Struct, frozen=True):
    """The columns a ledger indexes beside kind and id. ``reserved`` bytes are summed into the pool's reservations."""

    parent: str = ""
    tag: str = ""
    listed: bool = True
    reserved: int = 0


def index_of(record: Record) -> Index:
    """parent: a snapshot's or grant's volume, a task's subject. tag: a snapshot's group, a grant's node, a source's id."""
    match record:
        case Volume():
            return Index(tag=record.source.id if record.source else "", listed=record.state == "ready",
                         reserved=record.reserved)  # fmt: skip
        case Snapshot():
            return Index(parent=record.source_id, tag=record.group_id, listed=record.state != "cutting",
                         reserved=record.reserved)  # fmt: skip
        case Group():
            return Index(listed=record.state != "cutting")
        case Grant():
            return Index(parent=record.volume_id, tag=record.node_id)
        case Trash():
            return Index(reserved=record.reserved)
        case TaskRecord():
            return Index(parent=record.subject, listed=record.state in ("queued", "running"))

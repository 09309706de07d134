"""Snapshots and group snapshots."""

from typing import Literal

import msgspec

from .volume import Kind


class SnapshotRequest(msgspec.Struct, frozen=True):
    """CreateSnapshot in our words. Topology lists say where volumes made from it must be able to be."""

    name: str
    source_id: str
    parameters: dict[str, str] = {}
    requisite: tuple[dict[str, str], ...] = ()
    preferred: tuple[dict[str, str], ...] = ()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record of one snapshot. ``size`` is the least size of a volume made from it, in bytes.

    ``state``: ``cutting`` (intent, nobody sees it), ``copying`` (the moment is fixed, data still on its way: listed with
    ready_to_use false), ``ready``. ``consistency``: ``filesystem`` (the filesystem was clean or frozen) or ``crash``.
    """

    id: str
    pool_id: str
    name: str
    source_id: str
    size: int
    kind: Kind
    fs_type: str = ""
    state: Literal["cutting", "copying", "ready"] = "ready"
    asked: dict[str, str] = {}
    attributes: dict[str, str] = {}
    formatted: bool = False
    consistency: Literal["filesystem", "crash"] = "filesystem"
    group_id: str = ""
    reserved: int = 0
    created_at: float = 0.0
    """When it was cut; never changes between retries."""

    @property
    def ready(self) -> bool:
        return self.state == "ready"


class GroupRequest(msgspec.Struct, frozen=True):
    """CreateVolumeGroupSnapshot in our words."""

    name: str
    source_ids: tuple[str, ...]
    parameters: dict[str, str] = {}


class Group(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record of a group snapshot, kept in the pool of its first member (by id)."""

    id: str
    pool_id: str
    name: str
    source_ids: tuple[str, ...]
    snapshot_ids: tuple[str, ...]
    state: Literal["cutting", "copying", "ready"] = "ready"
    asked: dict[str, str] = {}
    created_at: float = 0.0


class GroupView(msgspec.Struct, frozen=True):
    """A group snapshot with its members, as answered to a caller."""

    group: Group
    snapshots: tuple[Snapshot, ...]

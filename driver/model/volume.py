"""Volumes, as asked for and as recorded."""

from typing import Literal

import msgspec

from .capability import Capability
from .sizes import SizeRange

Kind = Literal["filesystem", "block"]


class Source(msgspec.Struct, frozen=True):
    """What a new volume starts from."""

    kind: Literal["volume", "snapshot"]
    id: str


class VolumeRequest(msgspec.Struct, frozen=True):
    """CreateVolume in our words. ``mutable`` wins over ``parameters``. Topology lists are CSI's requisite and preferred."""

    name: str
    capabilities: tuple[Capability, ...]
    size: SizeRange = SizeRange()
    parameters: dict[str, str] = {}
    mutable: dict[str, str] = {}
    source: Source | None = None
    requisite: tuple[dict[str, str], ...] = ()
    preferred: tuple[dict[str, str], ...] = ()


class Volume(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record of one volume, as the pool's ledger keeps it. Sizes in bytes, times in Unix seconds.

    ``asked`` and ``asked_mutable`` are the parameters of the first request, kept to tell a retry from a conflict;
    ``attributes`` are the mutable settings in force now. ``formatted`` false means: new, never formatted, provably
    holding nothing of anybody's. ``fresh_uuid`` means: a copy whose filesystem still carries its source's UUID.
    ``grow`` means: the filesystem inside may be smaller than ``size`` and must be grown at the next stage.
    """

    id: str
    pool_id: str
    name: str
    kind: Kind
    size: int
    fs_type: str = ""
    state: Literal["filling", "ready"] = "ready"
    asked: dict[str, str] = {}
    asked_mutable: dict[str, str] = {}
    attributes: dict[str, str] = {}
    source: Source | None = None
    context: dict[str, str] = {}
    formatted: bool = False
    fresh_uuid: bool = False
    grow: bool = False
    reserved: int = 0
    created_at: float = 0.0

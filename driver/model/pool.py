"""Pools as configured and as shown."""

import re
from typing import Any

import msgspec

from .errors import InvalidArgument
from .health import Ailment

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
"""What a pool may be called: it becomes the name of a directory, and people write it in StorageClasses."""


def checked_name(name: str) -> str:
    """``name``. InvalidArgument when no pool may be called so."""
    if not NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name!r} cannot be the name of a pool; wanted 1 to 63 letters, digits, dots or dashes that begin and end "
            "with a letter or digit"
        )
    return name


class PoolConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One ``[[pool]]`` table. ``options`` are the backend's own keys, checked by the backend itself."""

    name: str
    backend: str
    path: str = ""
    device_class: str = ""
    thin_factor: float = 1.0
    floor: int = 0
    schedulable: bool = True
    options: dict[str, Any] = {}


class Space(msgspec.Struct, frozen=True):
    """Bytes of the filesystem (or device) a pool stands on: ``total``, and ``free`` for more data right now."""

    total: int
    free: int


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """A pool as shown to people and to placement. Sizes in bytes."""

    id: str
    name: str
    backend: str
    path: str
    node_id: str
    device_class: str
    topology: dict[str, str]
    schedulable: bool
    abilities: tuple[str, ...]
    total: int = 0
    available: int = 0
    reserved: int = 0
    maximum_volume_size: int = 0
    minimum_volume_size: int = 0
    volumes: int = 0
    snapshots: int = 0
    ailments: tuple[Ailment, ...] = ()
    reachable: bool = True

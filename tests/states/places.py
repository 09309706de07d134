"""Pools to die in: one per backend and way of copying, each on a real filesystem of its own."""

from pathlib import Path
from typing import Any

import msgspec


class Place(msgspec.Struct, frozen=True):
    """Where a pool lies. ``shares``: snapshots take constant time there."""

    name: str
    backend: str
    path: Path
    shares: bool
    options: dict[str, Any] = {}

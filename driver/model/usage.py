"""What a node tells about itself and about the volumes in use on it."""

from typing import Literal

import msgspec


class UsageRow(msgspec.Struct, frozen=True):
    """CSI VolumeUsage: one measure of one volume. ``used`` and ``available`` are None where nobody can know (block)."""

    unit: Literal["bytes", "inodes"]
    total: int
    used: int | None = None
    available: int | None = None


class NodeInfo(msgspec.Struct, frozen=True):
    """CSI NodeGetInfo. ``topology`` is the same for the node's whole life (kubelet refuses a changed value)."""

    node_id: str
    max_volumes: int
    topology: dict[str, str]

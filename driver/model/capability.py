"""How a volume may be reached: CSI's VolumeCapability in our words."""

import enum
from typing import Literal

import msgspec


class AccessMode(enum.IntEnum):
    """CSI VolumeCapability.AccessMode.Mode, same numbers."""

    UNKNOWN = 0
    SINGLE_NODE_WRITER = 1
    SINGLE_NODE_READER_ONLY = 2
    MULTI_NODE_READER_ONLY = 3
    MULTI_NODE_SINGLE_WRITER = 4
    MULTI_NODE_MULTI_WRITER = 5
    SINGLE_NODE_SINGLE_WRITER = 6
    SINGLE_NODE_MULTI_WRITER = 7

    @property
    def reads_only(self) -> bool:
        return self in (AccessMode.SINGLE_NODE_READER_ONLY, AccessMode.MULTI_NODE_READER_ONLY)

    @property
    def one_target(self) -> bool:
        """Whether a second target path on one node is refused (CSI NodePublishVolume, table T1/T2)."""
        return self in (
            AccessMode.SINGLE_NODE_WRITER,
            AccessMode.SINGLE_NODE_READER_ONLY,
            AccessMode.SINGLE_NODE_SINGLE_WRITER,
        )

    @property
    def many_nodes(self) -> bool:
        return self in (
            AccessMode.MULTI_NODE_READER_ONLY,
            AccessMode.MULTI_NODE_SINGLE_WRITER,
            AccessMode.MULTI_NODE_MULTI_WRITER,
        )


class Capability(msgspec.Struct, frozen=True):
    """One way a volume is asked for. ``fs_type`` and ``mount_flags`` belong to access ``mount``."""

    access: Literal["mount", "block"]
    mode: AccessMode = AccessMode.SINGLE_NODE_WRITER
    fs_type: str = ""
    mount_flags: tuple[str, ...] = ()
    mount_group: str = ""

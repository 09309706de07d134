"""Health as CSI 1.13 words it: an empty list is healthy; each status has a reason that stays while the problem stays."""

import enum

import msgspec


class Status(enum.IntEnum):
    """CSI VolumeHealth status numbers."""

    DEGRADED = 1
    INACCESSIBLE = 2
    DATA_LOSS = 3


STATUSES = frozenset(Status)
"""Another number is of a later CSI."""


class Ailment(msgspec.Struct, frozen=True):
    """One problem: ``reason`` is CamelCase and unique with its status per object; ``message`` is for people."""

    status: Status
    reason: str
    message: str

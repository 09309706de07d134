"""The disk below a path: what kind it is, and how busy."""

from typing import Literal

import msgspec


class DiskFacts(msgspec.Struct, frozen=True):
    """A disk. ``name`` as in /sys/block (empty: no disk below, as on tmpfs); ``wwn`` and ``serial`` empty if it has none."""

    device_class: Literal["ssd", "hdd", "nvme", "unknown"]
    name: str
    wwn: str
    serial: str


class IoCounters(msgspec.Struct, frozen=True):
    """What a block device has done since it appeared."""

    read_bytes: int
    write_bytes: int
    read_ops: int
    write_ops: int
    read_seconds: float
    write_seconds: float


def describe(path: str) -> DiskFacts:
    """The disk below ``path``, through partitions, loop devices and mappings to their parents. Raises HostFailed."""
    raise NotImplementedError


def io_counters(device_name: str) -> IoCounters:
    """The counters of a device by its name in /sys/class/block. Raises NotFound when it is gone, HostFailed."""
    raise NotImplementedError

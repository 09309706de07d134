"""Pools and volumes as Prometheus sees them, read when it asks and not before."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

log = structlog.get_logger()


class Trouble(msgspec.Struct, frozen=True):
    """One health status, by name, with its reason."""

    status: str
    reason: str


class PoolReading(msgspec.Struct, frozen=True, kw_only=True):
    """A pool now. Sizes in bytes."""

    id: str
    name: str
    backend: str
    reachable: bool
    total: int
    available: int
    reserved: int
    volumes: int
    snapshots: int
    troubles: tuple[Trouble, ...] = ()


class Io(msgspec.Struct, frozen=True):
    """What a volume's device has done since it was attached."""

    read_bytes: int
    write_bytes: int
    read_ops: int
    write_ops: int
    read_seconds: float
    write_seconds: float


class VolumeReading(msgspec.Struct, frozen=True, kw_only=True):
    """A volume in use on this node. Sizes in bytes; None where it is not known."""

    id: str
    pool_id: str
    size: int | None = None
    used: int | None = None
    available: int | None = None
    inodes: int | None = None
    inodes_used: int | None = None
    io: Io | None = None
    troubles: tuple[Trouble, ...] = ()


_POOL = ("pool_id", "pool", "backend")
_VOLUME = ("volume_id", "pool_id")
_POOL_GAUGES = (
    ("total", "holdall_pool_size_bytes", "Size of the pool."),
    ("available", "holdall_pool_available_bytes", "What may still be promised to volumes."),
    ("reserved", "holdall_pool_reserved_bytes", "Promised to volumes, snapshots and trash."),
    ("volumes", "holdall_pool_volumes", "Volumes in the pool."),
    ("snapshots", "holdall_pool_snapshots", "Snapshots in the pool."),
    ("reachable", "holdall_pool_reachable", "1 while the pool answers."),
)
_VOLUME_GAUGES = (
    ("size", "holdall_volume_size_bytes", "Size of the volume."),
    ("used", "holdall_volume_used_bytes", "Bytes in use."),
    ("available", "holdall_volume_available_bytes", "Bytes its user can still take."),
    ("inodes", "holdall_volume_inodes", "Inodes there are."),
    ("inodes_used", "holdall_volume_inodes_used", "Inodes in use."),
)
_IO_COUNTERS = (
    ("read_bytes", "holdall_volume_read_bytes", "Bytes read since the volume was attached."),
    ("write_bytes", "holdall_volume_written_bytes", "Bytes written since the volume was attached."),
    ("read_ops", "holdall_volume_reads", "Reads completed since the volume was attached."),
    ("write_ops", "holdall_volume_writes", "Writes completed since the volume was attached."),
    ("read_seconds", "holdall_volume_read_seconds", "Time spent reading, summed over the reads."),
    ("write_seconds", "holdall_volume_write_seconds", "Time spent writing, summed over the writes."),
)


class Readings(Collector):
    """Asks ``pools`` and ``volumes`` at every scrape. One that fails is left out, counted and logged; the other shows.

    Both are called in the scrape's thread and must come back by themselves: a hung store must not stop the scrape.
    """

    def __init__(
        self, pools: Callable[[], Iterable[PoolReading]], volumes: Callable[[], Iterable[VolumeReading]]
    ) -> None:
        self._pools = pools
        self._volumes = volumes

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not already read the stores."""
        return ()

    def collect(self) -> Iterator[Metric]:
        failed = GaugeMetricFamily(
            "holdall_reading_failed", "1 where this scrape could not be complete.", labels=["of"]
        )
        pools, bad = _read("pools", self._pools)
        failed.add_metric(["pools"], bad)
        volumes, bad = _read("volumes", self._volumes)
        failed.add_metric(["volumes"], bad)
        yield failed
        yield from _gauges(_POOL_GAUGES, _POOL, [(_pool_labels(one), one) for one in pools])
        yield from _gauges(_VOLUME_GAUGES, _VOLUME, [(_volume_labels(one), one) for one in volumes])
        yield from _counters([(_volume_labels(one), one.io) for one in volumes if one.io])
        yield _troubles("holdall_pool_trouble", _POOL, [(_pool_labels(one), one.troubles) for one in pools])
        yield _troubles("holdall_volume_trouble", _VOLUME, [(_volume_labels(one), one.troubles) for one in volumes])


def _read(of: str, read: Callable[[], Iterable[Any]]) -> tuple[list[Any], int]:
    try:
        return list(read()), 0
    except Exception as error:
        log.warning("reading failed", of=of, message=str(error))
        return [], 1


def _pool_labels(pool: PoolReading) -> list[str]:
    return [pool.id, pool.name, pool.backend]


def _volume_labels(volume: VolumeReading) -> list[str]:
    return [volume.id, volume.pool_id]


def _gauges(
    table: Iterable[tuple[str, str, str]], labels: tuple[str, ...], rows: list[tuple[list[str], Any]]
) -> Iterator[Metric]:
    for field, name, words in table:
        family = GaugeMetricFamily(name, words, labels=labels)
        for values, row in rows:
            if (value := getattr(row, field)) is not None:
                family.add_metric(values, float(value))
        yield family


def _counters(rows: list[tuple[list[str], Io]]) -> Iterator[Metric]:
    for field, name, words in _IO_COUNTERS:
        family = CounterMetricFamily(name, words, labels=_VOLUME)
        for values, io in rows:
            family.add_metric(values, float(getattr(io, field)))
        yield family


def _troubles(name: str, labels: tuple[str, ...], rows: list[tuple[list[str], tuple[Trouble, ...]]]) -> Metric:
    family = GaugeMetricFamily(name, "1 while this is wrong.", labels=(*labels, "status", "reason"))
    for values, troubles in rows:
        for trouble in troubles:
            family.add_metric([*values, trouble.status, trouble.reason], 1)
    return family

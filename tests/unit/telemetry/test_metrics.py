"""The metrics port and what is read at a scrape."""

import urllib.request
from collections.abc import Iterable

import pytest
from prometheus_client import generate_latest

from driver.telemetry import pages
from driver.telemetry.metrics import Metrics
from driver.telemetry.readings import Io, PoolReading, Readings, Trouble, VolumeReading

POOL = PoolReading(
    id="p0", name="ssd", backend="image", reachable=True, total=100, available=40, reserved=60, volumes=2, snapshots=1,
    troubles=(Trouble("DEGRADED", "PoolNearlyFull"),),
)  # fmt: skip
VOLUME = VolumeReading(
    id="p0.v-a", pool_id="p0", size=10, used=4, available=6, inodes=9, inodes_used=2, io=Io(1, 2, 3, 4, 0.5, 0.25)
)


def scraped(metrics: Metrics) -> list[str]:
    return generate_latest(metrics.registry).decode().splitlines()


def test_a_pool_is_shown_with_its_room_and_its_troubles() -> None:
    """What an operator alerts on."""
    metrics = Metrics()
    metrics.add(Readings(lambda: [POOL], list))

    labels = 'backend="image",pool="ssd",pool_id="p0"'
    lines = scraped(metrics)
    assert f"holdall_pool_available_bytes{{{labels}}} 40.0" in lines
    assert f"holdall_pool_reachable{{{labels}}} 1.0" in lines
    assert f'holdall_pool_trouble{{{labels},reason="PoolNearlyFull",status="DEGRADED"}} 1.0' in lines


def test_a_volumes_io_is_counted_as_prometheus_counts() -> None:
    """Counters end in _total, units are bytes and seconds (Prometheus naming)."""
    metrics = Metrics()
    metrics.add(Readings(list, lambda: [VOLUME]))

    lines = scraped(metrics)
    assert 'holdall_volume_read_bytes_total{pool_id="p0",volume_id="p0.v-a"} 1.0' in lines
    assert 'holdall_volume_write_seconds_total{pool_id="p0",volume_id="p0.v-a"} 0.25' in lines
    assert "# TYPE holdall_volume_reads_total counter" in lines


def test_what_is_not_known_is_not_shown() -> None:
    """A block volume has no inodes; a zero would be a lie."""
    metrics = Metrics()
    metrics.add(Readings(list, lambda: [VolumeReading(id="v", pool_id="p0", size=1)]))

    lines = scraped(metrics)
    assert not [line for line in lines if line.startswith("holdall_volume_inodes{")]
    assert not [line for line in lines if line.startswith("holdall_volume_read_bytes_total{")]


def test_volumes_that_cannot_be_read_do_not_hide_the_pools() -> None:
    """A scrape is never lost to one failing part, and says that it is not complete."""

    def broken() -> Iterable[VolumeReading]:
        raise OSError("gone")

    metrics = Metrics()
    metrics.add(Readings(lambda: [POOL], broken))

    lines = scraped(metrics)
    assert 'holdall_reading_failed{of="volumes"} 1.0' in lines
    assert 'holdall_reading_failed{of="pools"} 0.0' in lines
    assert 'holdall_pool_volumes{backend="image",pool="ssd",pool_id="p0"} 2.0' in lines


def test_nothing_is_read_before_it_is_asked_for() -> None:
    """Stores are looked at when Prometheus asks, not when the driver starts."""
    asked: list[str] = []
    metrics = Metrics()
    metrics.add(Readings(lambda: asked.append("pools") or [], lambda: asked.append("volumes") or []))
    assert asked == []

    scraped(metrics)
    assert asked == ["pools", "volumes"]


def test_the_port_serves_until_closed() -> None:
    """``--metrics-address``: HTTP on the address given, and only there."""
    metrics = Metrics()
    metrics.rpcs.labels("csi.v1.Identity", "Probe", "OK").inc()
    port = pages.serve("127.0.0.1:0", pages.pages(metrics, {}))
    try:
        body = urllib.request.urlopen(f"http://127.0.0.1:{port.number}/metrics", timeout=5).read().decode()
    finally:
        port.close()

    assert 'holdall_rpc_total{code="OK",method="Probe",service="csi.v1.Identity"} 1.0' in body
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port.number}/metrics", timeout=5)


@pytest.mark.parametrize("address", ["", "9090", "host", "host:", "host:http", "host:70000"])
def test_an_address_that_is_none_is_refused_with_the_form_wanted(address: str) -> None:
    """HOST:PORT."""
    with pytest.raises(ValueError, match=r"is not HOST:PORT, such as 127\.0\.0\.1:9090 or :9090"):
        pages.serve(address, pages.pages(Metrics(), {}))

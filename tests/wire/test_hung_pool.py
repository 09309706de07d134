"""A hung pool beside a healthy one: a FUSE filesystem that stops answering under the real server.

The FUSE daemon is Debian's bindfs, stopped by SIGSTOP and continued by SIGCONT: the kernel waits for it as it would for a
dead server.
"""

import os
import signal
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from csi.v1 import csi_pb2
from tests import fuse as fuse_filesystem
from tests.daemon import Daemon, Stubs
from tests.fuse import Fuse

FULL = os.environ.get("HOLDALL_PROOF") == "full"
HUNG_CALLS = 1000 if FULL else 100


@pytest.fixture
def fuse(tmp_path: Path) -> Iterator[Fuse]:
    """A FUSE mount and the pid of its daemon."""
    with fuse_filesystem.mounted(tmp_path) as made:
        yield made


@pytest.fixture
def daemon(tmp_path: Path, fuse: Fuse) -> Iterator[Daemon]:
    healthy = tmp_path / "healthy"
    healthy.mkdir()
    config = f"""
pool_threads = 4
pool_patience = 2.0
[[pool]]
name = "healthy"
backend = "directory"
path = "{healthy}"
[[pool]]
name = "hung"
backend = "directory"
path = "{fuse[0]}"
"""
    with Daemon(tmp_path / "driver", config=config) as daemon:
        yield daemon


def _request(name: str, pool: str) -> csi_pb2.CreateVolumeRequest:
    request = csi_pb2.CreateVolumeRequest(name=name, parameters={"pool": pool})
    request.capacity_range.required_bytes = 1 << 20
    capability = request.volume_capabilities.add()
    capability.mount.SetInParent()
    capability.access_mode.mode = csi_pb2.VolumeCapability.AccessMode.SINGLE_NODE_WRITER
    return request


def _seconds(stubs: Stubs, round_name: str, count: int = 40) -> tuple[float, float]:
    """Median seconds of a create on the healthy pool, and of a Probe."""
    creates, probes = [], []
    for number in range(count):
        started = time.perf_counter()
        stubs.controller.CreateVolume(_request(f"{round_name}-{number}", "healthy"), timeout=10)
        creates.append(time.perf_counter() - started)
        started = time.perf_counter()
        assert stubs.identity.Probe(csi_pb2.ProbeRequest(), timeout=10).ready.value
        probes.append(time.perf_counter() - started)
    return statistics.median(creates), statistics.median(probes)


def test_a_hung_pool_slows_nobody_else_and_mends(daemon: Daemon, fuse: Fuse) -> None:
    """Rule: a hung store must not slow another, and serves again once it answers."""
    with Stubs(daemon.endpoint) as stubs:
        made = stubs.controller.CreateVolume(_request("before", "hung"), timeout=10)
        before = _seconds(stubs, "before")
        os.kill(fuse[1], signal.SIGSTOP)
        with ThreadPoolExecutor(max_workers=HUNG_CALLS) as callers:
            hung = [
                callers.submit(stubs.controller.CreateVolume, _request(f"hung-{n}", "hung"), timeout=8)
                for n in range(HUNG_CALLS)
            ]
            time.sleep(0.5)
            during = _seconds(stubs, "during")
            codes = {_code(call) for call in hung}
        # Ten times is far beyond noise; what hangs would take the whole ten-second deadline.
        assert during[0] < 10 * before[0] + 0.05
        assert during[1] < 10 * before[1] + 0.05
        assert codes <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
        assert grpc.StatusCode.UNAVAILABLE in codes
        health = stubs.controller.ControllerGetVolumeHealth(
            csi_pb2.ControllerGetVolumeHealthRequest(volume_id=made.volume.volume_id), timeout=10
        )
        assert "PoolUnreachable" in str(health)
        os.kill(fuse[1], signal.SIGCONT)
        until = time.monotonic() + 30
        while True:
            try:
                again = stubs.controller.CreateVolume(_request("before", "hung"), timeout=10)
                break
            except grpc.RpcError as error:
                assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED)
                assert time.monotonic() < until, "the pool answers again and is still refused"
                time.sleep(0.2)
        assert again.volume.volume_id == made.volume.volume_id
        assert stubs.controller.CreateVolume(_request("after", "hung"), timeout=10).volume.volume_id
    assert daemon.stop() == 0


def _code(call: "Future[object]") -> grpc.StatusCode:
    try:
        call.result()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK

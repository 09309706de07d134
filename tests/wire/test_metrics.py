"""What Prometheus reads of a real driver: RPCs, pools, volumes and their devices; and that nothing makes it wait."""

import os
import re
import signal
import time
import urllib.request
from pathlib import Path

from driver.cli.observed import BUDGET
from tests.daemon import Daemon
from tests.fuse import Fuse

from .command import Holdall, directory, holdall, hung

__all__ = ["directory", "holdall", "hung"]

MIB = 1 << 20


class Scraper:
    """Reads the metrics port of a driver."""

    def __init__(self, daemon: Daemon) -> None:
        ready = next(line for line in daemon.lines if line["event"] == "ready")
        self._address = f"http://127.0.0.1:{ready['metrics_port']}/metrics"

    def read(self) -> str:
        with urllib.request.urlopen(self._address, timeout=30) as answer:
            text: bytes = answer.read()
        return text.decode()


def value(text: str, name: str, **labels: str) -> float | None:
    """The one sample of that name with these labels, if there is one."""
    wanted = [f'{key}="{label}"' for key, label in labels.items()]
    found = [
        float(match[2])
        for match in re.finditer(rf"^{name}(\{{.*\}})? (\S+)$", text, re.MULTILINE)
        if all(one in (match[1] or "") for one in wanted)
    ]
    assert len(found) <= 1, f"{name} {labels}: {found}"
    return found[0] if found else None


def test_a_pool_a_volume_and_its_device_are_measured(directory: Path, holdall: Holdall) -> None:
    """Room and counts of the pool; usage, inodes and IO of the volume while it is mounted, and not a moment longer."""
    with Daemon(directory, options=["--metrics-address", "127.0.0.1:0"]) as daemon:
        scraper = Scraper(daemon)
        volume_id = holdall.json("volume", "create", "data", "--size", "64MiB")["id"]
        holdall.well("mount", "data", directory / "data")
        (directory / "data" / "file").write_bytes(os.urandom(8 * MIB))
        os.sync()
        text = scraper.read()
        assert value(text, "holdall_pool_reachable", pool="default") == 1
        assert value(text, "holdall_pool_volumes", pool="default") == 1
        assert value(text, "holdall_pool_reserved_bytes", pool="default") == 64 * MIB
        assert (value(text, "holdall_pool_available_bytes", pool="default") or 0) > 0
        assert (value(text, "holdall_volume_used_bytes", volume_id=volume_id) or 0) >= 8 * MIB
        assert (value(text, "holdall_volume_inodes_used", volume_id=volume_id) or 0) >= 2
        assert (value(text, "holdall_volume_written_bytes_total", volume_id=volume_id) or 0) >= 8 * MIB
        assert (value(text, "holdall_volume_writes_total", volume_id=volume_id) or 0) > 0
        assert value(text, "holdall_volume_write_seconds_total", volume_id=volume_id) is not None
        assert value(text, "holdall_rpc_total", method="CreateVolume", code="OK") == 1
        assert value(text, "holdall_reading_failed", of="volumes") == 0
        holdall.well("umount", "data")
        assert value(scraper.read(), "holdall_volume_used_bytes", volume_id=volume_id) is None
        assert daemon.stop() == 0


def test_a_hung_pool_does_not_hold_up_the_scrape(directory: Path, holdall: Holdall, hung: Fuse) -> None:
    """The healthy pool's volume is measured, the hung one's is shown as unreachable, and mends by itself."""
    mount, pid, _ = hung
    (directory / "healthy").mkdir()
    config = "pool_patience = 2\n" + "".join(
        f'[[pool]]\nname = "{name}"\nbackend = "directory"\npath = "{path}"\n'
        for name, path in (("healthy", directory / "healthy"), ("hung", mount))
    )
    with Daemon(directory, config=config, options=["--metrics-address", "127.0.0.1:0"]) as daemon:
        scraper = Scraper(daemon)
        found = {}
        for pool in ("healthy", "hung"):
            found[pool] = holdall.json("volume", "create", f"in-{pool}", "--size", "1MiB", "--pool", pool)["id"]
            holdall.well("mount", f"in-{pool}", directory / f"in-{pool}")
        assert value(scraper.read(), "holdall_volume_used_bytes", volume_id=found["hung"]) is not None
        os.kill(pid, signal.SIGSTOP)
        for _ in range(3):
            began = time.monotonic()
            text = scraper.read()
            assert time.monotonic() - began < 2 * BUDGET + 1
            assert value(text, "holdall_volume_used_bytes", volume_id=found["healthy"]) is not None
            assert value(text, "holdall_volume_used_bytes", volume_id=found["hung"]) is None
            trouble = {"volume_id": found["hung"], "reason": "MountUnreachable", "status": "INACCESSIBLE"}
            assert value(text, "holdall_volume_trouble", **trouble) == 1
        os.kill(pid, signal.SIGCONT)
        until = time.monotonic() + 20
        while value(scraper.read(), "holdall_volume_used_bytes", volume_id=found["hung"]) is None:
            assert time.monotonic() < until, "the volume did not mend"
            time.sleep(0.2)
        for pool in found:
            holdall.well("umount", f"in-{pool}")
        assert daemon.stop() == 0

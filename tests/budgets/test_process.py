"""Memory and start-up of real processes: reported, and held to bounds that only a mistake passes."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon import Daemon

MEGABYTE = 1_000_000
BOUND = 120 * MEGABYTE
"""A client library imported by accident is 40 MB more; the node has about 60."""
SETTLED = 1.0
"""Seconds after which a process that does nothing has the memory it keeps."""


def pool(directory: Path) -> str:
    (directory / "pool").mkdir()
    return f'[[pool]]\nname = "a"\nbackend = "image"\npath = "{directory}/pool"\n'


def configuration(role: str, directory: Path) -> str:
    if role == "controller":
        return f'[[node]]\nname = "n"\nendpoint = "unix://{directory}/n.sock"\n'
    return pool(directory)


@pytest.mark.parametrize("role", ["all", "node", "controller"])
def test_an_idle_process_is_small(role: str, socket_path: Path, figure: Callable[[str, float], None]) -> None:
    """Resident memory of each role with one pool and nothing to do; start-up from exec to the ready line."""
    daemon = Daemon(socket_path, role=role, config=configuration(role, socket_path))
    began = time.perf_counter()
    with daemon:
        figure(f"{role}: exec to ready, seconds", time.perf_counter() - began)
        ready = next(line for line in daemon.lines if line.get("event") == "ready")
        figure(f"{role}: start-up by its own account, seconds", float(ready["start_seconds"]))
        time.sleep(SETTLED)
        resident = daemon.rss()
        figure(f"{role}: idle resident memory, MB", resident / MEGABYTE)
        assert resident < BOUND
        assert daemon.stop() == 0

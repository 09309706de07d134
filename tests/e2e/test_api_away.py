"""The Kubernetes API is away for a minute: pods write on, and what was asked for before is done afterwards."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import pytest

from .cluster.cluster import Cluster
from .driver import Driver
from .space import Space
from .writer import Writer

pytestmark = pytest.mark.timeout(900)

AWAY = {"away": 60.0, "hung": 40.0}
"""Seconds. Longer than any Lease."""


def _fault(cluster: Cluster, how: str) -> Callable[[], AbstractContextManager[None]]:
    return {"away": cluster.api_away, "hung": cluster.api_hung}[how]


@pytest.mark.parametrize("how", ["away", "hung"])
def test_pods_write_on_and_all_converges(space: Space, driver: Driver, classes: Mapping[str, str], how: str) -> None:
    """No writer pauses; claims that were being made, grown and deleted when the API went are done when it is back."""
    writers = []
    for fs_type, name in classes.items():
        space.claim(fs_type, "320Mi", storageClassName=name)
        writers.append(Writer(space, fs_type, fs_type))
    space.claim("gone")
    space.pod("gone", {"/data": "gone"})
    space.ready(*(writer.name for writer in writers))
    before = [writer.wait_for_more() for writer in writers]
    late = [f"late-{index}" for index in range(4)]
    for name in late:
        space.claim(name)
        space.pod(name, {"/data": name}, ready=False)
    space.grow("xfs", "480Mi")
    space.kubectl("delete", "pod/gone", "pvc/gone", "--wait=false")
    with _fault(space.cluster, how)():
        time.sleep(AWAY[how])
    began = time.monotonic()
    space.ready(*late, patience=180)
    space.grown("xfs", "480Mi")
    space.kubectl("wait", "--for=delete", "--timeout=120s", "pvc/gone", timeout=150)
    driver.ready()
    print(f"all converged {time.monotonic() - began:.1f} s after the API was back")
    after = [writer.wait_for_more() for writer in writers]
    assert [state.mount for state in after] == [state.mount for state in before]
    assert max(state.longest_pause for state in after) <= 5
    driver.check_nothing_doubled()

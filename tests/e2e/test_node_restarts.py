"""kubelet or the node plugin ends while pods start, grow and go: all come up, none is doubled, no data is lost."""

import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from signal import SIGKILL
from typing import Any

import pytest

from .cluster.cluster import Cluster
from .conftest import FILESYSTEMS
from .driver import Driver
from .installation import DRIVER
from .space import Space, only
from .writer import Writer

pytestmark = pytest.mark.timeout(900)

NODE = "node-1"
ON_NODE: Any = {"nodeSelector": {"kubernetes.io/hostname": NODE}}
PODS = 3
"""Of each filesystem, at once."""


@contextmanager
def killed(driver: Driver, seed: int) -> Iterator[list[float]]:
    """Within the block the node plugin of NODE is killed again and again, each time after up to 6 s of life, of which the
    start takes about one.

    Gives the seconds each one had lived. Afterwards it runs and is ready.
    """
    dice, over, lives = random.Random(seed), threading.Event(), list[float]()
    pod = driver.node_pod(NODE)

    def work() -> None:
        while not over.wait(life := dice.uniform(1.0, 6.0)):
            if driver.kill(pod):
                lives.append(life)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield lives
    finally:
        over.set()
        thread.join()
        driver.ready()


@pytest.fixture
def here(space: Space) -> Mapping[str, str]:
    """For each filesystem a StorageClass whose claims are bound at once, to a volume on NODE."""
    names = {}
    for fs_type, backend in FILESYSTEMS.items():
        names[fs_type] = f"{space.name}-{fs_type}"
        space.apply(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": names[fs_type]},
                "provisioner": DRIVER,
                "allowVolumeExpansion": True,
                "parameters": {"backend": backend, "csi.storage.k8s.io/fstype": fs_type},
                "allowedTopologies": only(NODE),
            }
        )
    return names


def mounts_of(cluster: Cluster, volume: str) -> list[str]:
    """Lines of the node's mount table, and its loop devices, that name the volume."""
    said = cluster.node(NODE).run("cat", "/proc/1/mountinfo") + cluster.node(NODE).run("losetup", "-a")
    return [line for line in said.splitlines() if volume in line]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_node_plugin_is_killed_while_pods_start_grow_and_go(
    space: Space, driver: Driver, here: Mapping[str, str], seed: int
) -> None:
    """Killed at random moments of stage, publish, expand, unpublish, unstage: each pod comes up with an empty volume,
    what it writes is there, the volume grows, and nothing of it is left when pod and claim are gone."""
    names = [f"{fs_type}-{index}" for fs_type in here for index in range(PODS)]
    # ext4 grows under its pod only where the kernel lets it (docs/limitations.md).
    growing = [name for name in names if not name.startswith("ext4")]
    for name in names:
        # xfs has at least 300 MiB (mkfs.xfs(8)), btrfs 109.
        space.claim(name, "320Mi", storageClassName=here[name.partition("-")[0]])
    space.kubectl("wait", "--for=jsonpath={.status.phase}=Bound", "--timeout=60s", "pvc", "--all")
    with killed(driver, seed) as lives:
        for name in names:
            space.pod(name, {"/data": name}, ready=False)
        time.sleep(20)
    assert len(lives) >= 3
    space.ready(*names, patience=180)
    for name in names:
        write = "ls -A /data; head -c 3000000 /dev/urandom >/data/random; md5sum /data/random >/data/sum; sync"
        assert space.sh(name, write) in ("", "lost+found\n")
    with killed(driver, seed + 100):
        for name in growing:
            space.grow(name, "480Mi")
        time.sleep(15)
    for name in growing:
        space.grown(name, "480Mi", 180)
    for name in names:
        assert "OK" in space.sh(name, "md5sum -c /data/sum")
    with killed(driver, seed + 200):
        space.kubectl("delete", "pods", "--all", "--wait=false")
        time.sleep(10)
    space.kubectl("wait", "--for=delete", "--timeout=180s", "pods", "--all", timeout=200)
    for name in names:
        space.pod(name, {"/data": name}, ready=False)
    space.ready(*names, patience=180)
    for name in names:
        assert "OK" in space.sh(name, "md5sum -c /data/sum")
    for name in growing:
        if name.startswith("xfs"):
            assert int(space.sh(name, "df -k /data | tail -n 1 | awk '{print $2}'")) > 400 * 1024
    handles = [space.volume_of(name)["spec"]["csi"]["volumeHandle"] for name in names]
    with killed(driver, seed + 300):
        space.kubectl("delete", "pods", "--all", "--wait=false")
        space.kubectl("delete", "pvc", "--all", "--wait=false")
        time.sleep(10)
    space.kubectl("wait", "--for=delete", "--timeout=180s", "pods", "--all", timeout=200)
    driver.check_nothing_doubled()
    assert [line for handle in handles for line in mounts_of(space.cluster, handle)] == []


def test_kubelet_restarts_while_pods_start_and_write(space: Space, driver: Driver, classes: Mapping[str, str]) -> None:
    """Killed and started again: who writes goes on in the same mount, who was starting comes up, and the driver is
    registered with the new kubelet."""
    writers = []
    for fs_type, name in classes.items():
        space.claim(fs_type, "320Mi", storageClassName=name)
        writers.append(Writer(space, fs_type, fs_type, NODE))
    space.ready(*(writer.name for writer in writers))
    before = [writer.wait_for_more() for writer in writers]
    pods = [f"late-{index}" for index in range(PODS)]
    kubelet = space.cluster.node(NODE)
    for name in pods:
        space.claim(name)
        space.pod(name, {"/data": name}, ready=False, **ON_NODE)
    for pause in (0.5, 2.0):
        time.sleep(pause)
        kubelet.stop("kubelet", SIGKILL)
        kubelet.start("kubelet")
    space.ready(*pods, patience=180)
    for name in pods:
        space.sh(name, "echo here >/data/file && sync && grep -q here /data/file")
    after = [writer.wait_for_more() for writer in writers]
    assert [state.mount for state in after] == [state.mount for state in before]
    assert max(state.longest_pause for state in after) <= 5
    driver.check_nothing_doubled()

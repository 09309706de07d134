"""Holdall is replaced by another image while volumes are in use: no IO fails, and no mount is made anew."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from . import installation
from .cluster.cluster import Cluster
from .driver import Driver
from .space import Space
from .writer import Writer

pytestmark = pytest.mark.timeout(900)

NODES = ("node-1", "node-2")
_FIO = (
    *(
        "fio",
        "--name=upgrade",
        "--rw=randrw",
        "--bs=4k",
        "--size=32M",
        "--direct=1",
        "--ioengine=libaio",
        "--iodepth=8",
    ),
    *("--rate_iops=200", "--fsync=16", "--verify=crc32c", "--time_based", "--runtime=3600", "--output-format=json"),
)
"""Random reads and writes, each block read again and compared; until it is told to end (SIGINT), then it reports."""


def installed(cluster: Cluster) -> str:
    found: Any = cluster.get("-n", installation.NAMESPACE, "daemonset", "holdall-node")
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest.fixture
def other_image(cluster: Cluster) -> Iterator[str]:
    """The same content under another tag, which is all a rollout asks for; afterwards the first one is back."""
    present = installed(cluster)
    other = f"{present}-next"
    for node in cluster.nodes:
        node.run("ctr", "-n", "k8s.io", "images", "tag", "--force", present, other)
    yield other
    installation.upgrade(cluster, present, installation.VALUES)


def fio(space: Space, pod: str) -> subprocess.Popen[str]:
    """Runs on the pod's volume, where kubelet mounted it on the node."""
    volume = space.volume_of(pod)["metadata"]["name"]
    uid = space.get("pod", pod)["metadata"]["uid"]
    place = f"/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~csi/{volume}/mount"
    command = space.cluster.node(space.node_of(pod)).enter(*_FIO, f"--directory={place}")
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def fio_result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """AssertionError with what it said when a read, a write or a comparison failed."""
    assert process.poll() is None, process.communicate()[1]
    # The child of nsenter(1), which waits for it.
    subprocess.run(["pkill", "-INT", "-P", str(process.pid)], check=True)
    out, said = process.communicate(timeout=60)
    (job,) = json.loads(out[out.index("{") :])["jobs"]
    assert (job["error"], said) == (0, "")
    assert job["read"]["total_ios"] > 0
    assert job["write"]["total_ios"] > 0
    return dict(job)


def test_an_upgrade_breaks_no_mount(space: Space, driver: Driver, classes: Mapping[str, str], other_image: str) -> None:
    """DaemonSet and Deployment get another image while pods write to ext4, xfs and btrfs on both nodes, and fio beside
    them: nothing fails, nobody pauses, every mount is the one from before, and claims go on being made."""
    writers = []
    for node in NODES:
        for fs_type, name in classes.items():
            pod = f"{fs_type}-{node}"
            space.claim(pod, "320Mi", storageClassName=name)
            writers.append(Writer(space, pod, pod, node))
    space.ready(*(writer.name for writer in writers))
    before = [writer.wait_for_more() for writer in writers]
    old = [driver.node_pod(node)["metadata"]["uid"] for node in NODES]
    tests = [fio(space, f"{fs_type}-{NODES[0]}") for fs_type in classes]
    try:
        installation.upgrade(space.cluster, other_image, installation.VALUES)
        driver.ready()
        for writer in writers:
            writer.wait_for_more()
        results = [fio_result(test) for test in tests]
    finally:
        for test in tests:
            if test.poll() is None:
                subprocess.run(["pkill", "-KILL", "-P", str(test.pid)], check=False)
                test.communicate()
    pods = [driver.node_pod(node) for node in NODES]
    assert [pod["spec"]["containers"][0]["image"] for pod in pods] == [other_image] * len(NODES)
    assert not {pod["metadata"]["uid"] for pod in pods} & {*old}
    after = [writer.state() for writer in writers]
    assert [state.mount for state in after] == [state.mount for state in before]
    assert max(state.longest_pause for state in after) <= 5
    print(
        "fio: " + ", ".join(f"{one['read']['total_ios']} reads, {one['write']['total_ios']} writes" for one in results)
    )
    # ext4 grows under its pod only where the kernel lets it (docs/limitations.md).
    growing = [writer.claim for writer in writers if not writer.name.startswith("ext4")]
    for claim in growing:
        space.grow(claim, "400Mi")
    for claim in growing:
        space.grown(claim, "400Mi")
    space.claim("new")
    space.pod("new", {"/data": "new"})
    driver.check_nothing_doubled()

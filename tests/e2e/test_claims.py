"""Claims as pods have them: bound, mounted, written, and there again on the next pod."""

import pytest

from .space import Space


@pytest.mark.parametrize("fs_type", ["ext4", "xfs", "btrfs"])
def test_a_claim_is_bound_mounted_and_written(space: Space, fs_type: str) -> None:
    """A pod gets the filesystem its class names; the next pod goes to the same node and finds what the first one wrote."""
    space.example(f"claim-{fs_type}")
    space.ready(fs_type)
    assert space.sh(fs_type, "cat /data/greeting") == "hello\n"
    assert f" {fs_type} rw" in space.sh(fs_type, "grep ' /data ' /proc/mounts")
    space.sh(fs_type, "head -c 1000000 /dev/urandom >/data/random; sync; md5sum /data/random >/data/sum")
    node = space.node_of(fs_type)
    space.delete(f"pod/{fs_type}")
    space.pod("again", {"/data": fs_type})
    assert space.node_of("again") == node
    assert "OK" in space.sh("again", "md5sum -c /data/sum")


def test_a_block_claim_is_a_device(space: Space) -> None:
    """volumeMode Block: the pod has the raw device, and what it wrote is there for the next one."""
    space.example("claim-block")
    (pod,) = [one["metadata"]["name"] for one in space.get("pods")["items"]]
    (claim,) = [one["metadata"]["name"] for one in space.get("pvc")["items"]]
    space.ready(pod)
    device = space.get("pod", pod)["spec"]["containers"][0]["volumeDevices"][0]["devicePath"]
    space.sh(pod, f"echo raw | dd of={device} bs=512 conv=notrunc,sync,fsync 2>/dev/null")
    space.delete(f"pod/{pod}")
    space.pod("again", {"/dev/it": claim}, block=True)
    assert space.sh("again", "head -c 4 /dev/it") == "raw\n"

"""Claims that grow: while a pod has them, and while none has."""

import time
from pathlib import Path

import pytest

from .space import Space

CAP_SYS_RESOURCE = 24
FIRST_BYTES = "head -c 3000000 /dev/urandom >/data/random; sync; md5sum /data/random >/data/sum"


def filesystem_mib(space: Space, pod: str) -> int:
    return int(space.sh(pod, "df -m /data | tail -1 | awk '{print $2}'"))


def grow(space: Space, claim: str, size: str) -> None:
    space.patch(f"pvc/{claim}", {"resources": {"requests": {"storage": size}}})


def look_at(space: Space, pod: str) -> None:
    """kubelet, which looks at a pod's volumes once a minute, does so now: a changed pod is synced at once."""
    space.kubectl("annotate", "--overwrite", f"pod/{pod}", f"looked-at={time.monotonic()}")


def has_capacity(space: Space, claim: str, size: str) -> None:
    space.kubectl("wait", f"--for=jsonpath={{.status.capacity.storage}}={size}", "--timeout=90s", f"pvc/{claim}")


def conditions(space: Space, claim: str) -> dict[str, str]:
    """What the claim says of itself, by type: `kubectl describe pvc` shows it."""
    found = space.get("pvc", claim)["status"].get("conditions", [])
    return {one["type"]: one.get("message", "") for one in found}


def pending(space: Space, claim: str) -> None:
    """The volume has grown, the filesystem in it has not."""
    space.cluster.wait_for(lambda: "FileSystemResizePending" in conditions(space, claim), f"the growth of {claim}")


def may_grow_mounted_ext4() -> bool:
    """capabilities(7): no container has a capability that is not in the machine's own bounding set."""
    status = Path("/proc/self/status").read_text()
    (bounding,) = [line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:")]
    return bool(int(bounding, 16) >> CAP_SYS_RESOURCE & 1)


@pytest.mark.parametrize(("fs_type", "before", "after"), [("xfs", 300, 500), ("btrfs", 128, 256)])
def test_a_mounted_filesystem_grows_under_its_pod(space: Space, fs_type: str, before: int, after: int) -> None:
    """The pod sees the larger filesystem and its own data, and was not restarted."""
    name = space.storage_class(fs_type, {"backend": "image", "csi.storage.k8s.io/fstype": fs_type})
    space.claim("data", f"{before}Mi", storageClassName=name)
    space.pod("user", {"/data": "data"})
    small = filesystem_mib(space, "user")
    space.sh("user", FIRST_BYTES)
    grow(space, "data", f"{after}Mi")
    pending(space, "data")
    look_at(space, "user")
    has_capacity(space, "data", f"{after}Mi")
    assert small <= before
    assert filesystem_mib(space, "user") >= small + (after - before) * 0.9
    assert "OK" in space.sh("user", "md5sum -c /data/sum && head -c 1000000 /dev/zero >/data/more && sync")
    assert space.get("pod", "user")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_a_mounted_subvolume_grows_under_its_pod(space: Space) -> None:
    """In a btrfs pool it is the quota that grows: what did not fit before does now."""
    name = space.storage_class("subvolume", {"backend": "btrfs", "csi.storage.k8s.io/fstype": "btrfs"})
    space.claim("data", "32Mi", storageClassName=name)
    space.pod("user", {"/data": "data"})
    write = "head -c 50000000 /dev/urandom >/data/large && sync && echo fits || echo refused"
    assert space.sh("user", write).split()[-1] == "refused"
    space.sh("user", "rm -f /data/large; sync")
    grow(space, "data", "96Mi")
    has_capacity(space, "data", "96Mi")
    assert space.sh("user", write) == "fits\n"


def test_a_mounted_ext4_grows_where_the_kernel_lets_the_driver_and_else_at_its_next_stage(space: Space) -> None:
    """docs/limitations.md: without CAP_SYS_RESOURCE the refusal says so, and the next pod has the size."""
    space.example("expansion")
    space.ready("growing")
    small = filesystem_mib(space, "growing")
    grow(space, "growing", "3Gi")
    pending(space, "growing")
    look_at(space, "growing")
    if not may_grow_mounted_ext4():
        space.cluster.wait_for(lambda: "NodeResizeError" in conditions(space, "growing"), "kubelet's try")
        message = conditions(space, "growing")["NodeResizeError"]
        assert "the kernel wants CAP_SYS_RESOURCE" in message
        assert "stage it again: it grows then" in message
        assert filesystem_mib(space, "growing") == small
        assert space.get("pvc", "growing")["status"]["capacity"]["storage"] == "1Gi"
        assert space.sh("growing", "cat /data/greeting") == "hello\n"
        space.delete("pod/growing")
        space.pod("growing", {"/data": "growing"})
    has_capacity(space, "growing", "3Gi")
    assert filesystem_mib(space, "growing") > 2.8 * 1024
    assert space.sh("growing", "cat /data/greeting") == "hello\n"


def test_a_claim_that_nobody_uses_grows_at_its_next_pod(space: Space) -> None:
    """Offline: the volume grows at once, the filesystem in it before the next pod starts; no event warns."""
    space.claim("data", "64Mi")
    space.pod("first", {"/data": "data"})
    space.sh("first", FIRST_BYTES)
    space.delete("pod/first")
    grow(space, "data", "256Mi")
    pending(space, "data")
    space.pod("second", {"/data": "data"})
    has_capacity(space, "data", "256Mi")
    assert filesystem_mib(space, "second") > 220
    assert "OK" in space.sh("second", "md5sum -c /data/sum")
    assert conditions(space, "data") == {}


def test_a_block_device_grows_under_its_pod(space: Space) -> None:
    """The open device has the new size, and the old bytes."""
    space.claim("data", "64Mi", volumeMode="Block")
    space.pod("user", {"/dev/it": "data"}, block=True)
    space.sh("user", "echo raw | dd of=/dev/it bs=512 conv=notrunc,fsync 2>/dev/null")
    grow(space, "data", "128Mi")
    has_capacity(space, "data", "128Mi")
    assert space.sh("user", "blockdev --getsize64 /dev/it") == f"{128 * 1024**2}\n"
    assert space.sh("user", "head -c 4 /dev/it") == "raw\n"


def test_a_claim_does_not_grow_beyond_its_pool(space: Space) -> None:
    """The event names the pool and its size; the claim stays as it was, in use."""
    space.claim("data", "64Mi")
    space.pod("user", {"/data": "data"})
    grow(space, "data", "100Gi")
    space.said("data", "is larger than pool fast")
    assert space.get("pvc", "data")["status"]["capacity"]["storage"] == "64Mi"
    space.sh("user", "echo on >/data/on; sync")

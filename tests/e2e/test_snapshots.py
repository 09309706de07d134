"""Snapshots and clones of volumes in use, restored into claims of their own."""

from typing import Any

import pytest

from .space import Space

WRITE = "head -c 5000000 /dev/urandom >/data/random; sync; md5sum /data/random >/data/sum; sync"


def source(snapshot: str) -> dict[str, Any]:
    """A claim's dataSource."""
    return {"dataSource": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": snapshot}}


def test_a_mounted_volumes_snapshot_is_restored_into_a_larger_one(space: Space) -> None:
    """What was there at the cut is in the copy, what came later is not, and the copy's filesystem fills its claim."""
    space.example("claim-ext4")
    space.ready("ext4")
    space.sh("ext4", WRITE)
    space.example("snapshot-restore")
    space.cut("volumesnapshot/monday")
    space.sh("ext4", "echo later >/data/greeting; rm /data/random; sync")
    space.ready("restored")
    assert space.sh("restored", "cat /data/greeting") == "hello\n"
    assert "OK" in space.sh("restored", "md5sum -c /data/sum")
    assert int(space.sh("restored", "df -m /data | tail -1 | awk '{print $2}'")) > 1.85 * 1024
    assert space.get("volumesnapshot", "monday")["status"]["restoreSize"] == "1Gi"
    space.sh("restored", "echo mine >/data/greeting; sync")
    assert space.sh("ext4", "cat /data/greeting") == "later\n"


@pytest.mark.parametrize(("fs_type", "backend", "size"), [("xfs", "image", "300Mi"), ("btrfs", "btrfs", "64Mi")])
def test_a_restored_claim_has_its_sources_data(space: Space, fs_type: str, backend: str, size: str) -> None:
    """XFS beside its source, which has the same UUID, on the same node; and a subvolume."""
    name = space.storage_class("source", {"backend": backend, "csi.storage.k8s.io/fstype": fs_type})
    space.claim("first", size, storageClassName=name)
    space.pod("writer", {"/data": "first"})
    space.sh("writer", WRITE)
    space.snapshot("cut", "first")
    space.claim("second", size, storageClassName=name, **source("cut"))
    space.pod("reader", {"/data": "second"})
    assert "OK" in space.sh("reader", "md5sum -c /data/sum")
    space.sh("reader", "echo mine >/data/mine; sync")
    assert "mine" not in space.sh("writer", "ls /data").split()


def test_a_mounted_volume_is_cloned(space: Space) -> None:
    """A claim whose source is another claim: its data at that moment, and from then on its own."""
    space.example("claim-ext4")
    space.ready("ext4")
    space.sh("ext4", WRITE)
    space.example("clone")
    space.ready("clone")
    assert space.sh("clone", "cat /data/greeting") == "hello\n"
    assert "OK" in space.sh("clone", "md5sum -c /data/sum")
    space.sh("clone", "echo mine >/data/greeting; sync")
    assert space.sh("ext4", "cat /data/greeting") == "hello\n"
    assert space.node_of("clone") == space.node_of("ext4")


def test_a_block_volumes_snapshot_is_restored_as_a_device(space: Space) -> None:
    """What was synced to the device before the cut is on the copy, which may be larger."""
    space.claim("first", "64Mi", volumeMode="Block")
    space.pod("writer", {"/dev/it": "first"}, block=True)
    space.sh("writer", "echo raw | dd of=/dev/it bs=512 seek=1000 conv=notrunc,fsync 2>/dev/null")
    space.snapshot("cut", "first")
    space.sh("writer", "echo new | dd of=/dev/it bs=512 seek=1000 conv=notrunc,fsync 2>/dev/null")
    space.claim("second", "96Mi", volumeMode="Block", **source("cut"))
    space.pod("reader", {"/dev/it": "second"}, block=True)
    assert space.sh("reader", "dd if=/dev/it bs=512 skip=1000 count=1 2>/dev/null | head -c 4") == "raw\n"
    assert space.sh("reader", "blockdev --getsize64 /dev/it") == f"{96 * 1024**2}\n"


def test_a_copied_snapshot_waits_until_nobody_writes(space: Space) -> None:
    """docs/limitations.md: a directory pool copies, so the snapshot's status names who has the volume open for writing,
    and it is cut once the pod is gone."""
    name = space.storage_class("plain", {"backend": "directory", "csi.storage.k8s.io/fstype": ""})
    space.claim("first", "16Mi", storageClassName=name)
    space.pod("writer", {"/data": "first"})
    space.sh("writer", WRITE)
    space.apply(
        {
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshot",
            "metadata": {"name": "cut"},
            "spec": {"volumeSnapshotClassName": "holdall", "source": {"persistentVolumeClaimName": "first"}},
        }
    )
    space.cluster.wait_for(
        lambda: "writing" in space.get("volumesnapshot", "cut").get("status", {}).get("error", {}).get("message", ""),
        "the refusal in the snapshot's status",
    )
    space.delete("pod/writer")
    space.cut("volumesnapshot/cut")
    space.claim("second", "16Mi", storageClassName=name, **source("cut"))
    space.pod("reader", {"/data": "second"})
    assert "OK" in space.sh("reader", "md5sum -c /data/sum")

"""Who may use a volume, and how: access modes, read-only mounts, groups, subPath."""

import pytest

from .space import Space, container


def test_read_only_many(space: Space) -> None:
    """Two pods read one restored volume, and neither can write it."""
    space.example("claim-ext4")
    space.ready("ext4")
    space.snapshot("monday", "ext4")
    space.example("read-only-many")
    space.ready("reader-1", "reader-2")
    for pod in ("reader-1", "reader-2"):
        assert space.sh(pod, "cat /data/greeting") == "hello\n"
        with pytest.raises(RuntimeError, match="Read-only file system"):
            space.sh(pod, "touch /data/x")


def test_read_write_once_pod_is_one_pods(space: Space) -> None:
    """The second pod stays Pending, says why, and runs once the first is gone."""
    space.example("read-write-once-pod")
    space.cluster.wait_for(
        lambda: sorted(one["status"]["phase"] for one in space.get("pods")["items"]) == ["Pending", "Running"],
        "one pod of two",
    )
    phases = {one["status"]["phase"]: one["metadata"]["name"] for one in space.get("pods")["items"]}
    message = space.said(phases["Pending"], "ReadWriteOncePod")
    assert "in-use" in message
    space.sh(phases["Running"], "echo mine >/data/mine; sync")
    space.delete(f"pod/{phases['Running']}")
    space.ready(phases["Pending"])
    assert space.sh(phases["Pending"], "cat /data/mine") == "mine\n"


@pytest.mark.parametrize("fs_type", ["ext4", "btrfs"])
def test_an_unprivileged_pod_writes_with_its_fs_group(space: Space, fs_type: str) -> None:
    """fsGroup 2000: the volume's root belongs to that group, and so does what is made in it."""
    backend = {"ext4": "image", "btrfs": "btrfs"}[fs_type]
    name = space.storage_class("group", {"backend": backend, "csi.storage.k8s.io/fstype": fs_type})
    space.claim("data", storageClassName=name)
    space.pod("user", {"/data": "data"}, securityContext={"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000})
    assert space.sh("user", "touch /data/mine && stat -c %u:%g /data/mine") == "1000:2000\n"
    assert space.sh("user", "stat -c %g /data") == "2000\n"


def test_a_claim_mounted_read_only_is_not_written(space: Space) -> None:
    """A pod that mounts it read-only beside one that writes: both on one node, each with its own rights."""
    space.claim("data")
    space.pod("writer", {"/data": "data"})
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}}
    space.pod("reader", {"/data": "data"}, volumes=[volume])
    space.sh("writer", "echo hello >/data/greeting; sync")
    assert space.sh("reader", "cat /data/greeting") == "hello\n"
    with pytest.raises(RuntimeError, match="Read-only file system"):
        space.sh("reader", "touch /data/x")
    assert space.node_of("reader") == space.node_of("writer")


def test_sub_paths_are_directories_of_one_volume(space: Space) -> None:
    """Two mounts of one claim with different subPaths see their own directory each."""
    space.claim("data")
    mounts = [{"name": "data", "mountPath": f"/{name}", "subPath": name} for name in ("left", "right")]
    mounts.append({"name": "data", "mountPath": "/whole"})
    space.pod("user", {"/data": "data"}, containers=[container({}, volumeMounts=mounts)])
    space.sh("user", "echo l >/left/one; echo r >/right/two; sync")
    assert space.sh("user", "cd /whole; find left right -type f") == "left/one\nright/two\n"
    space.delete("pod/user")
    space.pod("again", {"/data": "data"}, containers=[container({}, volumeMounts=mounts)])
    assert space.sh("again", "cat /left/one") == "l\n"


def test_mount_options_reach_the_mount(space: Space) -> None:
    """A StorageClass's mountOptions are the mount's."""
    name = space.storage_class("options", {"backend": "image"}, mountOptions=["noatime", "discard"])
    space.claim("data", storageClassName=name)
    space.pod("user", {"/data": "data"})
    options = space.sh("user", "grep ' /data ' /proc/mounts").split()[3].split(",")
    assert {"noatime", "discard"} <= set(options)

"""Volumes that live as long as their pod."""

from .space import Space, container


def test_a_generic_ephemeral_volume_goes_with_its_pod(space: Space) -> None:
    """Claim, volume, and what the pool had of it."""
    space.example("ephemeral-generic")
    space.ready("scratch-generic")
    assert space.sh("scratch-generic", "cat /data/greeting") == "hello\n"
    handle, node = space.handle_of("scratch-generic-data"), space.node_of("scratch-generic")
    assert space.pool_has(node, handle)
    space.delete("pod/scratch-generic")
    space.cluster.wait_for(lambda: not space.get("pvc")["items"] and not space.volumes(), "the end of the claim")
    space.cluster.wait_for(lambda: not space.pool_has(node, handle), "the end of the volume in its pool")


def test_an_inline_volume_goes_with_its_pod(space: Space) -> None:
    """No claim and no PersistentVolume: the node's pool has it, and no more once the pod is gone."""
    space.example("ephemeral-inline")
    space.ready("scratch-inline")
    assert space.sh("scratch-inline", "cat /data/greeting") == "hello\n"
    assert 900 < int(space.sh("scratch-inline", "df -m /data | tail -1 | awk '{print $2}'")) <= 1024
    node = space.node_of("scratch-inline")
    assert space.pool_has(node, "v-inline-csi-")
    space.delete("pod/scratch-inline")
    space.cluster.wait_for(lambda: not space.pool_has(node, "v-inline-csi-"), "the end of the volume in its pool")


def test_an_inline_volume_with_an_unknown_attribute_is_refused_by_name(space: Space) -> None:
    """The pod's event names the key and those that there are; with the right one a pod starts."""
    volume = {
        "name": "data",
        "csi": {"driver": "holdall.csi.dev", "fsType": "ext4", "volumeAttributes": {"sise": "64MiB"}},
    }
    space.pod("scratch", {}, ready=False, volumes=[volume], containers=[container({"/data": "data"})])
    message = space.said("scratch", "'sise'")
    assert "size" in message

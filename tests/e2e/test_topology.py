"""Where volumes are made, and that pods follow them."""

from typing import Any

import pytest

from .space import Space, only
from .test_snapshots import source


def zone(volume: dict[str, Any]) -> list[str]:
    """The nodes that a PersistentVolume is reachable from."""
    (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    (expression,) = term["matchExpressions"]
    assert expression["key"] == "holdall.csi.dev/node"
    return list(expression["values"])


def test_allowed_topologies_are_obeyed(space: Space) -> None:
    """The class allows node-1: there is the volume, and there goes the pod."""
    space.example("topology")
    space.ready("placed")
    assert zone(space.volume_of("placed")) == ["node-1"]
    assert space.node_of("placed") == "node-1"
    assert space.sh("placed", "cat /data/greeting") == "hello\n"


@pytest.mark.parametrize("node", ["node-1", "node-2"])
def test_a_pod_that_must_run_on_a_node_has_its_volume_there(space: Space, node: str) -> None:
    """WaitForFirstConsumer: the pod's own constraint decides."""
    space.claim("data")
    space.pod("user", {"/data": "data"}, nodeSelector={"kubernetes.io/hostname": node})
    assert zone(space.volume_of("data")) == [node]
    assert space.node_of("user") == node


def test_an_immediate_claim_is_bound_without_a_pod_which_then_follows_it(space: Space) -> None:
    """volumeBindingMode Immediate: the driver chooses among the class's nodes, and the pod has no choice left."""
    name = space.storage_class(
        "now", {"backend": "image"}, volumeBindingMode="Immediate", allowedTopologies=only("node-2")
    )
    space.claim("data", storageClassName=name)
    space.bound("data")
    assert zone(space.volume_of("data")) == ["node-2"]
    space.pod("user", {"/data": "data"})
    assert space.node_of("user") == "node-2"


def test_an_immediate_claim_without_topology_is_bound_somewhere(space: Space) -> None:
    """Where the most room is; the pod goes there."""
    name = space.storage_class("now", {"backend": "image"}, volumeBindingMode="Immediate")
    space.claim("data", storageClassName=name)
    space.bound("data")
    space.pod("user", {"/data": "data"})
    assert zone(space.volume_of("data")) == [space.node_of("user")]


def snapshot_on_node_1(space: Space) -> None:
    """Snapshot ``cut`` of claim ``first``, whose volume is on node-1."""
    name = space.storage_class("first", {"backend": "image"}, allowedTopologies=only("node-1"))
    space.claim("first", storageClassName=name)
    space.pod("writer", {"/data": "first"})
    space.sh("writer", "echo hello >/data/greeting; sync")
    space.snapshot("cut", "first")


def test_a_restore_into_a_class_of_another_node_is_refused_with_the_reason(space: Space) -> None:
    """docs/limitations.md: data does not travel. The claim's event says where the snapshot is."""
    snapshot_on_node_1(space)
    name = space.storage_class("second", {"backend": "image"}, allowedTopologies=only("node-2"))
    space.claim("second", storageClassName=name, **source("cut"))
    space.pod("reader", {"/data": "second"}, ready=False)
    message = space.said("second", "node-1", "topology")
    assert "snapshot" in message


def test_a_restore_is_made_where_its_snapshot_is_and_a_pod_bound_elsewhere_waits(space: Space) -> None:
    """docs/limitations.md: the pod's event names the volume's node affinity; a pod that may go there has the data."""
    snapshot_on_node_1(space)
    space.claim("second", **source("cut"))
    space.pod("reader", {"/data": "second"}, ready=False, nodeSelector={"kubernetes.io/hostname": "node-2"})
    space.said("reader", "PersistentVolume's node affinity")
    assert zone(space.volume_of("second")) == ["node-1"]
    space.delete("pod/reader")
    space.pod("reader", {"/data": "second"})
    assert space.node_of("reader") == "node-1"
    assert space.sh("reader", "cat /data/greeting") == "hello\n"

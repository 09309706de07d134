"""Room: pods go where it is, and what is beyond it waits with a reason."""

from .space import Space, only


def test_a_pod_goes_to_the_node_with_room(space: Space) -> None:
    """node-1's pool is promised away: the next pods have their volumes on node-2, whatever the scheduler would like."""
    name = space.storage_class(
        "large", {"pool": "fast"}, volumeBindingMode="Immediate", allowedTopologies=only("node-1")
    )
    space.claim("most", "9Gi", storageClassName=name)
    space.bound("most")
    later = space.storage_class("small", {"pool": "fast"})
    for pod in ("one", "two"):
        space.claim(pod, "4Gi", storageClassName=later)
        space.pod(pod, {"/data": pod})
        assert space.node_of(pod) == "node-2"


def test_a_claim_beyond_the_nodes_room_waits_and_is_bound_once_there_is_some(space: Space) -> None:
    """Immediate: the claim's own event says per pool what is left; no pod is needed."""
    name = space.storage_class(
        "large", {"pool": "fast"}, volumeBindingMode="Immediate", allowedTopologies=only("node-1")
    )
    for claim in ("one", "two"):
        space.claim(claim, "5Gi", storageClassName=name)
    space.bound("one", "two")
    space.claim("three", "5Gi", storageClassName=name)
    message = space.said("three", "pool fast has", "left to promise")
    assert "5 GiB were asked for" in message
    assert space.get("pvc", "three")["status"]["phase"] == "Pending"
    space.delete("pvc/one")
    space.bound("three")


def test_a_pod_beyond_all_room_waits_and_runs_once_there_is_some(space: Space) -> None:
    """WaitForFirstConsumer: the scheduler knows the room on both nodes and says that it is too little."""
    for node in ("node-1", "node-2"):
        name = space.storage_class(node, {"pool": "fast"}, volumeBindingMode="Immediate", allowedTopologies=only(node))
        space.claim(node, "9Gi", storageClassName=name)
    space.bound("node-1", "node-2")
    space.claim("data", "5Gi", storageClassName=space.storage_class("late", {"pool": "fast"}))
    space.pod("user", {"/data": "data"}, ready=False)
    space.said("user", "did not have enough free storage")
    space.delete("pvc/node-2")
    space.ready("user")
    assert space.node_of("user") == "node-2"

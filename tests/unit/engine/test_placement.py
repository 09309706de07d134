"""Which pool: parameters, topology, room; and a refusal says per pool why not."""

import msgspec
import pytest

from driver.engine import placement
from driver.model import errors
from driver.model.pool import PoolView
from driver.model.sizes import GIB


def _view(
    name: str, *, available: int = 10 * GIB, backend: str = "image", device: str = "ssd", **other: object
) -> PoolView:
    view = PoolView(
        id=f"p-{name}", name=name, backend=backend, path=f"/{name}", node_id="node-a", device_class=device,
        topology={"holdall.csi.dev/node": "node-a"}, schedulable=True, abilities=(), available=available,
    )  # fmt: skip
    return msgspec.structs.replace(view, **other)


def test_the_emptiest_pool_that_can_is_chosen() -> None:
    """Rule: otherwise the pool with the most free space that can do what is asked."""
    candidates = [
        placement.Candidate(_view(name, available=size * GIB), need=GIB) for name, size in (("a", 3), ("b", 9))
    ]
    assert placement.choose(candidates, [], "volume x").view.name == "b"


def test_a_preferred_topology_comes_before_room() -> None:
    """Rule: CSI's preferred list is in order of preference."""
    far = _view("far", available=90 * GIB, topology={"holdall.csi.dev/node": "node-b"})
    chosen = placement.choose(
        [placement.Candidate(far, need=1), placement.Candidate(_view("near"), need=1)],
        [{"holdall.csi.dev/node": "node-a"}],
        "volume x",
    )
    assert chosen.view.name == "near"


def test_lack_of_room_is_no_space_and_names_every_pool() -> None:
    """Rule: a refusal says per pool why not."""
    candidates = [
        placement.Candidate(_view("a", available=GIB), need=2 * GIB),
        placement.Candidate(_view("b"), refusal="knows no filesystem zfs"),
        placement.Candidate(_view("c", reachable=False), need=GIB),
        placement.Candidate(_view("d", schedulable=False), need=GIB),
    ]
    with pytest.raises(errors.NoSpace) as refusal:
        placement.choose(candidates, [], "volume x")
    for words in ("pool a has 1 GiB left", "pool b: knows no filesystem zfs", "pool c is not", "pool d is closed"):
        assert words in refusal.value.message


def test_what_every_pool_refuses_is_the_requests_fault() -> None:
    """Rule: an unknown parameter is INVALID_ARGUMENT, not a lack of resources."""
    with pytest.raises(errors.InvalidArgument, match="unknown parameter speed"):
        placement.choose([placement.Candidate(_view("a"), refusal="unknown parameter speed")], [], "volume x")


def test_no_pool_in_the_topology_is_unplaceable() -> None:
    """Rule: RESOURCE_EXHAUSTED, so the scheduler tries elsewhere."""
    with pytest.raises(errors.Unplaceable):
        placement.choose([], [], "volume x")


@pytest.mark.parametrize(
    ("parameters", "meant"),
    [
        ({}, True),
        ({"pool": "a"}, True),
        ({"pool": "p-a"}, True),
        ({"pool": "b"}, False),
        ({"backend": "image"}, True),
        ({"backend": "btrfs"}, False),
        ({"deviceType": "ssd"}, True),
        ({"deviceType": "hdd"}, False),
    ],
)
def test_parameters_say_which_pools_are_meant(parameters: dict[str, str], meant: bool) -> None:
    """Rule: StorageClass parameters pool, backend and deviceType choose."""
    assert (placement.mismatch(_view("a"), parameters, []) == "") is meant


def test_topology_keys_compare_without_case() -> None:
    """Rule: CSI topology keys are case-insensitive, values are not."""
    topology = {"holdall.csi.dev/node": "Node-A"}
    assert placement.in_topology(topology, [{"HOLDALL.csi.dev/Node": "Node-A"}])
    assert not placement.in_topology(topology, [{"holdall.csi.dev/node": "node-a"}])
    assert placement.in_topology(topology, [])


@pytest.mark.parametrize(
    ("parameters", "word"), [({"pool": "zz"}, "pools here: a"), ({"backend": "zz"}, "btrfs, image")]
)
def test_names_that_exist_nowhere_are_refused_with_those_that_do(parameters: dict[str, str], word: str) -> None:
    """Rule: bad input gets an error with what was found and what was wanted."""
    with pytest.raises(errors.InvalidArgument, match=word):
        placement.check_names(parameters, [_view("a")], ["image", "btrfs"])


def test_the_backend_sees_only_its_own_parameters() -> None:
    """Rule: the provisioner's extra metadata and our own choices are not the backend's business."""
    given = {
        "pool": "a", "backend": "image", "deviceType": "ssd", "fsType": "xfs", "csi.storage.k8s.io/pvc/name": "x",
        "provisioning": "thick",
    }  # fmt: skip
    assert placement.backend_parameters(given) == {"provisioning": "thick"}
    assert placement.fs_type_of(given) == "xfs"

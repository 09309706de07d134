"""The node pods of the driver, and the Nodes they run on, as members of the fleet."""

from collections.abc import Callable, Mapping
from typing import Generic

import msgspec

from ..fleet.membership import Seat
from ..fleet.nodes import N
from .api import Api, Object
from .state import State
from .watched import Watched

NODES = "/api/v1/nodes"


class Pod(msgspec.Struct, frozen=True):
    """What is kept of a node pod."""

    node: str
    address: str
    phase: str
    made: str
    is_ending: bool


class KubeMembership(Generic[N]):
    """Implements fleet.membership.Membership: every node that has a pod of the driver, or answered once and is not given up.

    ``make`` gives what a node of that name is called at, at an address (without a port). ``pods`` and ``nodes`` have to
    be run, and ``state`` as well.
    """

    def __init__(
        self, api: Api, namespace: str, pod_selector: str, state: State, make: Callable[[str, str], N]
    ) -> None:
        path = f"/api/v1/namespaces/{namespace}/pods"
        self.pods = Watched(api, path, pod, self._changed, {"labelSelector": pod_selector})
        self.nodes = Watched(api, NODES, _nothing, self._changed)
        self._state = state
        self._make = make
        self._made: dict[str, tuple[str, N]] = {}
        self._listeners: list[Callable[[], None]] = []
        state.follow(self._tell)

    def seats(self) -> Mapping[str, Seat[N]]:
        chosen: dict[str, Pod] = {}
        for one in self.pods.objects.values():
            if one.node and (one.node not in chosen or _better(one, chosen[one.node])):
                chosen[one.node] = one
        names = sorted({*chosen, *self._state.names()})
        self._made = {name: made for name, made in self._made.items() if name in names}
        return {name: self._seat(name, chosen.get(name)) for name in names}

    def gives_up(self, name: str) -> bool:
        return self._state.gives_up(name)

    def follow(self, changed: Callable[[], None]) -> None:
        self._listeners.append(changed)

    def _seat(self, name: str, found: Pod | None) -> Seat[N]:
        if found is None or not found.address or found.phase in ("Succeeded", "Failed"):
            self._made.pop(name, None)
            return Seat(None, self._why_not(name, found), expected=False)
        address, node = self._made.get(name, ("", None))
        if node is None or address != found.address:
            node = self._make(name, found.address)
            self._made[name] = found.address, node
        return Seat(node, expected=False)

    def _why_not(self, name: str, found: Pod | None) -> str:
        if found is not None:
            return f"node {name}: its Holdall pod is not running yet ({found.phase or 'no phase'})"
        if name in self.nodes.objects:
            return f"node {name} has no Holdall pod now"
        return (
            f"node {name} is not in the cluster any more; what it has is kept for when it is back, until it is given up"
        )

    def _changed(self, _name: str) -> None:
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def pod(found: Object) -> Pod:
    """What is kept of it. With the host's network, as the chart has it, the pod's address is the node's."""
    metadata, status = found["metadata"], found.get("status") or {}
    return Pod(
        node=str((found.get("spec") or {}).get("nodeName") or ""),
        address=str(status.get("podIP") or ""),
        phase=str(status.get("phase") or ""),
        made=str(metadata.get("creationTimestamp") or ""),
        is_ending="deletionTimestamp" in metadata,
    )


def _better(one: Pod, other: Pod) -> bool:
    """An update has two pods on a node for a moment: the one that is called is not ending, has an address, and is younger."""
    return _worth(one) > _worth(other)


def _worth(one: Pod) -> tuple[bool, bool, bool, str]:
    return one.phase == "Running", not one.is_ending, bool(one.address), one.made


def _nothing(_found: Object) -> None:
    return None

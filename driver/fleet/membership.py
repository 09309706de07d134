"""Which nodes there are: as configured, or as the cluster has them now."""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol

import msgspec

from .nodes import N


class Seat(msgspec.Struct, Generic[N], frozen=True):
    """A member's place. ``node``: how it is reached now, None while it has nothing that could answer, which ``reason``
    says, naming it. ``expected``: whether it counts as having volumes before it ever answered."""

    node: N | None
    reason: str = ""
    expected: bool = True


class Membership(Protocol[N]):
    """Read on the event loop at any time."""

    def seats(self) -> Mapping[str, Seat[N]]:
        """All members by name; the same ``node`` object for as long as a member is reached the same way."""

    def gives_up(self, name: str) -> bool:
        """Whether whatever ``name`` had is given up for good: its names may go elsewhere."""

    def follow(self, changed: Callable[[], None]) -> None:
        """``changed`` is called after every change from now on."""


class Fixed(Generic[N]):
    """The nodes of the configuration. What was taken out of it is given up."""

    def __init__(self, nodes: Sequence[N]) -> None:
        self._seats: dict[str, Seat[N]] = {node.name: Seat(node) for node in nodes}

    def seats(self) -> Mapping[str, Seat[N]]:
        return self._seats

    def gives_up(self, name: str) -> bool:
        return name not in self._seats

    def follow(self, changed: Callable[[], None]) -> None:
        """Nothing ever changes."""

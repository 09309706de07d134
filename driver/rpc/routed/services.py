"""Which services a controller has on its socket."""

from collections.abc import Sequence

from ...fleet.fleet import Fleet
from ...fleet.following import Follower
from ..identity import Identity
from ..node import Node
from ..readiness import Readiness
from .controller import Controller
from .group import GroupController
from .holdall import Holdall
from .metadata import SnapshotMetadata
from .peer import Peer

DRIVER: tuple[type, ...] = (Controller, GroupController, SnapshotMetadata, Node)
"""What the driver as a whole serves: the nodes behind this controller have the Node service."""


def for_sidecars(
    fleet: Fleet[Peer], driver_name: str, readiness: Readiness, follower: Follower | None = None
) -> Sequence[object]:
    """Everything but Node, all of it passed on but Identity."""
    return (
        Identity(driver_name, DRIVER, readiness),
        Controller(fleet),
        GroupController(fleet),
        SnapshotMetadata(fleet),
        Holdall(fleet, driver_name, follower),
    )

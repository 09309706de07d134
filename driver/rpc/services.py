"""Which services of a process that owns pools go on which socket."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .controller import Controller
from .group import GroupController
from .holdall import Holdall
from .identity import Identity
from .metadata import SnapshotMetadata
from .node import Node
from .readiness import Readiness

if TYPE_CHECKING:
    from ..engine.engine import Engine
    from ..node.plugin import NodePlugin

DRIVER: tuple[type, ...] = (Controller, GroupController, SnapshotMetadata, Node)
"""What the driver as a whole serves, whichever process is asked: a node announces its controller's services too."""


def for_kubelet(engine: "Engine", plugin: "NodePlugin", readiness: Readiness) -> Sequence[object]:
    """Identity and Node: what a node's own socket has."""
    return (Identity(engine.config.driver_name, DRIVER, readiness), Node(plugin))


def for_controller(engine: "Engine", readiness: Readiness) -> Sequence[object]:
    """Everything but Node: what a node offers to its controller."""
    identity = Identity(engine.config.driver_name, DRIVER, readiness)
    return (identity, Controller(engine), GroupController(engine), SnapshotMetadata(engine), Holdall(engine))


def for_everybody(engine: "Engine", plugin: "NodePlugin", readiness: Readiness) -> Sequence[object]:
    """Every service: what a process has that is the whole driver."""
    return (*for_controller(engine, readiness), Node(plugin))

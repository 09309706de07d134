"""A whole fleet of real processes: nodes that own pools, and a controller that routes to them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from csi.v1 import csi_pb2 as csi
from tests.daemon import Daemon, Stubs

MIB = 1 << 20
KEY = "holdall.csi.dev/node"


class Fleet:
    """``nodes`` by name, their controller, and stubs of the latter."""

    def __init__(self, nodes: dict[str, Daemon], controller: Daemon) -> None:
        self.nodes = nodes
        self.controller = controller
        self.stubs = Stubs(controller.endpoint)

    def restart_controller(self) -> None:
        """Killed, and begun again."""
        self.controller.kill()
        self.controller.start()


@contextlib.contextmanager
def fleet(directory: Path, names: str = "ab") -> Iterator[Fleet]:
    """Nodes of these one-letter names, each with one pool of its own name. Socket paths must be short: so must be
    ``directory``."""
    nodes = {name: _node(directory / name, name) for name in names}
    controller = Daemon(directory / "controller", role="controller", config=_controller_config(directory, names))
    try:
        for node in nodes.values():
            node.start()
        controller.start()
        made = Fleet(nodes, controller)
        with made.stubs:
            yield made
    finally:
        for daemon in (controller, *nodes.values()):
            daemon.kill()


def _node(directory: Path, name: str) -> Daemon:
    pool = directory / "pool"
    pool.mkdir(parents=True)
    return Daemon(
        directory,
        role="node",
        node_id=f"node-{name}",
        config=f'[[pool]]\nname = "{name}"\nbackend = "directory"\npath = "{pool}"\n',
        options=("--controller-endpoint", f"unix://{directory}/controller.sock"),
    )


def _controller_config(directory: Path, names: str) -> str:
    return "".join(
        f'[[node]]\nname = "node-{name}"\nendpoint = "unix://{directory}/{name}/controller.sock"\n' for name in names
    )


def capability(mode: str = "SINGLE_NODE_WRITER") -> csi.VolumeCapability:
    return csi.VolumeCapability(
        mount=csi.VolumeCapability.MountVolume(),
        access_mode=csi.VolumeCapability.AccessMode(mode=csi.VolumeCapability.AccessMode.Mode.Value(mode)),
    )


def create(stubs: Stubs, name: str, *, on: str = "") -> csi.Volume:
    """A volume of that name; ``on`` is the node wanted."""
    request = csi.CreateVolumeRequest(
        name=name,
        volume_capabilities=[capability()],
        capacity_range=csi.CapacityRange(required_bytes=MIB),
    )
    if on:
        place = csi.Topology(segments={KEY: f"node-{on}"})
        request.accessibility_requirements.requisite.append(place)
    return stubs.controller.CreateVolume(request, timeout=30).volume


def home(volume: csi.Volume) -> str:
    """The node that has ``volume``."""
    return volume.accessible_topology[0].segments[KEY]

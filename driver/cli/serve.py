"""Each role's parts, put together. A role imports its own parts and no others: the node carries nothing it does not use."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..host import owner
from ..host.failure import during
from ..model.config import Config
from ..model.errors import HostFailed, InvalidArgument
from ..rpc import sockets
from ..rpc.endpoints import TCP
from ..rpc.readiness import Readiness
from ..telemetry import pages
from ..telemetry.metrics import Metrics
from ..telemetry.pages import Port
from . import config as configuration
from .process import Role

if TYPE_CHECKING:
    from ..rpc.registration import Registration
    from .remote import Remote

STOPPING = "it is being stopped"


def everything(config: Config) -> Role:
    """Role ``all``: every service on one socket, the pools of this machine, no network."""
    from ..rpc import services

    owner = _Owner(config)
    owner.server.add(config.endpoint, services.for_everybody(owner.engine, owner.plugin, owner.readiness))
    if config.controller_endpoint:
        owner.offer(services.for_controller(owner.engine, owner.readiness))
    return owner


def node(config: Config) -> Role:
    """Role ``node``: kubelet's socket has Identity and Node, the controller's has the rest."""
    from ..rpc import services

    owner = _Owner(config)
    owner.server.add(config.endpoint, services.for_kubelet(owner.engine, owner.plugin, owner.readiness))
    if config.controller_endpoint:
        owner.offer(services.for_controller(owner.engine, owner.readiness))
    return owner


def controller(config: Config) -> Role:
    """Role ``controller``: a router to the nodes of the configuration, or of the cluster; it opens no pool."""
    if config.kubernetes:
        from .cluster import Cluster

        _make_directories(config)
        return Cluster(config, config.kubernetes)
    return _Router(config)


class _Owner:
    """A process that owns pools: engine, node plugin and sockets."""

    def __init__(self, config: Config) -> None:
        from ..engine.engine import Engine
        from ..node.plugin import NodePlugin
        from ..rpc.server import Server
        from ..telemetry.readings import Readings
        from .observed import Observed

        self._config = config
        _make_directories(config)
        self.readiness = Readiness()
        self.metrics = Metrics()
        self.engine = Engine(config)
        self.plugin = NodePlugin(self.engine, config)
        self.server = Server(self.metrics, self.readiness, self._owns)
        observed = Observed(self.engine, self.plugin)
        self.metrics.add(Readings(observed.pools, observed.volumes))
        self._port: Port | None = None
        self._remote: Remote | None = None
        self._registration: Registration | None = None

    def offer(self, services: Sequence[object]) -> None:
        """``services`` will be served to a controller: on a socket at once, on a port with its certificate."""
        if self._config.controller_endpoint.startswith(TCP):
            from .remote import Remote

            self._remote = Remote(self._config, self.server, services)
        else:
            self.server.add(self._config.controller_endpoint, services)

    def _register(self) -> None:
        """Kubelet hears of us once its calls are answered, and not before."""
        if self._config.registration_dir:
            from ..rpc.registration import Registration

            csi_socket = sockets.path_of(self._config.kubelet_endpoint or self._config.endpoint)
            self._registration = Registration(self._config.registration_dir, self._config.driver_name, csi_socket)
            self._registration.start()

    def _owns(self, pool_id: str) -> bool:
        return any(pool_id in (pool.id, pool.expected_id) for pool in self.engine.pools.all())

    async def start(self) -> dict[str, Any]:
        self._port = serve_pages(self.metrics, self.readiness, self._config.metrics_address)
        await self.server.start()
        if self._remote:
            self._remote.start()
        await self.engine.start()
        await self.plugin.start()
        self.readiness.ready()
        self._register()
        pools = [pool.name for pool in self.engine.pools.all()]
        return facts(self._config, self._port) | {"pools": sorted(pools)}

    async def stop(self) -> None:
        if self._registration:
            await self._registration.stop()
        self.readiness.not_ready(STOPPING)
        if self._remote:
            await self._remote.stop()
        await self.server.stop()
        await self.plugin.stop()
        await self.engine.stop()
        if self._port:
            self._port.close()


class _Router:
    """A process that passes calls on to the nodes that own the pools."""

    def __init__(self, config: Config) -> None:
        from ..fleet.fleet import Fleet
        from ..fleet.membership import Fixed
        from ..fleet.placement_file import PlacementFile
        from ..rpc.routed import services
        from ..rpc.routed.peer import Peer
        from ..rpc.server import Server

        if not config.nodes:
            raise InvalidArgument(
                "a controller needs the nodes it routes to: [[node]] tables or [kubernetes] in its configuration"
            )
        self._config = config
        _make_directories(config)
        self._state = Path(config.state_dir) / "controller"
        self._readiness = Readiness()
        self._metrics = Metrics()
        peers = [Peer(node.name, node.endpoint) for node in config.nodes]
        self._fleet = Fleet(Fixed(peers), PlacementFile(self._state), self._state)
        self._server = Server(self._metrics, self._readiness)
        self._server.add(config.endpoint, services.for_sidecars(self._fleet, config.driver_name, self._readiness))
        self._lock: owner.Lock | None = None
        self._port: Port | None = None

    async def start(self) -> dict[str, Any]:
        with during(f"making {self._state}"):
            self._state.mkdir(mode=0o700, exist_ok=True)
        self._lock = owner.Lock.acquire(f"{self._state}/lock", f"pid {os.getpid()}, holdall controller")
        self._port = serve_pages(self._metrics, self._readiness, self._config.metrics_address)
        await self._server.start()
        await self._fleet.start()
        self._readiness.ready()
        return facts(self._config, self._port) | {"nodes": [node.name for node in self._config.nodes]}

    async def stop(self) -> None:
        self._readiness.not_ready(STOPPING)
        await self._server.stop()
        await self._fleet.stop()
        if self._port:
            self._port.close()
        if self._lock:
            self._lock.release()


def facts(config: Config, port: Port | None) -> dict[str, Any]:
    """What the ready line of every role says."""
    from ..rpc.identity import version

    known: dict[str, Any] = {
        "version": version(),
        "driver_name": config.driver_name,
        "node_id": config.node_id,
        "state_dir": config.state_dir,
        "endpoint": config.endpoint,
    }
    if config.controller_endpoint:
        known["controller_endpoint"] = config.controller_endpoint
    if port:
        known["metrics_port"] = port.number
    return known


def serve_pages(metrics: Metrics, readiness: Readiness, address: str) -> Port | None:
    """The HTTP port, unless no address is wanted. InvalidArgument for what is no address, HostFailed when it is taken."""
    if not address:
        return None
    try:
        checks = {
            pages.HEALTHY: pages.answering(asyncio.get_running_loop()),
            pages.READY: lambda: f"not ready: {readiness.reason}" if readiness.reason else "",
        }
        return pages.serve(address, pages.pages(metrics, checks))
    except ValueError as error:
        raise InvalidArgument(f"--metrics-address: {error}") from None
    except OSError as error:
        raise HostFailed(f"metrics cannot be served on {address}: {error.strerror or error}") from error


def _make_directories(config: Config) -> None:
    """The state directory and, for the default endpoint only, the socket's: any other is the operator's to make."""
    with during(f"making the state directory {config.state_dir}"):
        os.makedirs(config.state_dir, mode=0o700, exist_ok=True)
    if config.endpoint == configuration.ENDPOINT:
        directory = os.path.dirname(configuration.ENDPOINT.removeprefix("unix://"))
        with during(f"making {directory}"):
            os.makedirs(directory, mode=0o755, exist_ok=True)

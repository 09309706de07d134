"""Role ``controller`` in a cluster: its nodes, names and certificates are objects of the Kubernetes API. Any number may run."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog

from ..fleet.fleet import Fleet
from ..host import owner
from ..host.failure import during
from ..kube import api
from ..kube.authority import Authority
from ..kube.core import Core
from ..kube.follow import Follow
from ..kube.forgotten import KubeForgotten
from ..kube.leader import Leader
from ..kube.lease import Lease
from ..kube.membership import KubeMembership
from ..kube.placement import KubePlacement
from ..kube.state import State
from ..kube.tokens import Tokens
from ..model.config import Config, KubernetesConfig
from ..model.identity import node_name
from ..rpc import endpoints
from ..rpc.enrolment import Enrolment
from ..rpc.readiness import Readiness
from ..rpc.routed import services
from ..rpc.routed.peer import Peer, ailments
from ..rpc.server import Server, Tls
from ..rpc.tls import Expected, Material
from ..telemetry.metrics import Metrics
from ..telemetry.pages import Port
from . import serve

log = structlog.get_logger()


class Cluster:
    """Serves once the cluster's state was read. ``make`` gives a node of that name at that address; otherwise it is
    called at the configured port, with mutual TLS."""

    def __init__(
        self, config: Config, settings: KubernetesConfig, make: Callable[[str, str], Peer] | None = None
    ) -> None:
        self._config = config
        self._settings = settings
        self._make = make or self._peer
        self._directory = Path(config.state_dir) / "controller"
        self._material = Material(self._directory / "tls")
        self._readiness = Readiness("the cluster's state is being read from the Kubernetes API")
        self._metrics = Metrics()
        self._server = Server(self._metrics, self._readiness)
        # Nodes enrol also while this controller does not serve yet: it waits for them, not they for it.
        enrolling = Readiness()
        enrolling.ready()
        self._enrolment = Server(self._metrics, enrolling)
        self._tasks: list[asyncio.Task[None]] = []
        self._leading: asyncio.Task[None] | None = None
        self._fleet: Fleet[Peer] | None = None
        self._api: api.Api | None = None
        self._lock: owner.Lock | None = None
        self._port: Port | None = None

    async def start(self) -> dict[str, Any]:
        config, settings = self._config, self._settings
        with during(f"making {self._directory}"):
            self._directory.mkdir(mode=0o700, exist_ok=True)
        self._lock = owner.Lock.acquire(f"{self._directory}/lock", f"pid {os.getpid()}, holdall controller")
        self._port = serve.serve_pages(self._metrics, self._readiness, config.metrics_address)
        self._api = await api.connect(settings.kubeconfig)
        state = State(self._api, settings.namespace, settings.state_config_map, config.driver_name)
        members = KubeMembership(self._api, settings.namespace, settings.node_selector, state, self._make)
        placement = KubePlacement(self._api, config.driver_name, state)
        core = Core(self._api, settings.namespace)
        authority = Authority(
            core, settings.ca_secret, settings.ca_config_map, config.driver_name, self._material.directory
        )
        tokens = Tokens(core, config.driver_name, settings.namespace, settings.node_account)
        fleet = Fleet(members, placement, self._directory, known=state, forgotten=KubeForgotten(state))
        lease = Lease(self._api, settings.namespace, f"controller.{config.driver_name}")
        follow = Follow(self._api, config.driver_name, fleet, state, lease.check)
        self._server.add(config.endpoint, services.for_sidecars(fleet, config.driver_name, self._readiness, follow))
        await self._server.start()
        watches = (state.watched, members.pods, members.nodes, placement.watched)
        self._begin(authority.run(), state.run(), *(one.run() for one in watches))
        for one in watches:
            await one.synced.wait()
        await authority.ready.wait()
        await self._enrolment.open(
            str(endpoints.tcp(settings.enrolment_address)),
            (Enrolment(tokens, authority, config.driver_name),),
            Tls(self._material),
        )
        # From here on there is something to stop.
        self._fleet = fleet
        await fleet.start()
        self._readiness.ready()
        client, name = self._api, config.driver_name
        self._leading = asyncio.create_task(lease.run(lambda: Leader(client, name, fleet, ailments).run()))
        nodes = [member.name for member in fleet.roster.all()]
        return serve.facts(config, self._port) | {"namespace": settings.namespace, "nodes": nodes}

    async def stop(self) -> None:
        self._readiness.not_ready(serve.STOPPING)
        if self._leading:
            # First of all: another controller leads on while this one lets its calls end.
            self._leading.cancel()
            await asyncio.gather(self._leading, return_exceptions=True)
        await asyncio.gather(self._server.stop(), self._enrolment.stop())
        if self._fleet:
            await self._fleet.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._api:
            await self._api.close()
        if self._port:
            self._port.close()
        if self._lock:
            self._lock.release()

    def _begin(self, *works: Coroutine[Any, Any, None]) -> None:
        self._tasks += [asyncio.create_task(work) for work in works]

    def _peer(self, name: str, address: str) -> Peer:
        expected = Expected(node_name(name, self._config.driver_name), self._material)
        return Peer(name, str(endpoints.Tcp(address, self._settings.node_port)), expected)

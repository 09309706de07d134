"""The ports of one process, each with services of its own: begun together, or once a certificate is there; ended together."""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import msgspec

from csi.holdall.v1 import enrolment_pb2_grpc as enrolment_stubs
from csi.holdall.v1 import holdall_pb2_grpc as holdall_stubs
from csi.v1 import csi_pb2_grpc as stubs

from ..model import errors
from ..telemetry.metrics import Metrics
from . import endpoints, sockets, tls
from .interceptor import Interceptor
from .readiness import Readiness

_REGISTER: tuple[tuple[type, Callable[[Any, grpc.aio.Server], None]], ...] = (
    (stubs.IdentityServicer, stubs.add_IdentityServicer_to_server),
    (stubs.ControllerServicer, stubs.add_ControllerServicer_to_server),
    (stubs.GroupControllerServicer, stubs.add_GroupControllerServicer_to_server),
    (stubs.SnapshotMetadataServicer, stubs.add_SnapshotMetadataServicer_to_server),
    (stubs.NodeServicer, stubs.add_NodeServicer_to_server),
    (holdall_stubs.HoldallServicer, holdall_stubs.add_HoldallServicer_to_server),
    (enrolment_stubs.EnrolmentServicer, enrolment_stubs.add_EnrolmentServicer_to_server),
)

_OPTIONS = (
    ("grpc.so_reuseport", 0),
    # A caller may keep an idle connection for days: neither side's pings may end it.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
    ("grpc.max_send_message_length", -1),
)
_TCP_OPTIONS = (
    # A certificate is looked at when a connection begins. So none lasts much longer than one; calls under way finish.
    ("grpc.max_connection_age_ms", 3600_000),
    # A peer that vanished without a word (a node that lost its power) is noticed.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)
_STRANGERS = (
    # Anybody in the network may speak to this port before having proven anything.
    ("grpc.max_receive_message_length", 64 * 1024),
    ("grpc.max_concurrent_streams", 4),
)


class Tls(msgspec.Struct, frozen=True):
    """How a TCP port is served: with the certificate in ``material``, to peers whose own names them ``peer`` and no others.

    Without ``peer`` to anybody, since who calls is found out otherwise (by a token).
    """

    material: tls.Material
    peer: str = ""


class _Port(msgspec.Struct, frozen=True):
    endpoint: endpoints.Endpoint
    services: Sequence[object]
    tls: Tls | None


class Server:
    """Sockets are added, then started; each is readable and writable by our own user alone."""

    def __init__(self, metrics: Metrics, readiness: Readiness, owns: Callable[[str], bool] | None = None) -> None:
        self._metrics = metrics
        self._readiness = readiness
        self._owns = owns
        self._wanted: list[_Port] = []
        self._serving: list[tuple[grpc.aio.Server, Interceptor]] = []
        self._is_ended = False

    def add(self, endpoint: str, services: Sequence[object], tls: Tls | None = None) -> None:
        """``services`` will be served on ``endpoint``. InvalidArgument for what is no endpoint, and for TCP without TLS."""
        port = self._port(endpoint, services, tls)
        if any(port.endpoint == other.endpoint for other in self._wanted):
            where = port.endpoint.path if isinstance(port.endpoint, endpoints.Unix) else port.endpoint
            raise errors.InvalidArgument(f"two sets of services are to be served on {where}; endpoints must differ")
        self._wanted.append(port)

    async def start(self) -> None:
        """Every port that was added accepts calls, or none: raises as ``sockets.make_way`` and ``open`` do."""
        for port in self._wanted:
            if isinstance(port.endpoint, endpoints.Unix):
                sockets.make_way(port.endpoint.path)
        try:
            for port in self._wanted:
                await self._open(port)
        except BaseException:
            await self.stop(0.0)
            raise

    async def open(self, endpoint: str, services: Sequence[object], tls: Tls) -> None:
        """One more TCP port accepts calls, now: a certificate may come long after the process began.

        Raises HostFailed when it cannot be listened on, and as ``Material.read`` does.
        """
        await self._open(self._port(endpoint, services, tls))

    def _port(self, endpoint: str, services: Sequence[object], tls: Tls | None) -> _Port:
        parsed = endpoints.parse(endpoint)
        if isinstance(parsed, endpoints.Tcp) and tls is None:
            raise errors.InvalidArgument(
                f"{parsed} cannot be served without certificates: nothing goes over TCP in plain"
            )
        return _Port(parsed, services, tls)

    async def _open(self, port: _Port) -> None:
        peer = port.tls.peer if port.tls else ""
        interceptor = Interceptor(self._metrics, self._readiness, self._owns, peer)
        options = _OPTIONS if port.tls is None else (*_OPTIONS, *_TCP_OPTIONS, *(() if peer else _STRANGERS))
        server = grpc.aio.server(interceptors=(interceptor,), options=options)
        for service in port.services:
            for base, register in _REGISTER:
                if isinstance(service, base):
                    register(service, server)
        _listen(server, port)
        if self._is_ended:
            return
        self._serving.append((server, interceptor))
        await server.start()

    async def stop(self, grace: float = 20.0) -> None:
        """No call is accepted any more; those under way got ``grace`` seconds to be answered, streams none."""
        self._is_ended = True
        for _, interceptor in self._serving:
            interceptor.cut_streams()
        await asyncio.gather(*(server.stop(grace) for server, _ in self._serving))
        self._serving.clear()


def _listen(server: grpc.aio.Server, port: _Port) -> None:
    previous = os.umask(0o177)
    try:
        if isinstance(port.endpoint, endpoints.Unix):
            server.add_insecure_port(port.endpoint.target)
        else:
            assert port.tls is not None
            credentials = tls.server_credentials(port.tls.material, mutual=bool(port.tls.peer))
            server.add_secure_port(port.endpoint.address, credentials)
    except RuntimeError as error:
        where = port.endpoint.path if isinstance(port.endpoint, endpoints.Unix) else port.endpoint
        raise errors.HostFailed(f"cannot listen on {where}: {error}") from error
    finally:
        os.umask(previous)

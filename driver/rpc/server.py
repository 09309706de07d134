"""The sockets of one process: each with its own set of services, all begun and ended together."""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from csi.holdall.v1 import holdall_pb2_grpc as holdall_stubs
from csi.v1 import csi_pb2_grpc as stubs

from ..model import errors
from ..telemetry.metrics import Metrics
from . import sockets
from .interceptor import Interceptor
from .readiness import Readiness

_REGISTER: tuple[tuple[type, Callable[[Any, grpc.aio.Server], None]], ...] = (
    (stubs.IdentityServicer, stubs.add_IdentityServicer_to_server),
    (stubs.ControllerServicer, stubs.add_ControllerServicer_to_server),
    (stubs.GroupControllerServicer, stubs.add_GroupControllerServicer_to_server),
    (stubs.SnapshotMetadataServicer, stubs.add_SnapshotMetadataServicer_to_server),
    (stubs.NodeServicer, stubs.add_NodeServicer_to_server),
    (holdall_stubs.HoldallServicer, holdall_stubs.add_HoldallServicer_to_server),
)

_OPTIONS = (
    ("grpc.so_reuseport", 0),
    # A caller may keep an idle connection for days: neither side's pings may end it.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
    ("grpc.max_send_message_length", -1),
)


class Server:
    """Sockets are added, then started; each is readable and writable by our own user alone."""

    def __init__(self, metrics: Metrics, readiness: Readiness, owns: Callable[[str], bool] | None = None) -> None:
        self._metrics = metrics
        self._readiness = readiness
        self._owns = owns
        self._wanted: list[tuple[str, Sequence[object]]] = []
        self._serving: list[tuple[grpc.aio.Server, Interceptor]] = []

    def add(self, endpoint: str, services: Sequence[object]) -> None:
        """``services`` will be served on ``endpoint``. InvalidArgument for an endpoint that is no socket's."""
        path = sockets.path_of(endpoint)
        if any(path == other for other, _ in self._wanted):
            raise errors.InvalidArgument(f"two sets of services are to be served on {path}; endpoints must differ")
        self._wanted.append((path, services))

    async def start(self) -> None:
        """Every socket accepts calls, or none: raises as ``sockets.make_way`` does."""
        for path, _ in self._wanted:
            sockets.make_way(path)
        try:
            for path, services in self._wanted:
                await self._open(path, services)
        except BaseException:
            await self.stop(0.0)
            raise

    async def _open(self, path: str, services: Sequence[object]) -> None:
        interceptor = Interceptor(self._metrics, self._readiness, self._owns)
        server = grpc.aio.server(interceptors=(interceptor,), options=_OPTIONS)
        for service in services:
            for base, register in _REGISTER:
                if isinstance(service, base):
                    register(service, server)
        previous = os.umask(0o177)
        try:
            server.add_insecure_port(sockets.address(path))
        except RuntimeError as error:
            raise errors.HostFailed(f"cannot listen on {path}: {error}") from error
        finally:
            os.umask(previous)
        self._serving.append((server, interceptor))
        await server.start()

    async def stop(self, grace: float = 20.0) -> None:
        """No call is accepted any more; those under way got ``grace`` seconds to be answered, streams none."""
        for _, interceptor in self._serving:
            interceptor.cut_streams()
        await asyncio.gather(*(server.stop(grace) for server, _ in self._serving))
        self._serving.clear()

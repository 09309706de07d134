"""The caller's side of our sockets: typed stubs over one channel, and its failures as domain errors."""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self, TypeVar

import grpc

from csi.holdall.v1 import holdall_pb2_grpc as holdall_stubs
from csi.v1 import csi_pb2_grpc as stubs

from ..model import errors
from . import sockets, status

Request = TypeVar("Request")
Response = TypeVar("Response")
Metadata = tuple[tuple[str, str], ...]

_OPTIONS = (
    # A restarted server is found again at once, not after gRPC's two minutes; trying a unix socket costs nothing.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # Channels to one socket must not share a connection: one that hangs would take the others with it.
    ("grpc.use_local_subchannel_pool", 1),
)


class Client:
    """One socket's services. ``peer`` is what failures call the other side."""

    def __init__(self, endpoint: str, peer: str = "") -> None:
        path = sockets.path_of(endpoint)
        self.peer = peer or f"Holdall at {path}"
        self._channel = grpc.aio.insecure_channel(sockets.address(path), options=_OPTIONS)
        self.identity = stubs.IdentityStub(self._channel)
        self.controller = stubs.ControllerStub(self._channel)
        self.group = stubs.GroupControllerStub(self._channel)
        self.metadata = stubs.SnapshotMetadataStub(self._channel)
        self.node = stubs.NodeStub(self._channel)
        self.holdall = holdall_stubs.HoldallStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """The connection is given up; calls under way end."""
        await self._channel.close()

    async def ask(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> Response:
        """The answer to one call. Domain errors as the other side meant them; Unavailable, naming it, without an answer."""
        try:
            return await method(request, timeout=timeout, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise self._meant(error) from error

    async def stream(
        self,
        method: grpc.aio.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> AsyncIterator[Response]:
        """The answers of one call, each read when the last one has been taken. Raises as ``ask`` does."""
        call = method(request, timeout=timeout, metadata=metadata)
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            raise self._meant(error) from error
        finally:
            call.cancel()

    def _meant(self, error: grpc.aio.AioRpcError) -> errors.DomainError:
        words = error.details() or ""
        if words.startswith("failed to connect"):
            words = "cannot connect: " + words.rpartition("error: ")[2]
        return status.error_of(error.code(), words, peer=self.peer)

"""The caller's side of our ports: typed stubs over one channel, and its failures as domain errors."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import grpc

from csi.holdall.v1 import enrolment_pb2_grpc as enrolment_stubs
from csi.holdall.v1 import holdall_pb2_grpc as holdall_stubs
from csi.v1 import csi_pb2_grpc as stubs

from ..model import errors
from . import endpoints, status

if TYPE_CHECKING:
    # Imported for TCP alone: commands start sooner without.
    from . import impostor, tls

Request = TypeVar("Request")
Response = TypeVar("Response")
Metadata = tuple[tuple[str, str], ...]

FINISH = 600.0
"""Seconds that calls on a channel with an old certificate may take to their end."""

_OPTIONS = (
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # Channels to one socket must not share a connection: one that hangs would take the others with it.
    ("grpc.use_local_subchannel_pool", 1),
)
_UNIX_OPTIONS = (
    # A restarted server is found again at once, not after gRPC's two minutes; trying a unix socket costs nothing.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)
_TCP_OPTIONS = (
    # The same for a restarted node, without storming one that is not there. The least is also how long one try may take.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A node that lost its power sends no word of it: the connection ends, so that calls fail and are tried anew.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A cluster's nodes are reached directly, whatever the environment says of the way out of it.
    ("grpc.enable_http_proxy", 0),
)


class _Connection:
    """A channel and its stubs."""

    def __init__(self, channel: grpc.aio.Channel, version: "tls.Version") -> None:
        self.channel = channel
        self.version = version
        self.identity = stubs.IdentityStub(channel)
        self.controller = stubs.ControllerStub(channel)
        self.group = stubs.GroupControllerStub(channel)
        self.metadata = stubs.SnapshotMetadataStub(channel)
        self.node = stubs.NodeStub(channel)
        self.holdall = holdall_stubs.HoldallStub(channel)
        self.enrolment = enrolment_stubs.EnrolmentStub(channel)


class Client:
    """One port's services. ``peer`` is what failures call the other side.

    Over TCP the other side has to be the one that is ``expected``. Calls begun after a certificate of ours was renewed,
    or a CA came or went, use the new ones; those under way finish on the connection they have.
    """

    def __init__(self, endpoint: str, peer: str = "", expected: "tls.Expected | None" = None) -> None:
        """Connects at the first call. InvalidArgument for what is no endpoint, and for TCP with nobody ``expected``."""
        parsed = endpoints.parse(endpoint)
        if isinstance(parsed, endpoints.Tcp) and expected is None:
            raise errors.InvalidArgument(
                f"{parsed} cannot be called without certificates: nothing goes over TCP in plain"
            )
        self.peer = peer or f"Holdall at {parsed.path if isinstance(parsed, endpoints.Unix) else parsed.address}"
        self._endpoint = parsed
        self._expected = expected if isinstance(parsed, endpoints.Tcp) else None
        self._connection: _Connection | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._impostor: impostor.Watch | None = None
        if isinstance(parsed, endpoints.Tcp) and expected:
            from .impostor import Watch

            self._impostor = Watch(parsed, expected)

    # Properties, since the channel below them may be another from call to call.

    @property
    def channel(self) -> grpc.aio.Channel:
        return self._current().channel

    @property
    def identity(self) -> "stubs.IdentityAsyncStub":
        return self._current().identity

    @property
    def controller(self) -> "stubs.ControllerAsyncStub":
        return self._current().controller

    @property
    def group(self) -> "stubs.GroupControllerAsyncStub":
        return self._current().group

    @property
    def metadata(self) -> "stubs.SnapshotMetadataAsyncStub":
        return self._current().metadata

    @property
    def node(self) -> "stubs.NodeAsyncStub":
        return self._current().node

    @property
    def holdall(self) -> "holdall_stubs.HoldallAsyncStub":
        return self._current().holdall

    @property
    def enrolment(self) -> "enrolment_stubs.EnrolmentAsyncStub":
        return self._current().enrolment

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def finish(self, grace: float) -> None:
        """As ``close``, after those calls under way that end within ``grace`` seconds."""
        if self._connection:
            await self._connection.channel.close(grace)
        await self.close()

    async def close(self) -> None:
        """The connection is given up; calls under way end."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        if self._impostor:
            await self._impostor.close()
        if self._connection:
            await self._connection.channel.close()

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

    def _current(self) -> _Connection:
        """The channel for a call that begins now. Raises as the credentials' ``read`` does, if there never were any."""
        now = self._connection
        if now is not None and self._expected is None:
            return now
        try:
            version = self._expected.source.version() if self._expected else ()
            if now is not None and now.version == version:
                return now
            made = _Connection(self._channel(), version)
        except errors.DomainError as error:
            if now is not None:
                return now
            raise errors.Unavailable(f"{self.peer} cannot be called yet: {error.message}") from error
        self._connection = made
        if now is not None:
            self._retire(now)
        return made

    def _channel(self) -> grpc.aio.Channel:
        if self._expected is None:
            return grpc.aio.insecure_channel(self._endpoint.target, options=(*_OPTIONS, *_UNIX_OPTIONS))
        from . import tls

        credentials = tls.channel_credentials(self._expected.source)
        named = ("grpc.ssl_target_name_override", self._expected.name)
        return grpc.aio.secure_channel(self._endpoint.target, credentials, options=(*_OPTIONS, *_TCP_OPTIONS, named))

    def _retire(self, old: _Connection) -> None:
        async def finish() -> None:
            try:
                # A caller may hold a method of the old channel that it is about to call.
                await asyncio.sleep(1.0)
                await old.channel.close(FINISH)
            finally:
                await old.channel.close()

        task = asyncio.get_running_loop().create_task(finish())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def _meant(self, error: grpc.aio.AioRpcError) -> errors.DomainError:
        words = error.details() or ""
        if self._impostor and (found := self._impostor.judge(error.code(), words)):
            return errors.Unavailable(f"{self.peer}: {found}")
        if words.startswith("failed to connect"):
            words = "cannot connect: " + words.rpartition("error: ")[2]
        return status.error_of(error.code(), words, peer=self.peer)

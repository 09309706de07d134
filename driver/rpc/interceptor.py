"""Around every RPC: read and check the request, one log line, metrics, and the status of whatever was raised.

Requests and answers pass gRPC as bytes and are parsed here, so that a request that does not parse is INVALID_ARGUMENT
like any other, and an answer that does not serialize is our INTERNAL, with a line that says why.
"""

import asyncio
import contextlib
import itertools
import logging
import re
import secrets as random
import time
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from prometheus_client import Counter

from ..engine import deadline
from ..model import errors
from ..telemetry import logs
from ..telemetry.metrics import Metrics
from . import limits, secrets, status, subject
from .callers import Callers
from .readiness import Readiness

Context = grpc.aio.ServicerContext[Any, Any]
if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
else:
    Handler = grpc.RpcMethodHandler  # generic in its stubs only

REQUEST_ID = "x-request-id"
POOL = "x-holdall-pool"
"""Set by a router on a call by id: the pool it takes this node to have. See ``owns``."""

_ALWAYS = frozenset({"csi.v1.Identity", "holdall.v1.Enrolment"})
"""Served by a process that is not ready yet. A controller is ready once it heard its nodes, which must enrol before."""
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LOUD = (grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS)


class Interceptor(grpc.aio.ServerInterceptor):
    """One per server. ``owns`` says whether a pool id is a pool of this process; a router's mistake is then refused.

    ``peer`` is the name that a caller's certificate has to have, unless anybody who can connect may call.
    """

    def __init__(
        self,
        metrics: Metrics,
        readiness: Readiness,
        owns: Callable[[str], bool] | None = None,
        peer: str = "",
    ) -> None:
        self.metrics = metrics
        self.readiness = readiness
        self.owns = owns
        self.callers = Callers(peer) if peer else None
        self._known: dict[str, Handler] = {}
        self._prefix = random.token_hex(4)
        self._numbers = itertools.count(1)
        self.streams: set[_Rpc] = set()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """The method's handler in its wrapping, made once per method."""
        name = handler_call_details.method
        known = self._known.get(name)
        if known is not None:
            return known
        inner = await continuation(handler_call_details)
        if inner is None:
            return self._unserved(name)
        wrapped = self._known[name] = self._wrap(_Method(name, inner, self.metrics), inner)
        return wrapped

    def cut_streams(self) -> None:
        """Streams under way end, telling their callers to try again: they could go on for hours, and resume elsewhere."""
        for rpc in self.streams:
            rpc.cut()

    def next_id(self) -> str:
        """A request id, unique over processes for all that matters."""
        return f"{self._prefix}-{next(self._numbers)}"

    def _wrap(self, method: "_Method", inner: Handler) -> Handler:
        # The stubs type a handler's functions for the synchronous server alone.
        function: Any = inner.unary_stream if inner.response_streaming else inner.unary_unary
        return _stream(self, method, function) if inner.response_streaming else _unary(self, method, function)

    def _unserved(self, name: str) -> Handler:
        async def refuse(_request: Message, _context: Context) -> Message:
            raise errors.Unsupported(f"{status.bounded(name)} is not served on this socket")

        # One label for all of them: a caller's inventions must not become metrics.
        return _unary(self, _Method("/unknown/unknown", None, self.metrics), refuse)


class _Method:
    """What is the same for every call of one method."""

    def __init__(self, name: str, inner: Handler | None, metrics: Metrics) -> None:
        self.service, _, self.name = name.lstrip("/").partition("/")
        self.short = f"{self.service.rpartition('.')[2]}/{self.name}"
        self.parse: Callable[[bytes], Message] | None = inner.request_deserializer if inner else None
        self.serialize: Callable[[Message], bytes] | None = inner.response_serializer if inner else None
        self.counts: dict[grpc.StatusCode, Counter] = {}
        self._rpcs = metrics.rpcs
        self.seconds = metrics.rpc_seconds.labels(self.service, self.name)
        self.in_flight = metrics.rpcs_in_flight.labels(self.service, self.name)

    def count(self, code: grpc.StatusCode) -> None:
        counter = self.counts.get(code)
        if counter is None:
            counter = self.counts[code] = self._rpcs.labels(self.service, self.name, code.name)
        counter.inc()


def _unary(around: Interceptor, method: _Method, inner: Callable[[Any, Context], Awaitable[Any]]) -> Handler:
    async def call(raw: bytes, context: Context) -> bytes:
        rpc = _Rpc(around, method, context)
        try:
            response = await inner(rpc.read(raw), context)
            answer = rpc.write(response)
        except asyncio.CancelledError:
            code, message = rpc.left()
        except Exception as error:
            code, message = rpc.failed(error)
        else:
            rpc.answered(response)
            return answer
        return await context.abort(code, message)

    return grpc.unary_unary_rpc_method_handler(call)


def _stream(
    around: Interceptor, method: _Method, inner: Callable[[Any, Context], AsyncGenerator[Any, None]]
) -> Handler:
    async def call(raw: bytes, context: Context) -> AsyncIterator[bytes]:
        rpc = _Rpc(around, method, context)
        around.streams.add(rpc)
        try:
            async with contextlib.aclosing(inner(rpc.read(raw), context)) as responses:
                async for response in responses:
                    yield rpc.write(response)
        except GeneratorExit:
            rpc.ended_by_caller()
            raise
        except asyncio.CancelledError:
            code, message = rpc.left()
        except Exception as error:
            code, message = rpc.failed(error)
        else:
            rpc.answered(None)
            return
        finally:
            around.streams.discard(rpc)
        await context.abort(code, message)

    return grpc.unary_stream_rpc_method_handler(call)


class _Rpc:
    """One call, from its request to its line."""

    __slots__ = ("around", "context", "id", "is_cut", "method", "pool", "request", "started", "task")

    def __init__(self, around: Interceptor, method: _Method, context: Context) -> None:
        self.around = around
        self.method = method
        self.context = context
        self.request: Message | None = None
        self.task = asyncio.current_task()
        self.is_cut = False
        self.started = time.perf_counter()
        self.id = self.pool = ""
        for key, value in context.invocation_metadata() or ():
            if key == REQUEST_ID and isinstance(value, str) and _GIVEN_ID.fullmatch(value):
                self.id = value
            elif key == POOL and isinstance(value, str):
                self.pool = value
        self.id = self.id or around.next_id()
        structlog.contextvars.bind_contextvars(request_id=self.id)
        deadline.expect(context.time_remaining())
        method.in_flight.inc()

    def read(self, raw: bytes) -> Message | bytes:
        """The request of one who may call, within CSI's limits, for a process that is ready and has the pool that a router
        takes it to have."""
        if self.around.callers:
            self.around.callers.check(self.context)
        if self.method.parse is None:
            return raw
        try:
            self.request = self.method.parse(raw)
        except DecodeError as error:
            raise errors.InvalidArgument(f"the request is no valid {self.method.name} message: {error}") from error
        if self.method.service not in _ALWAYS:
            self.around.readiness.check()
        limits.check(self.request)
        if self.pool and self.around.owns and not self.around.owns(self.pool):
            raise errors.Unavailable(f"pool {self.pool[:64]} is not here any more; ask again which node has it")
        return self.request

    def write(self, response: Message) -> bytes:
        return self.method.serialize(response) if self.method.serialize else b""

    def answered(self, response: Message | None) -> None:
        self._line(grpc.StatusCode.OK, "", made=subject.made_by(response) if response else {})

    def left(self) -> tuple[grpc.StatusCode, str]:
        """The caller cancelled or its deadline passed: the cancellation goes on. A mutation under way does as well.

        Only when our own side cancelled, which ends a caller's wait for nothing it did, is there anything to answer.
        """
        assert self.task is not None  # every RPC runs in one
        if self.is_cut:
            self.task.uncancel()
        if self.task.cancelling() == 0:
            return self.failed(errors.Unavailable("the driver stopped working on this; try again"))
        self.ended_by_caller()
        raise asyncio.CancelledError

    def cut(self) -> None:
        """Ended from our side, at its next wait."""
        assert self.task is not None
        self.is_cut = True
        self.task.cancel()

    def ended_by_caller(self) -> None:
        # Our clock began when the request arrived: at the caller's deadline a little of ours may still be left.
        left = self.context.time_remaining()
        late = left is not None and left < deadline.MARGIN
        self._line(grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED, "the caller left")

    def failed(self, error: Exception) -> tuple[grpc.StatusCode, str]:
        """Code and message of ``error``; what nobody foresaw is told to the log alone."""
        if isinstance(error, NotImplementedError):
            error = errors.Unsupported(f"{self.method.short} is not offered")
        if isinstance(error, errors.DomainError):
            code, message = status.code_of(error), self._clean(status.message_of(error))
            self._line(code, message)
            return code, message
        code = grpc.StatusCode.INTERNAL
        self._line(code, self._clean(repr(error)), exception=self._clean("".join(traceback.format_exception(error))))
        return code, f"{self.method.short} broke; the driver's log says more under request_id {self.id}"

    def _clean(self, text: str) -> str:
        return secrets.scrub(text, self.request) if self.request is not None else text

    def _line(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        made: dict[str, str] | None = None,
        exception: str = "",
    ) -> None:
        took = time.perf_counter() - self.started
        method = self.method
        method.in_flight.dec()
        method.seconds.observe(took)
        method.count(code)
        level = logging.ERROR if code in _LOUD else logging.INFO
        if not logs.enabled(level):
            return
        fields: dict[str, Any] = {"method": method.short, "code": code.name, "took_ms": round(took * 1000, 3)}
        fields["request_id"] = self.id
        if self.request is not None:
            fields |= subject.of(self.request)
        if made:
            fields |= made
        if message:
            fields["message"] = message
        if exception:
            fields["exception"] = exception
        if self.request is not None and logs.enabled(logging.DEBUG):
            fields["request"] = secrets.printable(self.request)
        logs.write(level, "rpc", fields)

"""Around every RPC: one line, metrics, the status of what was raised, and nothing a caller should not see."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import generate_latest

from csi.v1 import csi_pb2 as csi
from csi.v1 import csi_pb2_grpc as stubs
from driver.engine import deadline
from driver.model import errors
from driver.rpc.interceptor import POOL, REQUEST_ID

from .conftest import Log, Served, serving

SECRET = "hunter2-do-not-show"
Code = grpc.StatusCode


class Volumes(stubs.ControllerServicer):
    """Does what the test says on DeleteVolume; offers nothing else."""

    def __init__(self, body: Callable[[], Any]) -> None:
        self.body = body

    async def DeleteVolume(self, request: csi.DeleteVolumeRequest, context: Any) -> csi.DeleteVolumeResponse:
        await self.body()
        return csi.DeleteVolumeResponse()


class Blocks(stubs.SnapshotMetadataServicer):
    """Streams what the test says."""

    def __init__(self, body: Callable[[], AsyncIterator[Any]]) -> None:
        self.body = body

    async def GetMetadataAllocated(self, request: csi.GetMetadataAllocatedRequest, context: Any) -> AsyncIterator[Any]:
        async for one in self.body():
            yield one


async def nothing() -> None:
    """Succeeds."""


def raising(error: BaseException) -> Callable[[], Any]:
    async def body() -> None:
        raise error

    return body


async def delete(served: Served, **options: Any) -> grpc.aio.AioRpcError | None:
    """What the call ended with."""
    request = csi.DeleteVolumeRequest(volume_id="v-1", secrets={"password": SECRET})
    try:
        await served.client.controller.DeleteVolume(request, **options)
    except grpc.aio.AioRpcError as error:
        return error
    return None


async def test_every_rpc_leaves_exactly_one_line(socket_path: Path, log: Log) -> None:
    """Issue: JSON logs with one line per RPC: method, ids, code, duration."""
    async with serving(socket_path, [Volumes(nothing)]) as served:
        assert await delete(served) is None
        await delete(served)

    lines = log.of("rpc")
    assert len(lines) == 2
    assert {"method": "Controller/DeleteVolume", "volume_id": "v-1", "code": "OK", "level": "info"}.items() <= lines[
        0
    ].items()
    assert lines[0]["took_ms"] >= 0
    assert lines[0]["request_id"] != lines[1]["request_id"]


async def test_a_refusal_has_its_code_its_words_and_no_details(socket_path: Path, log: Log) -> None:
    """CSI: the message MUST NOT be empty, details MUST be empty."""
    async with serving(socket_path, [Volumes(raising(errors.InUse("volume „ü“ is mounted")))]) as served:
        error = await delete(served)

    assert error is not None
    assert (error.code(), error.details()) == (Code.FAILED_PRECONDITION, "volume „ü“ is mounted")
    assert "grpc-status-details-bin" not in {key for key, _ in error.trailing_metadata()}
    (line,) = log.of("rpc")
    assert (line["code"], line["message"]) == ("FAILED_PRECONDITION", "volume „ü“ is mounted")


@pytest.mark.parametrize("error", [ValueError(f"bad {SECRET}"), errors.HostFailed(f"login {SECRET} failed")])
async def test_no_secret_of_the_request_reaches_log_or_caller(error: Exception, socket_path: Path, log: Log) -> None:
    """Also when an error quotes it, also in a traceback, also at level debug, which prints requests."""
    async with serving(socket_path, [Volumes(raising(error))]) as served:
        answer = await delete(served)

    assert answer is not None
    assert SECRET not in str(answer.details())
    assert SECRET not in log.text
    assert log.of("rpc")[0]["request"]["secrets"] == {"password": "***"}


async def test_what_nobody_foresaw_is_told_to_the_log_alone(socket_path: Path, log: Log) -> None:
    """INTERNAL, with a generic message that leads to the traceback by its request id; still one line."""
    async with serving(socket_path, [Volumes(raising(ZeroDivisionError("inner workings")))]) as served:
        error = await delete(served)

    (line,) = log.of("rpc")
    assert error is not None
    assert error.code() is Code.INTERNAL
    assert "inner workings" not in str(error.details())
    assert line["request_id"] in str(error.details())
    assert "ZeroDivisionError: inner workings" in line["exception"]
    assert line["level"] == "error"


async def test_bytes_that_are_no_request_are_an_invalid_argument(socket_path: Path, log: Log) -> None:
    """A request that does not parse (also a string that is no UTF-8) is the caller's fault, not UNKNOWN."""
    async with serving(socket_path, [Volumes(nothing)]) as served:
        raw = served.client.channel.unary_unary("/csi.v1.Controller/DeleteVolume")
        for body in (b"\xff\xff\xff", b"\x0a\x02\xff\xfe"):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await raw(body)
            assert refused.value.code() is Code.INVALID_ARGUMENT
    assert [line["code"] for line in log.of("rpc")] == ["INVALID_ARGUMENT"] * 2


@pytest.mark.parametrize(
    "method",
    [
        "/csi.v1.Node/NodeGetInfo",
        "/csi.v1.Controller/Invented",
        "/x/y",
        "/csi.v1.Controller/ListVolumes",
    ],
)
async def test_what_is_not_served_is_unimplemented(method: str, socket_path: Path, log: Log) -> None:
    """CSI: an RPC that is not offered answers UNIMPLEMENTED, with a message."""
    async with serving(socket_path, [Volumes(nothing)]) as served:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await served.client.channel.unary_unary(method)(b"")
        exposed = generate_latest(served.metrics.registry).decode()

    assert refused.value.code() is Code.UNIMPLEMENTED
    assert refused.value.details()
    assert len(log.of("rpc")) == 1
    assert "Invented" not in exposed, "a caller's inventions must not become metrics"


async def test_metrics_count_by_code_and_end_at_rest(socket_path: Path, log: Log) -> None:
    """holdall_rpc_total, _duration_seconds, _in_flight."""
    async with serving(socket_path, [Volumes(raising(errors.NotFound("gone")))]) as served:
        await delete(served)
        exposed = generate_latest(served.metrics.registry).decode().splitlines()

    labels = 'method="DeleteVolume",service="csi.v1.Controller"'
    assert f'holdall_rpc_total{{code="NOT_FOUND",{labels}}} 1.0' in exposed
    assert f"holdall_rpc_duration_seconds_count{{{labels}}} 1.0" in exposed
    assert f"holdall_rpc_in_flight{{{labels}}} 0.0" in exposed


async def test_a_callers_deadline_ends_its_wait_and_is_logged_as_such(socket_path: Path, log: Log) -> None:
    """Reads are cancelled with their caller; the engine shields its mutations itself."""
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serving(socket_path, [Volumes(hang)]) as served:
        error = await delete(served, timeout=0.2)
        await asyncio.wait_for(cancelled.wait(), 5)
        await asyncio.sleep(0.05)

    assert error is not None
    assert error.code() is Code.DEADLINE_EXCEEDED
    assert [line["code"] for line in log.of("rpc")] == ["DEADLINE_EXCEEDED"]


async def test_the_engine_is_told_how_long_the_caller_waits(socket_path: Path, log: Log) -> None:
    """engine/deadline.py: joined work answers ABORTED with progress before the caller's deadline."""
    seen: list[float] = []

    async def look() -> None:
        seen.append(deadline.remaining(1000.0))

    async with serving(socket_path, [Volumes(look)]) as served:
        await delete(served, timeout=5)
        await delete(served)

    assert 3.0 < seen[0] < 5.0
    assert seen[1] == 1000.0


async def test_an_inner_cancellation_is_not_taken_for_the_callers(socket_path: Path, log: Log) -> None:
    """The caller must get an answer, or it would wait for ever."""
    async with serving(socket_path, [Volumes(raising(asyncio.CancelledError()))]) as served:
        error = await delete(served, timeout=5)

    assert error is not None
    assert error.code() is Code.UNAVAILABLE


async def test_nothing_but_identity_is_served_before_the_start_is_done(socket_path: Path, log: Log) -> None:
    """Probe says ready=false meanwhile; a call on a half-open engine would find half its volumes."""
    async with serving(socket_path, [Volumes(nothing)]) as served:
        served.readiness.not_ready("its pools are being opened")
        error = await delete(served)
        assert error is not None
        assert error.code() is Code.UNAVAILABLE
        assert "its pools are being opened" in str(error.details())
        served.readiness.ready()
        assert await delete(served) is None


async def test_a_routers_request_id_is_taken_over(socket_path: Path, log: Log) -> None:
    """Both processes' lines can be read together; what is no id is not."""
    async with serving(socket_path, [Volumes(nothing)]) as served:
        await delete(served, metadata=((REQUEST_ID, "abc-7"),))
        await delete(served, metadata=((REQUEST_ID, "x y"),))

    first, second = (line["request_id"] for line in log.of("rpc"))
    assert first == "abc-7"
    assert second != "x y"


async def test_a_call_for_a_pool_that_left_is_refused(socket_path: Path, log: Log) -> None:
    """A stale router must not get an OK for a delete on a node that no longer has the volume's pool."""
    async with serving(socket_path, [Volumes(nothing)], owns=lambda pool_id: pool_id == "p1") as served:
        assert await delete(served, metadata=((POOL, "p1"),)) is None
        error = await delete(served, metadata=((POOL, "p2"),))

    assert error is not None
    assert (error.code(), "pool p2 is not here" in str(error.details())) == (Code.UNAVAILABLE, True)


async def test_a_stream_is_one_line_and_its_errors_have_codes(socket_path: Path, log: Log) -> None:
    """SnapshotMetadata: an error after the first message still ends in a status."""

    async def body() -> AsyncIterator[Any]:
        yield csi.GetMetadataAllocatedResponse(volume_capacity_bytes=7)
        raise errors.OutOfRange("past the end")

    async with serving(socket_path, [Blocks(body)]) as served:
        call = served.client.metadata.GetMetadataAllocated(csi.GetMetadataAllocatedRequest(snapshot_id="s"))
        first = await call.read()
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await call.read()

    assert (first.volume_capacity_bytes, ended.value.code()) == (7, Code.OUT_OF_RANGE)
    assert [(line["code"], line["snapshot_id"]) for line in log.of("rpc")] == [("OUT_OF_RANGE", "s")]


async def test_a_stream_its_caller_leaves_is_one_line(socket_path: Path, log: Log) -> None:
    """And its source is closed, whatever it waits for."""
    closed = asyncio.Event()

    async def body() -> AsyncIterator[Any]:
        try:
            yield csi.GetMetadataAllocatedResponse()
            await asyncio.sleep(60)
        finally:
            closed.set()

    async with serving(socket_path, [Blocks(body)]) as served:
        call = served.client.metadata.GetMetadataAllocated(csi.GetMetadataAllocatedRequest())
        await call.read()
        call.cancel()
        await asyncio.wait_for(closed.wait(), 5)
        await asyncio.sleep(0.05)

    assert [line["code"] for line in log.of("rpc")] == ["CANCELLED"]


async def test_streams_are_cut_at_the_end_and_calls_are_not(socket_path: Path, log: Log) -> None:
    """Graceful stop: a call under way is answered; a stream, which could last hours, is told to come again."""
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.sleep(0.3)

    async def endless() -> AsyncIterator[Any]:
        yield csi.GetMetadataAllocatedResponse()
        await asyncio.sleep(60)

    async with serving(socket_path, [Volumes(work), Blocks(endless)]) as served:
        call = served.client.metadata.GetMetadataAllocated(csi.GetMetadataAllocatedRequest())
        await call.read()
        deleting = asyncio.create_task(delete(served))
        await begun.wait()
        await asyncio.wait_for(served.server.stop(30.0), 5)
        assert await deleting is None
        with pytest.raises(grpc.aio.AioRpcError) as cut:
            await call.read()

    assert cut.value.code() is Code.UNAVAILABLE
    assert not (socket_path / "x.sock").exists()

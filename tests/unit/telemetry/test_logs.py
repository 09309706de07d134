"""Log lines: what every reader of our stdout may rely on."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from driver.telemetry import logs


@pytest.fixture
def stream() -> Iterator[io.BytesIO]:
    """Where lines go during a test."""
    found = io.BytesIO()
    logs.configure("info", found)
    yield found
    logs.configure("info")


def test_a_line_is_one_json_object_that_begins_with_its_event(stream: io.BytesIO) -> None:
    """The protocol of our stdout: one object a line, keys ``event``, ``level`` and ``time`` always."""
    structlog.get_logger().info("ready", endpoint="unix:///x.sock")

    text = stream.getvalue().decode()
    assert text.startswith('{"event":"ready","level":"info","time":"')
    assert text.endswith("\n")
    assert {"event", "level", "time", "endpoint"} == set(json.loads(text))


def test_the_hot_path_writes_the_same_line(stream: io.BytesIO) -> None:
    """``write`` is only faster: a reader cannot tell it from structlog."""
    structlog.get_logger().info("rpc", code="OK")
    logs.write(logging.INFO, "rpc", {"code": "OK"})

    slow, fast = (json.loads(line) for line in stream.getvalue().splitlines())
    assert list(slow) == list(fast)
    assert len(slow.pop("time")) == len(fast.pop("time"))
    assert slow == fast


def test_lines_below_the_level_are_not_written(stream: io.BytesIO) -> None:
    """``--log-level``."""
    structlog.get_logger().debug("detail")
    logs.write(logging.DEBUG, "detail", {})

    assert stream.getvalue() == b""
    assert not logs.enabled(logging.DEBUG)


def test_an_unknown_level_is_refused_naming_the_known_ones() -> None:
    """A configuration with a wrong value is an error that says what would be right."""
    with pytest.raises(ValueError, match="'loud' is not known; wanted one of debug, info, warning, error"):
        logs.configure("loud")


def test_the_environment_sets_the_level(monkeypatch: pytest.MonkeyPatch, stream: io.BytesIO) -> None:
    """HOLDALL_LOG_LEVEL, where no option says otherwise."""
    monkeypatch.setenv(logs.LEVEL_VARIABLE, "debug")
    logs.configure("", stream)

    assert logs.enabled(logging.DEBUG)


def test_bytes_that_are_no_text_do_not_cost_the_line(stream: io.BytesIO) -> None:
    """File names from the kernel may be any bytes; Python holds them as lone surrogates, which JSON has no form for."""
    structlog.get_logger().info("found", path="/pool/\udcff")

    assert json.loads(stream.getvalue())["path"] == "/pool/\udcff"


def test_an_exception_is_part_of_its_line(stream: io.BytesIO) -> None:
    """A traceback over several lines would be no JSON."""
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        structlog.get_logger().exception("broke")

    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert "RuntimeError: boom" in json.loads(lines[0])["exception"]


def test_libraries_log_in_the_same_form(stream: io.BytesIO) -> None:
    """gRPC and asyncio use the standard ``logging``."""
    logging.getLogger("grpc").error("something %s", "odd")

    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["logger"]) == ("something odd", "error", "grpc")


def test_a_reader_that_went_away_does_not_stop_the_work() -> None:
    """A broken pipe on stdout must not fail the RPC that wanted to log."""

    class Broken(io.BytesIO):
        def write(self, _data: object) -> int:
            raise BrokenPipeError

    logs.configure("info", Broken())
    try:
        structlog.get_logger().info("ready")
        logs.write(logging.INFO, "rpc", {})
    finally:
        logs.configure("info")

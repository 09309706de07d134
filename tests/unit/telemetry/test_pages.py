"""What the HTTP port answers, page by page."""

import asyncio
import http.client
import socket
import threading
import time
from collections.abc import Iterable, Iterator

import pytest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from driver.telemetry import pages
from driver.telemetry.metrics import Metrics


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    if not loop.is_closed():
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def ask(port: pages.Port, path: str, method: str = "GET", host: str = "127.0.0.1") -> tuple[int, str]:
    """Status and body."""
    connection = http.client.HTTPConnection(host, port.number, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_a_blocked_loop_is_told_and_so_is_its_end_of_blocking(loop: asyncio.AbstractEventLoop) -> None:
    """/healthz is 503 with a sentence while something holds the event loop, 200 again afterwards; others do not wait for it."""
    check = pages.answering(loop, patience=0.2)
    port = pages.serve("127.0.0.1:0", pages.pages(Metrics(), {"/healthz": check, "/readyz": str}))
    try:
        assert ask(port, "/healthz") == (200, "ok\n")
        loop.call_soon_threadsafe(time.sleep, 1.5)
        began = time.monotonic()
        status, sentence = ask(port, "/healthz")
        assert (status, sentence) == (503, "the event loop did not answer within 0.2 s: something blocks it\n")
        assert ask(port, "/readyz") == (200, "ok\n")
        assert time.monotonic() - began < 1.0
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(10)
        assert ask(port, "/healthz") == (200, "ok\n")
    finally:
        port.close()


def test_a_loop_that_ended_is_not_well() -> None:
    """Nobody is served any more."""
    loop = asyncio.new_event_loop()
    loop.close()
    assert pages.answering(loop)() == "the event loop has ended"


def test_a_scrape_that_breaks_shows_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    """The log has it; the answer is a sentence."""

    class Broken(Collector):
        is_added = False

        def collect(self) -> Iterable[Metric]:
            if self.is_added:
                raise RuntimeError("boom")
            return ()

    metrics, broken = Metrics(), Broken()
    metrics.add(broken)
    broken.is_added = True
    port = pages.serve("127.0.0.1:0", pages.pages(metrics, {}))
    try:
        assert ask(port, "/metrics") == (500, "the metrics cannot be read; the log says why\n")
    finally:
        port.close()
    assert "boom" in "".join(capfd.readouterr())


def test_a_client_that_leaves_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """A probe that gave up is nobody's failure."""
    port = pages.serve("127.0.0.1:0", pages.pages(Metrics(), {"/healthz": str}))
    try:
        for _ in range(5):
            client = socket.create_connection(("127.0.0.1", port.number))
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        assert ask(port, "/healthz") == (200, "ok\n")
    finally:
        port.close()
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_all_addresses_are_those_of_both_kinds(host: str) -> None:
    """``:PORT`` in a cluster of either kind: kubelet probes the node's own address."""
    if not socket.has_dualstack_ipv6() and host == "::1":
        host = "127.0.0.1"
    port = pages.serve(":0", pages.pages(Metrics(), {"/healthz": str}))
    try:
        assert ask(port, "/healthz", host=host) == (200, "ok\n")
    finally:
        port.close()

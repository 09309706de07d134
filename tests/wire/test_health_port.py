"""The HTTP port: whether the process lives, whether it serves, what it measures; whoever asks, and however slowly."""

import http.client
import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from csi.v1 import csi_pb2 as csi
from tests.daemon import Daemon, Stubs
from tests.fuse import Fuse

from . import test_hung_pool

Ports = Callable[[], int]
fuse = test_hung_pool.fuse


class Page(msgspec.Struct, frozen=True):
    """What one request was answered with."""

    status: int
    body: str
    length: int


def ask(port: int, path: str, method: str = "GET") -> Page:
    """One request to ``port`` of this machine."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return Page(answer.status, answer.read().decode(), int(answer.headers["Content-Length"]))
    finally:
        connection.close()


def served(directory: Path, role: str, port: int) -> Daemon:
    """A driver of that role, with what it needs."""
    (directory / "pool").mkdir()
    config = f'[[node]]\nname = "n"\nendpoint = "unix://{directory}/n.sock"\n'
    if role != "controller":
        config = f'[[pool]]\nname = "a"\nbackend = "directory"\npath = "{directory}/pool"\n'
    return Daemon(directory, role=role, config=config, options=["--metrics-address", f":{port}"])


@pytest.mark.parametrize("role", ["all", "node", "controller"])
def test_every_role_says_that_it_lives_and_serves(role: str, socket_path: Path, free_port: Ports) -> None:
    """200 "ok" on /healthz and /readyz, the metrics on /metrics, on one port, with GET and with HEAD."""
    port = free_port()
    with served(socket_path, role, port) as daemon:
        for path in ("/healthz", "/readyz"):
            assert ask(port, path) == Page(200, "ok\n", 3)
            assert ask(port, path, "HEAD") == Page(200, "", 3)
        assert "process_resident_memory_bytes" in ask(port, "/metrics").body
        head = ask(port, "/metrics", "HEAD")
        assert (head.status, head.body) == (200, "")
        assert head.length > 100
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.output()


def test_anything_else_is_refused_with_a_hint(socket_path: Path, free_port: Ports) -> None:
    """404 names what there is, 405 what is served; neither shows how the process is made."""
    port = free_port()
    with served(socket_path, "all", port):
        for path in ("/", "/healthz/", "/metricsx", "/..%2f", "/favicon.ico"):
            hint = "nothing is here; there are /metrics, /healthz, /readyz\n"
            assert ask(port, path) == Page(404, hint, len(hint))
        assert ask(port, "/healthz", "POST").status == 405
        assert ask(port, "/metrics", "DELETE").status == 405


def test_a_slow_client_holds_up_no_other(socket_path: Path, free_port: Ports) -> None:
    """Each connection has a thread of its own: half a request is waited for by nobody else."""
    port = free_port()
    with served(socket_path, "all", port):
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        try:
            for one in slow:
                one.sendall(b"GET /healthz HT")
            began = time.monotonic()
            assert ask(port, "/healthz").status == 200
            assert time.monotonic() - began < 5.0, "as long as a slow client is waited for would be 30 s"
        finally:
            for one in slow:
                one.close()


def test_a_process_that_does_not_serve_yet_lives(tmp_path: Path, fuse: Fuse, free_port: Ports) -> None:
    """While a pool is being opened: /healthz 200, so that it is not killed for it; /readyz 503 with the reason, as Probe."""
    port = free_port()
    config = f'pool_patience = 30\n[[pool]]\nname = "a"\nbackend = "directory"\npath = "{fuse[0]}"\n'
    daemon = Daemon(tmp_path / "d", config=config, options=["--metrics-address", f"127.0.0.1:{port}"])
    os.kill(fuse[1], signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        starting = threads.submit(daemon.start)
        try:
            with Stubs(daemon.endpoint) as stubs:
                answer = stubs.identity.Probe(csi.ProbeRequest(), timeout=20, wait_for_ready=True)
            assert not answer.ready.value
            assert ask(port, "/healthz").status == 200
            assert ask(port, "/readyz").body == "not ready: its pools are being opened\n"
            assert ask(port, "/readyz").status == 503
        finally:
            os.kill(fuse[1], signal.SIGCONT)
            starting.result()
            assert ask(port, "/readyz").status == 200
            daemon.kill()

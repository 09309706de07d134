"""The real process and its socket: how it begins, whom it serves, how it ends."""

import json
import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from csi.v1 import csi_pb2 as csi
from tests.daemon import Daemon, Stubs
from tests.fuse import Fuse

from . import http2, test_hung_pool
from .fleets import capability, create

READY = csi.ProbeResponse(ready={"value": True}).SerializeToString()
PATH = b"/csi.v1.Identity/Probe"


fuse = test_hung_pool.fuse


@pytest.fixture
def daemon(socket_path: Path) -> Iterator[Daemon]:
    (socket_path / "pool").mkdir()
    config = f'[[pool]]\nname = "d"\nbackend = "directory"\npath = "{socket_path / "pool"}"\n'
    with Daemon(socket_path / "a", config=config) as daemon:
        yield daemon
        assert "Traceback" not in daemon.output()


def headers(*more: http2.Header) -> list[http2.Header]:
    return [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", PATH),
        *more,
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    ]


@pytest.mark.parametrize(
    "authority",
    [
        b"localhost",
        b"/var/lib/kubelet/plugins/holdall.csi.dev/csi.sock",
        b"%2Fvar%2Flib%2Fkubelet%2Fcsi.sock",
        b"unix:///run/csi.sock",
        b"user@host:99999",
        b"[::1",
        b"a b",
        b"",
        b"x" * 3000,
    ],
    ids=lambda one: one[:20].decode(),
)
def test_any_authority_is_served(authority: bytes, daemon: Daemon) -> None:
    """CSI over a unix socket has no host name; kubelets have sent the socket's path (kubernetes#112597)."""
    assert http2.answer(str(daemon.socket), headers((b":authority", authority))) == READY


def test_a_request_without_authority_is_served(daemon: Daemon) -> None:
    """HTTP/2 makes it optional (RFC 9113, 8.3.1)."""
    assert http2.answer(str(daemon.socket), headers((b"host", b"localhost"))) == READY


def test_rubbish_on_the_socket_harms_nobody(daemon: Daemon) -> None:
    """No other call is disturbed, and nothing but JSON is logged."""
    for broken in ([(b"x", b"\xff" * 100)], [(b":path", b"\x00")], headers()[1:]):
        try:
            http2.answer(str(daemon.socket), broken, b"\xff" * 50, patience=1.0)
        except (ConnectionError, TimeoutError):
            continue
    with Stubs(daemon.endpoint) as stubs:
        assert stubs.identity.Probe(csi.ProbeRequest(), timeout=5).ready.value
    assert daemon.running


def test_nothing_but_the_socket_is_made_beside_it(daemon: Daemon, socket_path: Path) -> None:
    """CSI: the plugin makes nothing else in the socket's directory; the socket itself is for its owner alone."""
    sockets = socket_path / "s"
    sockets.mkdir()
    with Daemon(
        socket_path / "b", options=("--controller-endpoint", f"unix://{sockets}/c.sock"), config=pool(socket_path)
    ):
        assert [path.name for path in sockets.iterdir()] == ["c.sock"]
        mode = (sockets / "c.sock").stat().st_mode
        assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)


def pool(socket_path: Path) -> str:
    path = socket_path / "other"
    path.mkdir()
    return f'[[pool]]\nname = "other"\nbackend = "directory"\npath = "{path}"\n'


def test_a_second_process_on_the_socket_refuses_naming_the_first(daemon: Daemon, socket_path: Path) -> None:
    """And the first is served on as if nothing had happened."""
    second = Daemon(socket_path / "b", config=pool(socket_path))
    second.endpoint = daemon.endpoint
    with pytest.raises(RuntimeError, match=f"process {daemon.pid} serves there"):
        second.start()
    with Stubs(daemon.endpoint) as stubs:
        assert stubs.identity.Probe(csi.ProbeRequest(), timeout=5).ready.value


def test_a_killed_process_can_be_started_again(daemon: Daemon) -> None:
    """Its socket is still there, and nobody answers on it."""
    daemon.kill()
    assert daemon.socket.exists()
    daemon.start()


def test_sigterm_answers_what_is_under_way_and_removes_the_socket(daemon: Daemon) -> None:
    """Issue: graceful stop that finishes mutations."""
    answers: list[str] = []

    def work() -> None:
        with Stubs(daemon.endpoint) as stubs:
            for number in range(500):
                try:
                    answers.append(create(stubs, f"v{number}").volume_id)
                except grpc.RpcError as error:
                    assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
                    return

    worker = threading.Thread(target=work)
    worker.start()
    while len(answers) < 5:
        time.sleep(0.01)
    assert daemon.stop() == 0
    worker.join(10)
    assert not daemon.socket.exists()
    daemon.start()
    with Stubs(daemon.endpoint) as stubs:
        listed = stubs.controller.ListVolumes(csi.ListVolumesRequest()).entries
    assert {entry.volume.volume_id for entry in listed} >= set(answers)


def test_a_second_sigterm_ends_it_at_once(socket_path: Path, fuse: Fuse) -> None:
    """Issue: SIGTERM ends it cleanly, a second one at once: here while a call hangs on a store that does not answer."""
    mount, server, _ = fuse
    config = f'[[pool]]\nname = "hung"\nbackend = "directory"\npath = "{mount}"\n'
    with Daemon(socket_path / "a", config=config) as daemon, Stubs(daemon.endpoint) as stubs:
        os.kill(server, signal.SIGSTOP)
        request = csi.CreateVolumeRequest(name="n", volume_capabilities=[capability()])
        hanging = stubs.controller.CreateVolume.future(request)
        time.sleep(0.5)
        daemon.signal(signal.SIGTERM)
        time.sleep(0.5)
        assert daemon.running, "the call under way is waited for"
        daemon.signal(signal.SIGTERM)
        assert daemon.wait(2.0) == 128 + signal.SIGTERM
        hanging.cancel()


def test_a_ready_line_and_one_line_per_call_are_all_that_is_said(daemon: Daemon) -> None:
    """Issue: one JSON log line with event ``ready``; one line per RPC; nothing that is no JSON."""
    with Stubs(daemon.endpoint) as stubs:
        stubs.identity.Probe(csi.ProbeRequest())
        request = csi.DeleteVolumeRequest(volume_id="unknown", secrets={"password": "hunter2-do-not-show"})
        stubs.controller.DeleteVolume(request)
    assert daemon.stop() == 0
    events = [line["event"] for line in daemon.lines]
    assert events.count("ready") == 1
    assert [line["method"] for line in daemon.lines if line["event"] == "rpc"] == [
        "Identity/Probe",
        "Controller/DeleteVolume",
    ]
    assert "hunter2" not in daemon.output()
    assert all(json.loads(line) for line in daemon.output().splitlines())

"""Socket paths as CSI wants them, and nobody's socket taken."""

import os
import socket
from pathlib import Path

import pytest

from driver.model import errors
from driver.rpc import sockets


@pytest.mark.parametrize("endpoint", ["unix:///run/x.sock", "unix:/run/x.sock", "/run/x.sock"])
def test_an_endpoint_is_a_path(endpoint: str) -> None:
    """CSI_ENDPOINT, in each of the forms in use."""
    assert sockets.path_of(endpoint) == "/run/x.sock"


@pytest.mark.parametrize(
    "endpoint", ["", "tcp://127.0.0.1:9", "unix://run/x.sock", "x.sock", "unix:///run/x", "/run/a\0.sock"]
)
def test_an_endpoint_of_another_form_is_refused(endpoint: str) -> None:
    """CSI: a unix socket whose path ends in .sock."""
    with pytest.raises(errors.InvalidArgument, match=r"unix:///PATH\.sock"):
        sockets.path_of(endpoint)


def test_a_path_longer_than_the_kernel_takes_is_refused_by_its_length() -> None:
    """unix(7): sun_path has 108 bytes, one of them for the end."""
    assert sockets.path_of("/" + "x" * 101 + ".sock")
    with pytest.raises(errors.InvalidArgument, match="longer than the 107 bytes"):
        sockets.path_of("/" + "x" * 102 + ".sock")


def test_a_socket_nobody_answers_on_is_removed(socket_path: Path) -> None:
    """A killed process leaves its socket behind; the next one must start all the same."""
    path = socket_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))

    sockets.make_way(str(path))
    assert not path.exists()


def test_a_socket_that_is_served_is_left_and_its_owner_named(socket_path: Path) -> None:
    """Two drivers on one socket: the second refuses to start, naming the first."""
    path = socket_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as serving:
        serving.bind(str(path))
        serving.listen()
        with pytest.raises(errors.InUse, match=f"process {os.getpid()} serves there"):
            sockets.make_way(str(path))
        assert path.exists()


def test_a_server_too_busy_to_answer_still_serves(socket_path: Path) -> None:
    """A full backlog is no reason to take a socket away."""
    path = socket_path / "x.sock"
    callers = []
    with socket.socket(socket.AF_UNIX) as serving:
        serving.bind(str(path))
        serving.listen(0)
        for _ in range(3):
            caller = socket.socket(socket.AF_UNIX)
            caller.setblocking(False)
            callers.append(caller)
            caller.connect_ex(str(path))
        with pytest.raises(errors.InUse, match="too busy to answer"):
            sockets.make_way(str(path))
        for caller in callers:
            caller.close()


def test_what_is_no_socket_is_never_removed(socket_path: Path) -> None:
    """A wrong --endpoint must not cost a file."""
    path = socket_path / "x.sock"
    path.write_text("precious")
    with pytest.raises(errors.FailedPrecondition, match="something that is no socket is there"):
        sockets.make_way(str(path))
    assert path.read_text() == "precious"


def test_a_missing_directory_is_not_made(socket_path: Path) -> None:
    """CSI: the CO makes the socket's directory; the plugin makes nothing beside its socket."""
    with pytest.raises(errors.FailedPrecondition, match="its directory does not exist"):
        sockets.make_way(str(socket_path / "absent" / "x.sock"))
    assert list(socket_path.iterdir()) == []

"""Unix sockets as CSI wants them: a path that ends in ``.sock``, nothing made beside it, nobody's live socket taken."""

import contextlib
import os
import socket
import stat
import struct

from ..model import errors

SCHEME = "unix:"
MAX_PATH = 107
"""sizeof(sockaddr_un.sun_path) less its zero byte, unix(7)."""


def path_of(endpoint: str) -> str:
    """The absolute path in ``unix:///PATH.sock`` (or ``unix:/PATH.sock``, or a bare path). InvalidArgument otherwise."""
    path = endpoint.removeprefix("unix://") if endpoint.startswith("unix://") else endpoint.removeprefix(SCHEME)
    if not path.startswith("/") or not path.endswith(".sock") or "\0" in path:
        raise errors.InvalidArgument(
            f"endpoint {endpoint!r} is not of the form unix:///PATH.sock with an absolute path"
        )
    if len(os.fsencode(path)) > MAX_PATH:
        raise errors.InvalidArgument(
            f"endpoint {endpoint!r} is longer than the {MAX_PATH} bytes a socket's path may have"
        )
    return path


def address(path: str) -> str:
    """The socket at ``path`` as gRPC names it."""
    return f"{SCHEME}{path}"


def make_way(path: str) -> None:
    """Nothing is at ``path``, and its directory is there: a socket that nobody answers on any more is removed.

    Raises InUse when somebody answers there, FailedPrecondition for what is no socket or a missing directory.
    """
    if not os.path.isdir(os.path.dirname(path)):
        raise errors.FailedPrecondition(f"cannot listen on {path}: its directory does not exist")
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise errors.FailedPrecondition(f"cannot listen on {path}: something that is no socket is there")
    if owner := _owner(path):
        raise errors.InUse(f"cannot listen on {path}: {owner} serves there; stop it first")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _owner(path: str) -> str:
    """Who answers at ``path``, by its process id (SO_PEERCRED, unix(7)); empty when nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return ""
        except BlockingIOError:
            return "a process too busy to answer"
        except OSError as error:
            code = error.errno or 0
            raise errors.HostFailed(f"cannot tell whether anybody serves on {path}: {error}", code) from error
        size = struct.calcsize("3i")
        pid, _, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return f"process {pid}"

"""Where something is served: ``unix:///PATH.sock`` or ``tcp://HOST:PORT``, read once, for server and client alike."""

import ipaddress
import re

import msgspec

from ..model import errors
from . import sockets

TCP = "tcp://"

_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")


class Unix(msgspec.Struct, frozen=True):
    """A unix socket: who may connect is decided by its directory and mode."""

    path: str

    def __str__(self) -> str:
        return f"unix://{self.path}"

    @property
    def target(self) -> str:
        """As gRPC names it, for listening and for connecting."""
        return sockets.address(self.path)


class Tcp(msgspec.Struct, frozen=True):
    """A port of a host, by name or address (IPv6 without brackets). Never served or called without TLS."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{TCP}{self.address}"

    @property
    def address(self) -> str:
        """``HOST:PORT``; an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def target(self) -> str:
        """As gRPC names it: of addresses it needs no resolver, and of names it asks for new addresses when one fails."""
        try:
            version = ipaddress.ip_address(self.host).version
        except ValueError:
            return f"dns:///{self.address}"
        return f"ipv{version}:{self.address}"


Endpoint = Unix | Tcp


def parse(text: str) -> Endpoint:
    """The endpoint that ``text`` names; a bare absolute path is a socket's. InvalidArgument, saying what is wanted."""
    return tcp(text.removeprefix(TCP)) if text.startswith(TCP) else Unix(sockets.path_of(text))


def tcp(text: str) -> Tcp:
    """The port in ``HOST:PORT``; ``:PORT`` is that port of all our addresses. InvalidArgument for anything else."""
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.match(port) or not 0 < int(port) < 65536:
        raise errors.InvalidArgument(f"endpoint {text!r} is not of the form HOST:PORT with a port from 1 to 65535")
    if not host:
        return Tcp("::", int(port))
    if host.startswith("[") and host.endswith("]"):
        try:
            return Tcp(str(ipaddress.IPv6Address(host[1:-1])), int(port))
        except ValueError:
            raise errors.InvalidArgument(f"endpoint {text!r}: {host[1:-1]!r} is no IPv6 address") from None
    if not _NAME.match(host) or (re.fullmatch(r"[0-9.]+", host) and not _is_address(host)):
        raise errors.InvalidArgument(
            f"endpoint {text!r}: {host!r} is neither a host's name nor an address; IPv6 addresses stand in brackets"
        )
    return Tcp(host, int(port))


def _is_address(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True

"""The HTTP port of a process: ``/metrics`` for Prometheus, and ``/healthz`` and ``/readyz`` for whoever watches over it.

In daemon threads of its own, so that it answers also when the event loop does not.
"""

import asyncio
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from .metrics import Metrics

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

METRICS, HEALTHY, READY = "/metrics", "/healthz", "/readyz"
PATIENCE = 1.0
"""Seconds the event loop has for an answer."""
IDLE = 30.0
"""Seconds a client may be silent before its thread is taken from it."""

Check = Callable[[], str]
"""Empty when all is well; else a sentence that says what is not. Called in the request's own thread."""

log = structlog.get_logger()


class Port:
    """A served port; ends with the process, or with ``close``."""

    def __init__(self, server: WSGIServer) -> None:
        self._server = server

    @property
    def number(self) -> int:
        return int(self._server.server_port)

    def close(self) -> None:
        """The port is free again."""
        self._server.shutdown()
        self._server.server_close()


def serve(address: str, app: "WSGIApplication") -> Port:
    """Serves ``app`` on ``HOST:PORT`` (``127.0.0.1:9090``, ``[::1]:0``, or ``:9090`` for all addresses), in daemon threads.

    Raises ValueError for an address of another form, OSError when it cannot be listened on.
    """
    host, port = _split(address)
    family, _, _, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    server_class = _Server if family == socket.AF_INET else _Server6
    server = server_class((str(found[0]), port), _Request)
    server.set_app(app)
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return Port(server)


def pages(metrics: Metrics, checks: Mapping[str, Check]) -> "WSGIApplication":
    """``/metrics``, and for each path of ``checks`` 200 "ok" or 503 with the reason. No answer shows how we are made."""
    scrape: WSGIApplication = make_wsgi_app(metrics.registry)
    known = ", ".join((METRICS, *checks))

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        is_head = method == "HEAD"
        if method not in ("GET", "HEAD"):
            return _say(
                start_response, "405 Method Not Allowed", f"{method} is not served; use GET", ("Allow", "GET, HEAD")
            )
        if path == METRICS:
            try:
                return _begun(scrape, environ | {"REQUEST_METHOD": "GET"}, start_response, is_head)
            except Exception as error:
                log.error("scrape failed", exc_info=error)
                return _say(start_response, "500 Internal Server Error", "the metrics cannot be read; the log says why")
        if path not in checks:
            return _say(start_response, "404 Not Found", f"nothing is here; there are {known}", is_head=is_head)
        reason = checks[path]()
        return _say(start_response, "503 Service Unavailable" if reason else "200 OK", reason or "ok", is_head=is_head)

    return answer


def answering(loop: asyncio.AbstractEventLoop, patience: float = PATIENCE) -> Check:
    """Whether ``loop`` runs what it is given within ``patience`` seconds: one that is stuck serves nobody any more."""

    def check() -> str:
        answered = threading.Event()
        try:
            loop.call_soon_threadsafe(answered.set)
        except RuntimeError:
            return "the event loop has ended"
        if answered.wait(patience):
            return ""
        return f"the event loop did not answer within {patience:g} s: something blocks it"

    return check


def _begun(
    app: "WSGIApplication", environ: "WSGIEnvironment", start_response: "StartResponse", is_head: bool
) -> Iterable[bytes]:
    """The answer of ``app``, for HEAD without its body."""
    begun: list[tuple[str, list[tuple[str, str]]]] = []

    def note(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        begun.append((status, headers))
        return lambda data: None

    body = b"".join(app(environ, note))
    status, headers = begun[-1]
    start_response(status, [*headers, ("Content-Length", str(len(body)))])
    return [] if is_head else [body]


def _say(
    start_response: "StartResponse", status: str, sentence: str, *headers: tuple[str, str], is_head: bool = False
) -> Iterable[bytes]:
    body = f"{sentence}\n".encode()
    start_response(
        status,
        [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("X-Content-Type-Options", "nosniff"),
            *headers,
        ],
    )
    return [] if is_head else [body]


class _Server(ThreadingWSGIServer):
    # With the standard library's 5, a burst of clients costs the next one the second after which TCP tries again.
    request_queue_size = 128

    def server_bind(self) -> None:
        """Without the standard library's look-up of our own name, which waits for a name server."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went, or was silent for too long, is nothing to print a traceback for."""
        log.debug("http client lost", client=str(client_address))


class _Server6(_Server):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        """All addresses are those of IPv4 too, whatever the host's default."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Request(WSGIRequestHandler):
    timeout = IDLE

    def log_message(self, format: str, *args: Any) -> None:
        """Watchers ask every few seconds."""


def _split(address: str) -> tuple[str, int]:
    host, separator, port = address.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"metrics address {address!r} is not HOST:PORT, such as 127.0.0.1:9090 or :9090")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return host or ("::" if socket.has_dualstack_ipv6() else "0.0.0.0"), int(port)

"""What Prometheus reads: one registry, the RPC metrics, and the port it is served on."""

from wsgiref.simple_server import WSGIServer

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.registry import Collector

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0)
"""Seconds: a stats call takes under a millisecond, a copy minutes."""


class Metrics:
    """The process's registry, with what is counted per RPC. Labels come from the protocol, never from a request."""

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self.registry)
        self.rpcs = Counter(
            "holdall_rpc_total", "RPCs answered.", ("service", "method", "code"), registry=self.registry
        )
        self.rpc_seconds = Histogram(
            "holdall_rpc_duration_seconds",
            "Time from an RPC's request to its answer.",
            ("service", "method"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.rpcs_in_flight = Gauge(
            "holdall_rpc_in_flight", "RPCs being worked on.", ("service", "method"), registry=self.registry
        )

    def add(self, collector: Collector) -> None:
        """``collector`` is asked at every scrape from now on, in the scrape's own thread."""
        self.registry.register(collector)

    def serve(self, address: str) -> "Port":
        """Serves ``/metrics`` on ``HOST:PORT`` (``:9090``, ``127.0.0.1:9090``, ``[::1]:0``) in daemon threads.

        Raises ValueError for an address of another form, OSError when it cannot be listened on.
        """
        host, port = _split(address)
        server, _thread = prometheus_client.start_http_server(port, addr=host, registry=self.registry)
        return Port(server)


class Port:
    """A served metrics port; ends with the process, or with ``close``."""

    def __init__(self, server: WSGIServer) -> None:
        self._server = server

    @property
    def number(self) -> int:
        return int(self._server.server_port)

    def close(self) -> None:
        """The port is free again."""
        self._server.shutdown()
        self._server.server_close()


def _split(address: str) -> tuple[str, int]:
    host, separator, port = address.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"metrics address {address!r} is not HOST:PORT, such as 127.0.0.1:9090 or :9090")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return host or "0.0.0.0", int(port)

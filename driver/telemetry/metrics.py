"""What Prometheus reads: one registry, and the RPC metrics."""

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

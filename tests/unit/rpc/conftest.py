"""Services of a test's own on a real socket, with the log they leave."""

import io
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from driver.rpc.client import Client
from driver.rpc.readiness import Readiness
from driver.rpc.server import Server
from driver.telemetry import logs
from driver.telemetry.metrics import Metrics


class Log:
    """The lines written so far."""

    def __init__(self) -> None:
        self.stream = io.BytesIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue().decode()

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.text.splitlines()) if line["event"] == event]


@pytest.fixture
def log() -> Iterator[Log]:
    """Everything logged during the test, at level debug."""
    found = Log()
    logs.configure("debug", found.stream)
    yield found
    logs.configure("info")


class Served:
    """A running server and a client of it."""

    def __init__(self, server: Server, client: Client, metrics: Metrics, readiness: Readiness) -> None:
        self.server = server
        self.client = client
        self.metrics = metrics
        self.readiness = readiness


@asynccontextmanager
async def serving(path: Path, services: Sequence[object], **options: Any) -> AsyncIterator[Served]:
    """``services`` on a socket in ``path``, ready."""
    metrics, readiness = Metrics(), Readiness()
    readiness.ready()
    server = Server(metrics, readiness, **options)
    server.add(f"unix://{path}/x.sock", services)
    await server.start()
    async with Client(f"unix://{path}/x.sock", peer="the server") as client:
        try:
            yield Served(server, client, metrics, readiness)
        finally:
            await server.stop(0.0)

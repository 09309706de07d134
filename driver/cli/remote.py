"""What a node offers to its controller over TCP: opened once there is a certificate, kept with a good one from then on."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import structlog

from ..model.config import Config
from ..model.errors import DomainError
from ..model.identity import controller_name
from ..rpc.enrolling import Enrolling
from ..rpc.server import Server, Tls

AGAIN = 5.0
"""Seconds between two tries to open the port: the process before us may still be ending."""

log = structlog.get_logger()


class Remote:
    """Beside a role's start and end: neither waits for a controller, or fails because there is none."""

    def __init__(self, config: Config, server: Server, services: Sequence[object]) -> None:
        assert config.enrolment is not None  # cli/config.py refuses a TCP endpoint without
        directory = Path(config.state_dir) / "tls"
        self._enrolling = Enrolling(config.enrolment, config.node_id, config.driver_name, directory)
        self._endpoint = config.controller_endpoint
        self._tls = Tls(self._enrolling.material, controller_name(config.driver_name))
        self._server = server
        self._services = services
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Enrolment is under way."""
        self._tasks = [asyncio.create_task(self._enrolling.run()), asyncio.create_task(self._open())]

    async def stop(self) -> None:
        """No more certificates are asked for. The port is the server's to close."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _open(self) -> None:
        await self._enrolling.certified.wait()
        while True:
            try:
                await self._server.open(self._endpoint, self._services, self._tls)
            except DomainError as error:
                log.error("controller port not open", message=error.message, again_in_seconds=AGAIN)
                await asyncio.sleep(AGAIN)
            else:
                log.info("controller port open", endpoint=self._endpoint)
                return

"""A controller's side of enrolment in a cluster: its CA, its own certificate, and the port where nodes come for theirs."""

import asyncio
from pathlib import Path

import structlog

from ..kube.authority import Authority
from ..kube.core import Core
from ..kube.tokens import Tokens
from ..model.errors import DomainError
from ..model.identity import node_name
from ..rpc import endpoints
from ..rpc.enrolment import Enrolment
from ..rpc.server import Server, Tls
from ..rpc.tls import Expected, Material

AGAIN = 5.0
"""Seconds between two tries to open the port."""

log = structlog.get_logger()


class Issuing:
    """Beside a controller's start and end: what needs a certificate waits for it, and nothing else does."""

    def __init__(
        self,
        core: Core,
        server: Server,
        *,
        driver_name: str,
        node_account: str,
        ca_secret: str,
        ca_config_map: str,
        enrolment_address: str,
        directory: Path,
    ) -> None:
        """``directory`` is for this controller's own certificate. InvalidArgument for what is no ``enrolment_address``."""
        self._driver_name = driver_name
        self._authority = Authority(core, ca_secret, ca_config_map, driver_name, directory)
        self._material = Material(directory)
        tokens = Tokens(core, driver_name, core.namespace, node_account)
        self._service = Enrolment(tokens, self._authority, driver_name)
        self._endpoint = str(endpoints.tcp(enrolment_address))
        self._server = server
        self._tasks: list[asyncio.Task[None]] = []

    def expected(self, node: str) -> Expected:
        """Who has to answer where node ``node`` is called, and what it is shown."""
        return Expected(node_name(node, self._driver_name), self._material)

    def start(self) -> None:
        """CA, certificate and port are under way."""
        self._tasks = [asyncio.create_task(self._authority.run()), asyncio.create_task(self._open())]

    async def stop(self) -> None:
        """Nothing is renewed any more. The port is the server's to close."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _open(self) -> None:
        await self._authority.ready.wait()
        while True:
            try:
                await self._server.open(self._endpoint, (self._service,), Tls(self._material))
            except DomainError as error:
                log.error("enrolment port not open", message=error.message, again_in_seconds=AGAIN)
                await asyncio.sleep(AGAIN)
            else:
                log.info("enrolment port open", endpoint=self._endpoint)
                return

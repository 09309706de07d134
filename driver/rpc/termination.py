"""How a serving process is told to end: once for a clean end, twice for an end at once."""

import asyncio
import os
import signal

import structlog

log = structlog.get_logger()
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Termination:
    """Listens from construction on, in a running event loop."""

    def __init__(self) -> None:
        self._told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._tell, number)

    async def wait(self) -> None:
        """Returns after the first SIGTERM or SIGINT. A second one ends the process without further ado."""
        await self._told.wait()

    def _tell(self, number: signal.Signals) -> None:
        if self._told.is_set():
            os._exit(128 + number)
        log.info("stopping", signal=number.name)
        self._told.set()

"""The life of a serving process: it says once that it is ready, ends when told to, and never hangs at its end."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from ..model.errors import DomainError, InvalidArgument
from ..rpc.termination import Termination
from ..telemetry import logs

WRONG, FAILED = 2, 1
"""Exit codes: wrong use or configuration; could not start or did not end well."""
PATIENCE = 60.0
"""Seconds that ending may take: a store that hangs must not keep the process for ever."""

log = structlog.get_logger()


class Role(Protocol):
    """What a process does between its start and its end."""

    async def start(self) -> dict[str, Any]:
        """Serving; what the ready line says of it. Raises a DomainError when it cannot, and then holds nothing."""

    async def stop(self) -> None:
        """Calls under way are answered, mutations finished. Also after a start that did not come to its end."""


def run(make: Callable[[], Role], log_level: str) -> None:
    """Serves until SIGTERM or SIGINT; never returns. ``make`` does a role's imports and wiring.

    Exit code 0 after a clean end, 2 for a wrong configuration, 1 when it could not start: then one line on stderr says why.
    """
    began = time.perf_counter()
    logs.configure(log_level)
    code = asyncio.run(_live(make, began))
    end(code)


def refuse(error: BaseException) -> int:
    """The exit code for what kept the process from starting, said in one line on stderr and in one of the log."""
    foreseen = isinstance(error, DomainError | OSError)
    message = error.message if isinstance(error, DomainError) else str(error) or repr(error)
    log.error("cannot start", message=message, exc_info=None if foreseen else error)
    print(f"holdall: {message}", file=sys.stderr)
    return WRONG if isinstance(error, InvalidArgument) else FAILED


def end(code: int) -> None:
    """Ends the process now. Threads that hang in the kernel are not waited for, nor is anything they hold."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


async def _live(make: Callable[[], Role], began: float) -> int:
    termination = Termination()
    try:
        role = make()
    except Exception as error:
        return refuse(error)
    told = asyncio.create_task(termination.wait())
    code = await _start(role, told, began)
    if code is None:
        await told
        code = 0
    try:
        await asyncio.wait_for(role.stop(), PATIENCE)
    except TimeoutError:
        log.error("did not end", message=f"work that began before is not finished after {PATIENCE:g} s; it is left")
        code = code or FAILED
    except Exception:
        log.exception("did not end well")
        code = code or FAILED
    log.info("stopped", exit_code=code)
    # Not back through asyncio.run: its end waits for threads that may hang.
    end(code)
    return code


async def _start(role: Role, told: "asyncio.Task[None]", began: float) -> int | None:
    """None once it serves; the exit code when it does not, or was told to end before it did."""
    starting = asyncio.create_task(role.start())
    both: set[asyncio.Task[Any]] = {starting, told}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting}, timeout=5.0)
        return 0
    if error := starting.exception():
        return refuse(error)
    log.info("ready", **starting.result(), pid=os.getpid(), start_seconds=round(time.perf_counter() - began, 3))
    return None

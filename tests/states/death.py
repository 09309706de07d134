"""Real deaths: a forked child runs the driver's own code and ends at a chosen call to the host, without any clean-up.

What survives is what would survive a killed driver: files, mounts, loop devices; not memory, locks or threads.
"""

import asyncio
import os
import pickle
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from driver.host import effect

DIED = 99
"""Exit code of a child that reached its chosen call."""


class EndAt:
    """Ends the process right after (or, ``before``) the n-th effect since ``arm``; counts from 1."""

    def __init__(self, number: int, *, before: bool = False) -> None:
        self._left = number
        self._before = before

    def before(self, name: str, args: tuple[object, ...]) -> None:
        if self._before:
            self._count()

    def after(self, name: str, args: tuple[object, ...]) -> None:
        if not self._before:
            self._count()

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            os._exit(DIED)


def in_child(body: Callable[[], Awaitable[Any]]) -> tuple[int, Any]:
    """``(exit code, what body returned)``; a child that raises prints its traceback and exits with 1."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            outcome = asyncio.run(_call(body))
            with os.fdopen(writer, "wb") as pipe:
                pickle.dump(outcome, pipe)
            code = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code, pickle.loads(data) if code == 0 and data else None


async def _call(body: Callable[[], Awaitable[Any]]) -> Any:
    return await body()


def arm(number: int, *, before: bool = False) -> None:
    """From here on, this process ends at its ``number``-th effect."""
    effect.install(EndAt(number, before=before))

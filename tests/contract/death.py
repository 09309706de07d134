"""Deaths at a chosen call to the host: a forked child runs the effect under test and ends there without any clean-up.

Files, mounts and loop devices survive, as they survive a killed driver; memory, descriptors and locks do not.
"""

import os
import sys
import traceback
from collections.abc import Callable
from typing import Literal

from driver.host import effect

DIED = 99

Fate = Literal["died", "finished"]


class _EndAfter:
    def __init__(self, number: int) -> None:
        self._left = number

    def before(self, name: str, args: tuple[object, ...]) -> None:
        pass

    def after(self, name: str, args: tuple[object, ...]) -> None:
        self._left -= 1
        if self._left == 0:
            os._exit(DIED)


class Recorder:
    """The names of all effects while it is installed, in order, with what they acted on."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, tuple[object, ...]]] = []

    def before(self, name: str, args: tuple[object, ...]) -> None:
        self.seen.append((name, args))

    def after(self, name: str, args: tuple[object, ...]) -> None:
        pass

    def __enter__(self) -> "Recorder":
        effect.install(self)
        return self

    def __exit__(self, *_: object) -> None:
        effect.uninstall()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.seen]


def after_effect(number: int, body: Callable[[], object]) -> Fate:
    """Run ``body`` in a child that dies right after its ``number``-th effect (from 1), or finishes before it comes to it."""
    child = os.fork()
    if child == 0:
        try:
            effect.install(_EndAfter(number))
            body()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, DIED), f"the child raised: exit code {code}"
    return "died" if code == DIED else "finished"

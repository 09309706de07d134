"""Programs of the host. The only place that starts a process."""

import os
import signal
import subprocess
from collections.abc import Container, Sequence
from typing import IO

import msgspec

from ..model.errors import HostFailed

ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
SHOWN = 2000
GRACE = 5.0


class CommandFailed(HostFailed):
    """A program could not be started (``code`` 127), ended badly (its exit code, or minus the signal) or was too slow (-9)."""

    def __init__(self, message: str, code: int, argv: Sequence[str], err: str) -> None:
        super().__init__(message, code)
        self.argv = tuple(argv)
        self.err = err


class Completed(msgspec.Struct, frozen=True):
    """A program that ended with an exit code the caller takes as success."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str


class Spawned(msgspec.Struct, frozen=True):
    """A program that runs beside us, in a session of its own, with pipes to its stdin and stdout."""

    process: subprocess.Popen[bytes]
    stdin: IO[bytes]
    stdout: IO[bytes]

    def end(self) -> None:
        """Kill the program's process group if it still runs, reap it and close the pipes."""
        raise NotImplementedError


def run(
    argv: Sequence[str], *, stdin: bytes | None = None, timeout: float = 60.0, ok: Container[int] = (0,)
) -> Completed:
    """Run a program to its end, without a shell, in a session of its own, with ``LC_ALL=C``.

    At the deadline (``timeout``, in seconds) its whole process group is killed. Raises CommandFailed for an exit code
    not in ``ok``, with the end of what the program wrote to stderr. Secrets belong in ``stdin``: argv is public.
    """
    raise NotImplementedError


def spawn(argv: Sequence[str], *, pass_fds: Sequence[int] = ()) -> Spawned:
    """Start a program that stays, with ``pass_fds`` open in it under the same numbers. Raises CommandFailed."""
    raise NotImplementedError

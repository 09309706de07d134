"""Programs of the host. The only place that starts a process."""

import contextlib
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

# Programs that a signal did not end: they hang in the kernel. Kept so that they are reaped once they come back.
_lost: list[subprocess.Popen[bytes]] = []


class CommandFailed(HostFailed):
    """A program was not started (``code`` 127), ended badly (its exit code, or minus the signal) or was too slow (-9)."""

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

    def kill(self) -> None:
        """Kill the program's process group; nothing happens if it is gone."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Wait for the program to end, and close the pipes."""
        self.process.wait()
        self.stdin.close()
        self.stdout.close()


def run(
    argv: Sequence[str], *, stdin: bytes | None = None, timeout: float = 60.0, ok: Container[int] = (0,)
) -> Completed:
    """Run a program to its end, without a shell, in a session of its own, with ``LC_ALL=C``.

    At the deadline (``timeout``, in seconds) its whole process group is killed. Raises CommandFailed for an exit code
    not in ``ok``, with the end of what the program wrote to stderr. Secrets belong in ``stdin``: argv is public.
    """
    process = _start(argv, subprocess.DEVNULL if stdin is None else subprocess.PIPE, subprocess.PIPE, ())
    try:
        out, err = process.communicate(stdin, timeout)
    except subprocess.TimeoutExpired as late:
        _kill(process)
        said = _shown(late.stderr or b"")
        raise CommandFailed(
            f"{argv[0]} did not finish within {timeout:g} s{said}", -signal.SIGKILL, argv, said
        ) from None
    except BaseException:
        _kill(process)
        raise
    told = err.decode(errors="replace")
    if process.returncode not in ok:
        message = f"{' '.join(argv)} ended with {process.returncode}{_shown(err or out)}"
        raise CommandFailed(message, process.returncode, argv, told[-SHOWN:].strip())
    return Completed(tuple(argv), process.returncode, out.decode(errors="replace"), told)


def spawn(argv: Sequence[str], *, pass_fds: Sequence[int] = ()) -> Spawned:
    """Start a program that stays, with ``pass_fds`` open in it under the same numbers. Raises CommandFailed."""
    process = _start(argv, subprocess.PIPE, subprocess.DEVNULL, pass_fds)
    assert process.stdin is not None
    assert process.stdout is not None
    return Spawned(process, process.stdin, process.stdout)


def _start(argv: Sequence[str], stdin: int, stderr: int, pass_fds: Sequence[int]) -> subprocess.Popen[bytes]:
    _lost[:] = [process for process in _lost if process.poll() is None]
    try:
        return subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=ENVIRONMENT,
            pass_fds=pass_fds,
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        raise CommandFailed(f"{argv[0]} could not be started: {error.strerror}", 127, argv, "") from error


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process group; one whose leader hangs in the kernel is left behind rather than waited for."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        _lost.append(process)


def _shown(said: bytes) -> str:
    text = said.decode(errors="replace").strip()
    return f": {text[-SHOWN:]}" if text else ""

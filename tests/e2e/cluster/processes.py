"""The cluster's programs as processes: started detached, found again by a later command, ended by their ids."""

import json
import os
import signal as signals
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


class Processes:
    """What runs in ``directory``: for each name a record of pid and start time, and a log.

    The start time (proc(5), field 22) keeps an id that was given to another process meanwhile from being signalled.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.logs = directory / "logs"

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
        *,
        end_with_parent: bool = False,
    ) -> int:
        """The new process's id; it leads a session of its own and appends to ``logs/NAME.log``.

        RuntimeError when one of that name runs already.
        """
        if self.running(name):
            raise RuntimeError(f"{name} runs already in {self._directory}; stop it first")
        self.logs.mkdir(parents=True, exist_ok=True)
        # SIGKILL of a test run leaves no chance to tidy up: the kernel does it (prctl(2), PR_SET_PDEATHSIG).
        prefix = ("setpriv", "--pdeathsig", "KILL") if end_with_parent else ()
        with (self.logs / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                [*prefix, *map(str, command)],
                # No proxy: everything here is on this machine.
                env={**os.environ, "HOME": str(self._directory), "NO_PROXY": "*", **(environment or {})},
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        _children.append(child)
        self.record(name, child.pid)
        return child.pid

    def record(self, name: str, pid: int) -> None:
        """``pid`` is known by this name from now on."""
        self._file(name).write_text(json.dumps({"pid": pid, "started": _start_time(pid)}))

    def pid(self, name: str) -> int | None:
        """The id of the process that runs under this name; None when there is none."""
        try:
            noted = json.loads(self._file(name).read_text())
        except FileNotFoundError:
            return None
        pid: int = noted["pid"]
        started = _start_time(pid)
        return pid if started is not None and started == noted["started"] else None

    def running(self, name: str) -> bool:
        return self.pid(name) is not None

    def names(self) -> list[str]:
        """Every name that was started here and not stopped, the youngest first: the order to stop in."""
        files = sorted(self._directory.glob("*.process"), key=lambda file: file.stat().st_mtime, reverse=True)
        return [file.name.removesuffix(".process") for file in files]

    def signal(self, name: str, number: signals.Signals) -> None:
        """The process has the signal. ProcessLookupError when none runs under this name."""
        pid = self.pid(name)
        if pid is None:
            raise ProcessLookupError(f"no {name} runs in {self._directory}")
        os.kill(pid, number)

    def stop(self, name: str, *, how: signals.Signals = signals.SIGTERM, patience: float = 10.0) -> None:
        """It runs no more: asked with ``how``, killed after ``patience`` seconds; nothing to do when it is gone."""
        for number, wait in ((how, patience), (signals.SIGKILL, 10.0)):
            pid = self.pid(name)
            if pid is None:
                break
            os.kill(pid, number)
            os.kill(pid, signals.SIGCONT)
            ends = time.monotonic() + wait
            while self.running(name) and time.monotonic() < ends:
                time.sleep(0.02)
        else:
            if self.running(name):
                raise RuntimeError(f"{name} survives SIGKILL; is it in the kernel, waiting for a device?")
        self._file(name).unlink(missing_ok=True)

    def tail(self, name: str, lines: int = 20) -> str:
        """The last lines of its log."""
        try:
            return "\n".join((self.logs / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def _file(self, name: str) -> Path:
        return self._directory / f"{name}.process"


_children: list[subprocess.Popen[bytes]] = []
"""Kept, or their collection would warn that they still run."""


def _start_time(pid: int) -> str | None:
    """When the process began, in ticks since boot; None when it is gone or a zombie, which this reaps if it is ours."""
    for child in _children:
        if child.pid == pid:
            child.poll()
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else rest[18]


def child_of(pid: int, patience: float = 10.0) -> int:
    """The one child of a process that forks once and waits (unshare(1), nsenter(1)), as soon as it is there."""
    ends = time.monotonic() + patience
    while time.monotonic() < ends:
        try:
            if children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                return int(children[0])
        except FileNotFoundError:
            break
        time.sleep(0.01)
    raise RuntimeError(f"process {pid} has no child; did it fail? its log says more")

"""The driver under test: real processes, waited for by the log line that says they serve, ended by SIGTERM."""

import json
import os
import subprocess
import sysconfig
import time
from pathlib import Path

HOLDALL = Path(sysconfig.get_path("scripts")) / "holdall"
READY_WITHIN = 30.0
END_WITHIN = 30.0


class Driver:
    """One role as a process of its own, its JSON log in a file."""

    def __init__(self, role: str, log: Path, *options: str) -> None:
        self.role = role
        self.log = log
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Serving when it returns. RuntimeError with the end of the log when it does not come to that."""
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                (str(HOLDALL), self.role, *self._options),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONFAULTHANDLER": "1"},
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_WITHIN
        while not self._says_ready():
            if (code := self._process.poll()) is not None:
                self._process = None
                raise RuntimeError(f"holdall {self.role} ended with {code} before it was ready: {self._tail()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"holdall {self.role} was not ready within {READY_WITHIN:.0f} s: {self._tail()}")
            time.sleep(0.02)

    def stop(self) -> list[str]:
        """Ended when it returns; what was wrong with how it ran and ended. Harmless for one that never started."""
        process = self._process
        if process is None:
            return []
        early = process.poll()
        if early is not None:
            return [f"holdall {self.role} ended by itself with {early}: {self._tail()}"]
        process.terminate()
        try:
            code = process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return [f"holdall {self.role} had not ended {END_WITHIN:.0f} s after SIGTERM: {self._tail()}"]
        return [] if code == 0 else [f"holdall {self.role} ended with {code} after SIGTERM: {self._tail()}"]

    def blemishes(self, secret: str) -> list[str]:
        """What must never stand in a log and does: a traceback, or the secret of the test's requests."""
        if not self.log.exists():
            return []
        text = self.log.read_text(errors="replace")
        words = {"a traceback": "Traceback (most recent call last)", "a secret": secret}
        return [f"the log of holdall {self.role} holds {what}" for what, word in words.items() if word in text]

    def _says_ready(self) -> bool:
        for line in self.log.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and entry.get("event") == "ready":
                return True
        return False

    def _tail(self) -> str:
        return " | ".join(self.log.read_text(errors="replace").splitlines()[-5:])

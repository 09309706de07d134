"""The driver that the demonstration talks to: ``holdall all``, a process of its own, without any configuration."""

import contextlib
import json
import os
import signal
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import IO, Any

from ...host import command
from ...model.errors import HostFailed

PATIENCE = 30.0


class Driver:
    """Started, killed and started again on one state directory."""

    def __init__(self, directory: Path) -> None:
        self.state_dir = directory / "state"
        self.endpoint = f"unix://{directory}/csi.sock"
        self.ready: dict[str, Any] = {}
        self._last = ""
        self._spawned: command.Spawned | None = None
        self._reader: threading.Thread | None = None
        self._is_ready = threading.Event()

    def start(self) -> float:
        """Serving; the seconds from the start of the program to its ready line. HostFailed with what it says otherwise."""
        began = time.perf_counter()
        self._is_ready.clear()
        self._spawned = command.spawn(
            (
                *(sys.executable, "-m", "driver", "all", "--node-id", "demo"),
                *("--state-dir", str(self.state_dir), "--endpoint", self.endpoint, "--metrics-address", "127.0.0.1:0"),
            )
        )
        self._reader = threading.Thread(target=self._read, args=(self._spawned.stdout,), daemon=True)
        self._reader.start()
        until = time.monotonic() + PATIENCE
        while not self._is_ready.wait(0.005):
            if self._spawned.process.poll() is not None or time.monotonic() > until:
                self._reader.join(2.0)
                raise HostFailed(f"the driver did not start: {self._last or 'it said nothing'}")
        return time.perf_counter() - began

    def kill(self) -> None:
        """Gone at once, without a chance to put anything in order (SIGKILL)."""
        self._kill()
        self._close()

    def stop(self) -> int:
        """Its exit code after SIGTERM; killed when it does not end."""
        if self._spawned is None:
            return 0
        process = self._spawned.process
        process.send_signal(signal.SIGTERM)
        until = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        code = process.returncode if process.returncode is not None else self._kill()
        self._close()
        return code

    def resident(self) -> int:
        """Bytes of memory it has now (proc(5), statm)."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def metrics(self) -> str:
        """What Prometheus would read now."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ready['metrics_port']}/metrics", timeout=10.0) as answer:
            text: bytes = answer.read()
        return text.decode()

    @property
    def pid(self) -> int:
        assert self._spawned is not None, "the driver is used before it was started"
        return self._spawned.process.pid

    def _kill(self) -> int:
        assert self._spawned is not None, "the driver is used before it was started"
        self._spawned.process.kill()
        return self._spawned.process.wait()

    def _close(self) -> None:
        if self._spawned is not None:
            self._spawned.stdin.close()
            if self._reader is not None:
                self._reader.join(2.0)
            self._spawned.stdout.close()
        self._spawned = None

    def _read(self, stdout: IO[bytes]) -> None:
        """Reads to the end: a driver whose pipe is full would wait for us."""
        with contextlib.suppress(ValueError, OSError), open(stdout.fileno(), "rb", closefd=False) as lines:
            for raw in lines:
                self._take(raw)

    def _take(self, raw: bytes) -> None:
        try:
            line = json.loads(raw)
        except ValueError:
            return
        if line.get("event") == "ready":
            self.ready = line
            self._is_ready.set()
        elif line.get("level") == "error":
            self._last = f"{line.get('event')}: {line.get('message', '')}"

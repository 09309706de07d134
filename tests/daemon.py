"""A real driver process and the stubs to talk to it: what tests and measurements start, kill and start again."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc

from csi.holdall.v1 import holdall_pb2_grpc
from csi.v1 import csi_pb2_grpc


class Daemon:
    """``holdall ROLE`` on a unix socket in ``directory``; its log lines are kept."""

    def __init__(
        self,
        directory: Path,
        *,
        role: str = "all",
        config: str = "",
        node_id: str = "node-a",
        options: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        program: Sequence[str] = (sys.executable, "-m", "driver"),
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.socket = directory / "csi.sock"
        self.endpoint = f"unix://{self.socket}"
        self.state = directory / "state"
        self._config = directory / "holdall.toml"
        self._config.write_text(config)
        self._role = role
        self._node_id = node_id
        self._options = list(options)
        self._environment = environment or {}
        self._program = list(program)
        self._printed: list[str] = []
        self._ready = threading.Event()
        self._process: subprocess.Popen[str] | None = None

    def start(self, patience: float = 30.0) -> "Daemon":
        """Serving: its ``ready`` line was read. RuntimeError with its output when it ends or is silent instead."""
        self._ready.clear()
        self._process = subprocess.Popen(
            [
                *self._program,
                self._role,
                *("--config", str(self._config), "--state-dir", str(self.state)),
                *("--endpoint", self.endpoint, "--node-id", self._node_id),
                *self._options,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=os.environ | self._environment,
        )
        reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        reader.start()
        until = time.monotonic() + patience
        while not self._ready.wait(0.01):
            if self._process.poll() is not None:
                reader.join(5.0)
                break
            if time.monotonic() > until:
                self.kill()
                break
        if not self._ready.is_set():
            raise RuntimeError(f"holdall {self._role} did not get ready:\n{self.output()}")
        return self

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                # Parsed only when asked for: whoever measures shares this process with the reader.
                self._printed.append(line)
                if not self._ready.is_set() and '"event":"ready"' in line.replace(" ", ""):
                    self._ready.set()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its log lines so far, parsed."""
        return [json.loads(line) for line in self._printed if line.startswith("{")]

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def output(self) -> str:
        """The end of what it printed."""
        return "".join(self._printed[-80:])

    def wait(self, patience: float = 30.0) -> int:
        """Its exit code."""
        assert self._process is not None
        return self._process.wait(patience)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Ended by SIGKILL, now."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(30.0)

    def stop(self, patience: float = 30.0) -> int:
        """Ended by SIGTERM; its exit code. Killed when that takes longer than ``patience``."""
        if self._process is None or self._process.poll() is not None:
            return self._process.returncode if self._process else 0
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def rss(self) -> int:
        """Resident memory in bytes (proc(5), statm)."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def __enter__(self) -> "Daemon":
        return self if self.running else self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


class Stubs:
    """Synchronous stubs on one channel; ``endpoint`` as gRPC writes it (unix:///path)."""

    def __init__(self, endpoint: str) -> None:
        # Left alone, gRPC waits up to two minutes before it tries again to reach a driver that was killed often.
        backoff = [(f"grpc.{which}_reconnect_backoff_ms", 200) for which in ("initial", "min", "max")]
        self.channel = grpc.insecure_channel(endpoint, options=[("grpc.use_local_subchannel_pool", 1), *backoff])
        self.identity = csi_pb2_grpc.IdentityStub(self.channel)
        self.controller = csi_pb2_grpc.ControllerStub(self.channel)
        self.group = csi_pb2_grpc.GroupControllerStub(self.channel)
        self.metadata = csi_pb2_grpc.SnapshotMetadataStub(self.channel)
        self.node = csi_pb2_grpc.NodeStub(self.channel)
        self.holdall = holdall_pb2_grpc.HoldallStub(self.channel)

    def __enter__(self) -> "Stubs":
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

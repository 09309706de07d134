"""The command ``holdall`` as a person uses it: in this process where that is as good, as a program of its own otherwise.

The fixtures are for the tests that import them.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from driver.cli import root
from driver.cli.demo.sweep import sweep
from tests import fuse as fuse_filesystem
from tests.daemon import Daemon
from tests.fuse import Fuse


class Said(msgspec.Struct, frozen=True):
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[list[str]]:
        """The words of each line of a table, its head included."""
        return [line.split() for line in self.out.splitlines()]


class Holdall:
    """Commands to one driver, which the environment names."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *arguments: object) -> Said:
        """What ``holdall ARGUMENTS`` says, and its exit code."""
        self._capture.readouterr()
        with pytest.raises(SystemExit) as ended:
            root.main([str(one) for one in arguments])
        out, err = self._capture.readouterr()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, out, err)

    def well(self, *arguments: object) -> str:
        """What it says; it has to succeed."""
        said = self(*arguments)
        assert said.code == 0, said.err
        return said.out

    def json(self, *arguments: object) -> Any:
        """What it says to a program; it has to succeed."""
        return json.loads(self.well(*arguments, "--json"))

    def refused(self, *arguments: object) -> str:
        """The one sentence it fails with."""
        said = self(*arguments)
        assert said.code == 1
        assert said.err.startswith("holdall: ")
        assert said.err.count("\n") == 1, "an error is one line"
        return said.err.removeprefix("holdall: ").strip()


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory short enough for sockets, in which nothing stays mounted."""
    made = Path(tempfile.mkdtemp(prefix="hold-", dir="/tmp"))
    try:
        yield made
    finally:
        left = sweep(made, 40.0)
    assert left == []


@pytest.fixture
def holdall(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, directory: Path) -> Holdall:
    """Commands to the driver in ``directory``."""
    monkeypatch.setenv("CSI_ENDPOINT", f"unix://{directory}/csi.sock")
    monkeypatch.setenv("HOLDALL_STATE_DIR", f"{directory}/state")
    return Holdall(capsys)


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """One driver with its default pool for all tests of a file; each uses names of its own."""
    made = Path(tempfile.mkdtemp(prefix="hold-", dir="/tmp"))
    try:
        with Daemon(made) as running:
            yield running
            running.stop()
    finally:
        left = sweep(made, 40.0)
    assert left == []


@pytest.fixture
def holdall_at_daemon(daemon: Daemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Holdall:
    """Commands to ``daemon``."""
    monkeypatch.setenv("CSI_ENDPOINT", daemon.endpoint)
    monkeypatch.setenv("HOLDALL_STATE_DIR", str(daemon.state))
    return Holdall(capsys)


@pytest.fixture
def hung(directory: Path) -> Iterator[Fuse]:
    """A FUSE mount, and the pid of the process that can be stopped to hang it."""
    with fuse_filesystem.mounted(directory) as made:
        yield made


def program(*arguments: object, environment: dict[str, str] | None = None) -> Said:
    """``holdall ARGUMENTS`` as a process of its own, to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "driver", *(str(one) for one in arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    return Said(done.returncode, done.stdout, done.stderr)

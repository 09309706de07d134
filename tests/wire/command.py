"""The command ``holdall`` as a person uses it: in this process where that is as good, as a program of its own otherwise."""

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from driver.cli import root


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

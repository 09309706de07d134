"""What the root conftest and pytest's configuration promise every test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SHOW = (
    "import tests.conftest; from hypothesis import settings; s = settings();"
    "print(s.max_examples, s.deadline, s.database, s.derandomize, s.print_blob)"
)
DROPS_AN_EXCEPTION = """
class Leaky:
    def __del__(self):
        raise RuntimeError("from the garbage collector")

def test_it():
    knot = Leaky()
    knot.self = knot
"""


@pytest.mark.parametrize("ci", ["", "true"])
@pytest.mark.parametrize(("proof", "examples"), [("slice", 100), ("full", 2000)])
def test_hypothesis_does_the_same_with_and_without_ci(ci: str, proof: str, examples: int) -> None:
    """Its own `ci` profile would make a failure there unrepeatable at home."""
    environment = {**os.environ, "HOLDALL_PROOF": proof, "CI": ci}
    command = (sys.executable, "-c", SHOW)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(examples), "None", "None", "False", "True"]


def test_an_exception_nobody_could_catch_fails_the_test(tmp_path: Path) -> None:
    """An exception in a finaliser is printed and forgotten by Python; here it is a failure."""
    test = tmp_path / "test_it.py"
    test.write_text(DROPS_AN_EXCEPTION)
    configuration = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), "-p", "tests.conftest")
    command = (sys.executable, "-m", "pytest", "-q", *configuration, str(test))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "1 passed, 1 error" in done.stdout
    assert "from the garbage collector" in done.stdout


def test_scratch_places_are_what_they_say(disk_path: Path, socket_path: Path) -> None:
    """A file on disk takes direct IO, and a socket's path fits."""
    descriptor = os.open(disk_path / "file", os.O_CREAT | os.O_RDWR | os.O_DIRECT, 0o600)
    os.close(descriptor)
    assert len(os.fsencode(socket_path)) < 60

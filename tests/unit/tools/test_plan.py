"""Which lanes there are, and which are left out."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools import plan

ROOT = Path(__file__).parents[3]


def test_skip_takes_a_comma_list() -> None:
    """Blanks and empty parts do not matter."""
    assert plan.skips("host, sanity,") == {"host", "sanity"}
    assert plan.skips("") == frozenset()


def test_skip_of_an_unknown_lane_is_an_error() -> None:
    """A typo must not look like a lane that was left out, nor like none."""
    with pytest.raises(ValueError, match="SKIP names hots; the lanes are lint"):
        plan.skips("hots")


def test_the_program_refuses_an_unknown_lane_in_skip() -> None:
    """It exits 2 before it runs anything."""
    command = [sys.executable, "-m", "tools.lanes", "test"]
    done = subprocess.run(command, cwd=ROOT, env={"SKIP": "everything"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "SKIP names everything" in done.stderr


def test_every_test_directory_is_a_lane() -> None:
    """Tests in a directory that no lane names would never run."""
    holding = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").rglob("test_*.py")}
    assert holding <= set(plan.NAMES)

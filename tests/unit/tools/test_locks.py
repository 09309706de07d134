"""The lock files hold what pyproject.toml asks for, by hash, and nothing of where it came from."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
LOCKS = ("requirements.lock", "requirements-run.lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins(lock: str) -> dict[str, str]:
    """Versions by package name."""
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / lock).read_text(), re.MULTILINE))


def asked(lock: str) -> list[Requirement]:
    listed = list(PROJECT["project"]["dependencies"])
    return [Requirement(text) for text in listed + (PROJECT["dependency-groups"]["dev"] if lock == LOCKS[0] else [])]


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_satisfies_the_project(lock: str) -> None:
    """A changed dependency without `make lock` would install something else than what was tested."""
    pinned = pins(lock)
    unmet = [str(need) for need in asked(lock) if pinned.get(canonicalize_name(need.name), "0") not in need.specifier]
    assert unmet == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash_and_no_source(lock: str) -> None:
    """Hashes make the source irrelevant, so none is named."""
    text = (ROOT / lock).read_text()
    assert all("--hash=sha256:" in block for block in re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:])
    assert "://" not in text


def test_what_runs_is_part_of_what_was_tested() -> None:
    """The image's packages are the tested ones, less the development group."""
    assert pins(LOCKS[1]).items() <= pins(LOCKS[0]).items()

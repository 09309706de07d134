"""Each test of the contract runs over both ledgers."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from driver.host import effect
from driver.state.ledger import Ledger

from .ledgers import KINDS, Make, quick_place


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    """Which ledger."""
    return str(request.param)


@pytest.fixture
def make(kind: str) -> Make:
    """Its class."""
    return KINDS[kind]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A private directory; these tests watch what is synced, and need not wait for it."""
    with tempfile.TemporaryDirectory(prefix="holdall-state-", dir=quick_place()) as name:
        yield Path(name)


@pytest.fixture
def home(scratch: Path) -> Path:
    """Where it lies; not there yet."""
    return scratch / "home"


@pytest.fixture
def ledger(make: Make, home: Path) -> Iterator[Ledger]:
    """An open, empty one."""
    made = make(str(home))
    made.open()
    yield made
    effect.uninstall()
    made.close()

"""Real loop devices and filesystems for the host layer; nothing of them stays behind."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from driver.host import effect

from ..filesystems import filesystems as filesystems
from .scratch import Scratch


@pytest.fixture
def scratch(disk_path: Path) -> Iterator[Scratch]:
    """A private place on a disk."""
    place = Scratch(disk_path)
    yield place
    place.clear()


@pytest.fixture
def observe() -> Iterator[Callable[[effect.Observer], None]]:
    """Install an observer of effects for the rest of the test."""
    yield effect.install
    effect.uninstall()

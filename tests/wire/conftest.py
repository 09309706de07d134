"""What tests over real sockets have in common."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .fleets import Fleet, fleet


@pytest.fixture
def two(socket_path: Path) -> Iterator[Fleet]:
    """Nodes a and b and their controller. No process may leave a traceback."""
    with fleet(socket_path) as made:
        yield made
        for daemon in (made.controller, *made.nodes.values()):
            assert "Traceback" not in daemon.output()

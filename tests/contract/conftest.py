"""Every test of the contract takes ``world`` and runs once per kind of pool that can do what its module is about.
A slice leaves out kinds that are mostly like another (``Kind.sliced``); the full proof leaves out none.

A module says so with ``ABILITY`` (a Protocol of ``driver.backends.base``), a test with ``@world.only``.
"""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from driver.backends import registry

from ..conftest import PROOF
from .pools import KINDS, Filesystems, Kind
from .state import State, state_on
from .world import KINDS_OF, MIB, World

_serial = itertools.count()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" not in metafunc.fixturenames:
        return
    ability = getattr(metafunc.module, "ABILITY", None)
    chosen = getattr(metafunc.function, KINDS_OF, lambda kind: True)
    kinds = [kind for kind in KINDS if (ability is None or _can(kind, ability)) and chosen(kind)]
    module = metafunc.module.__name__.rpartition(".")[2]
    # A test for a few kinds runs over all of them: a slice must not leave it without any.
    if PROOF != "full" and not hasattr(metafunc.function, KINDS_OF):
        kinds = [kind for kind in kinds if kind.sliced is None or module in kind.sliced]
    metafunc.parametrize("kind", kinds, ids=[kind.name for kind in kinds])


def _can(kind: Kind, ability: type) -> bool:
    return issubclass(registry.implementation(kind.backend), ability)


@pytest.fixture(scope="session")
def ground_floor() -> Iterator[Path]:
    """Where everything lies that gets mounted: not among pytest's directories, which another run may clear away."""
    with tempfile.TemporaryDirectory(prefix="holdall-contract-") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def filesystems(ground_floor: Path) -> Iterator[Filesystems]:
    """The session's filesystems, made as they are asked for."""
    made = Filesystems(ground_floor)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def scratch(ground_floor: Path) -> Iterator[Path]:
    """A directory for one test, with a short name of its own."""
    path = ground_floor / f"pool{next(_serial)}"
    path.mkdir()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def world(kind: Kind, filesystems: Filesystems, scratch: Path) -> Iterator[World]:
    """A new, empty, open pool of this kind."""
    with kind.make(filesystems, scratch) as ground:
        world = World(kind, ground)
        yield world
        world.backend.close()


@pytest.fixture
def state(filesystems: Filesystems, scratch: Path) -> Iterator[State]:
    """A state directory whose filesystem cannot share extents."""
    with state_on(filesystems.get("ext4")[0], scratch.name) as made:
        yield made


@pytest.fixture
def small(scratch: Path) -> Iterator[State]:
    """A state directory on a small filesystem of its own that cannot share extents."""
    made = Filesystems(scratch / "small", {"ext4": 460 * MIB})
    try:
        with state_on(made.get("ext4")[0], "state") as found:
            yield found
    finally:
        made.close()

"""Filesystems for the pools of node tests, made once, and a node over each."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from . import rig

MakeNode = Callable[..., rig.Node]


@pytest.fixture(scope="session")
def below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A mounted filesystem of each kind that pools of these tests lie on."""
    root = tmp_path_factory.mktemp("below")
    with rig.filesystem(root, "xfs") as xfs, rig.filesystem(root, "btrfs") as btrfs:
        yield {"xfs": xfs, "btrfs": btrfs}


@pytest.fixture
def make_node(below: dict[str, Path], tmp_path: Path) -> Iterator[MakeNode]:
    """Makes nodes with one pool each, of the backend of a kind of volume; their mounts are gone at the end."""
    made: list[rig.Node] = []

    def make(kind: rig.Kind) -> rig.Node:
        name = f"{tmp_path.name}-{len(made)}"
        pool = below[kind.below] / name
        pool.mkdir()
        made.append(rig.Node(tmp_path, pool, kind.backend))
        return made[-1]

    yield make
    rig.clear(tmp_path)
    for node in made:
        rig.clear(node.pool)


@pytest.fixture(params=rig.KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> rig.Kind:
    """Every kind of volume in turn."""
    found: rig.Kind = request.param
    return found


@pytest.fixture
async def node(make_node: MakeNode, kind: rig.Kind) -> AsyncIterator[rig.Node]:
    """A running node whose pool makes volumes of ``kind``."""
    started = await make_node(kind).start()
    yield started
    await started.stop()


@pytest.fixture
async def image_node(make_node: MakeNode) -> AsyncIterator[rig.Node]:
    """A running node whose pool makes image volumes."""
    started = await make_node(rig.IMAGE_EXT4).start()
    yield started
    await started.stop()

"""Directory pools on real filesystems, each in a directory of its own there."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from driver.backends.directory import DirectoryBackend
from driver.model.pool import PoolConfig

MakePool = Callable[[str], DirectoryBackend]
_serial = itertools.count()


@pytest.fixture
def make_pool(filesystems: dict[str, Path], tmp_path: Path) -> Iterator[MakePool]:
    """Opens a new pool on the filesystem of that kind."""
    opened: list[DirectoryBackend] = []

    def make(fs_type: str) -> DirectoryBackend:
        name = f"directory{next(_serial)}"
        path = filesystems[fs_type] / name
        path.mkdir()
        backend = DirectoryBackend(PoolConfig(name=name, backend="directory", path=str(path)), tmp_path / name)
        backend.open()
        opened.append(backend)
        return backend

    yield make
    for backend in opened:
        backend.close()


@pytest.fixture(params=["ext4", "xfs", "btrfs"])
def pool(make_pool: MakePool, request: pytest.FixtureRequest) -> DirectoryBackend:
    """A pool on every kind of filesystem in turn: one that shares nothing, two whose files share extents."""
    return make_pool(request.param)


@pytest.fixture
def ext4_pool(make_pool: MakePool) -> DirectoryBackend:
    """A pool whose copies copy data."""
    return make_pool("ext4")

"""A btrfs filesystem per test, on a loop device over a sparse file, and pools on it."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from driver.backends.btrfs import BtrfsBackend
from driver.model.pool import PoolConfig

SIZE = 768 << 20
MakePool = Callable[..., BtrfsBackend]


@pytest.fixture
def image(disk_path: Path) -> Path:
    """The file under the filesystem: what the device holds, byte by byte."""
    path = disk_path / "btrfs.img"
    with path.open("wb") as file:
        file.truncate(SIZE)
    subprocess.run(["mkfs.btrfs", "-q", str(path)], check=True, capture_output=True)
    return path


@pytest.fixture
def mounted(disk_path: Path, image: Path) -> Iterator[Path]:
    """Where the filesystem is mounted."""
    target = disk_path / "mnt"
    target.mkdir()
    # -w: mount(8) would else take a device it cannot write to for one to be read only.
    subprocess.run(["mount", "-w", "-o", "loop", str(image), str(target)], check=True, capture_output=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", "-R", str(target)], check=True, capture_output=True)


@pytest.fixture
def make_pool(disk_path: Path, mounted: Path) -> Iterator[MakePool]:
    """Opens pools on the filesystem; options are the backend's keys."""
    opened: list[BtrfsBackend] = []

    def make(**options: object) -> BtrfsBackend:
        config = PoolConfig(name="fast", backend="btrfs", path=str(mounted), options=options)
        backend = BtrfsBackend(config, disk_path / "state")
        backend.open()
        opened.append(backend)
        return backend

    yield make
    for backend in opened:
        backend.close()


@pytest.fixture
def pool(make_pool: MakePool) -> BtrfsBackend:
    return make_pool()

"""A directory pool behind FUSE: everything but what only a local disk can do."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from driver.backends.directory import DirectoryBackend
from driver.model import errors
from driver.model.pool import PoolConfig

from ..records import Told, snapshot, volume
from .trees import described, everything


@pytest.fixture
def fuse_pool(disk_path: Path) -> Iterator[DirectoryBackend]:
    """A pool on bindfs(1). By default the kernel believes for a second what it was told of a file, its count of names too."""
    below, mounted = disk_path / "below", disk_path / "mounted"
    below.mkdir()
    mounted.mkdir()
    subprocess.run(["bindfs", "-o", "attr_timeout=0,entry_timeout=0", str(below), str(mounted)], check=True)
    pool = DirectoryBackend(PoolConfig(name="fuse", backend="directory", path=str(mounted)), disk_path / "state")
    try:
        pool.open()
        yield pool
    finally:
        pool.close()
        subprocess.run(["umount", str(mounted)], check=True)


def test_volumes_are_made_copied_and_purged_behind_fuse(fuse_pool: DirectoryBackend, disk_path: Path) -> None:
    """A copy is its source in every respect there too, compared where nothing is remembered of either."""
    one, two = volume("one"), volume("two")
    fuse_pool.ensure_created(one)
    fuse_pool.mark_used(one)
    everything(Path(fuse_pool.directory(one)))
    cut = snapshot("cut", one)
    fuse_pool.ensure_snapshot_copied(cut, one, 0, Told())
    fuse_pool.ensure_volume_copied(two, cut, 0, Told())
    below = disk_path / "below"
    assert described(below / "volumes" / one.id) == described(below / "volumes" / two.id)
    for thing in (one, two):
        fuse_pool.ensure_trashed(thing, f"{thing.id}.1")
        fuse_pool.ensure_purged(thing, f"{thing.id}.1", "none", Told())
    fuse_pool.ensure_snapshot_trashed(cut, f"{cut.id}.1")
    fuse_pool.ensure_purged(cut, f"{cut.id}.1", "none", Told())
    assert list(fuse_pool.contents()) == []


@pytest.mark.parametrize("wipe", ["zero", "discard"])
def test_no_wipe_is_promised_behind_fuse(fuse_pool: DirectoryBackend, wipe: str) -> None:
    """Nobody here knows what lies below."""
    with pytest.raises(errors.InvalidArgument, match=f"wipe = '{wipe}'"):
        fuse_pool.shape(kind="filesystem", fs_type="", parameters={"wipe": wipe}, mutable={})

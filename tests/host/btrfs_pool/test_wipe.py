"""What a deleted volume held is gone from the device below, where that was asked for."""

import os
from pathlib import Path

import pytest

from driver.backends.btrfs import BtrfsBackend
from driver.host import btrfs
from driver.model import errors

from ..device import holds
from ..records import MIB, Told, snapshot, volume


def written(pool: BtrfsBackend, secret: bytes, wipe: str) -> None:
    """A volume with the secret in a large file, in a file so small that it lies in metadata, and in a nested subvolume."""
    one = volume("one", wipe=wipe)
    pool.ensure_created(one)
    path = Path(pool.directory(one))
    (path / "large").write_bytes(secret * (8 * MIB // len(secret)))
    (path / "small").write_bytes(secret)
    btrfs.create_subvolume(str(path), "nested")
    (path / "nested" / "large").write_bytes(secret * (MIB // len(secret)))
    os.sync()


def test_wipe_discard_leaves_nothing_on_the_device(pool: BtrfsBackend, image: Path) -> None:
    """The purge waits for the cleaner and for the trim: when it returns, the device below holds none of it."""
    secret = os.urandom(32) * 8
    written(pool, secret, "discard")
    assert holds(image, secret)
    one = volume("one", wipe="discard")
    pool.ensure_trashed(one, f"{one.id}.1")
    pool.ensure_purged(one, f"{one.id}.1", "discard", Told())
    assert not holds(image, secret)


def test_without_wipe_the_device_may_still_hold_it(pool: BtrfsBackend, image: Path) -> None:
    """The proof above would be none if deleting alone did the same."""
    secret = os.urandom(32) * 8
    written(pool, secret, "none")
    one = volume("one")
    pool.ensure_trashed(one, f"{one.id}.1")
    pool.ensure_purged(one, f"{one.id}.1", "none", Told())
    assert holds(image, secret)


def test_a_purge_cut_short_before_the_trim_is_finished_by_the_next(pool: BtrfsBackend, image: Path) -> None:
    """The name is gone then, and the number with it; the next purge of the same trash waits and trims all the same."""
    secret = os.urandom(32) * 8
    written(pool, secret, "discard")
    one = volume("one", wipe="discard")
    pool.ensure_trashed(one, f"{one.id}.1")
    pool.ensure_purged(one, f"{one.id}.1", "discard", Told(most=0))
    assert os.listdir(f"{pool.home}/trash") == []
    pool.ensure_purged(one, f"{one.id}.1", "discard", Told())
    assert not holds(image, secret)


def test_a_snapshot_keeps_what_its_volume_shared(pool: BtrfsBackend, image: Path, mounted: Path) -> None:
    """Wiping a volume takes nothing from its snapshots; wiping the last of them takes it all."""
    secret = os.urandom(32) * 8
    written(pool, secret, "discard")
    one = volume("one", wipe="discard")
    cut = snapshot("cut", one)
    pool.ensure_cut(cut, one)
    pool.ensure_trashed(one, f"{one.id}.1")
    pool.ensure_purged(one, f"{one.id}.1", "discard", Told())
    assert (mounted / "snapshots" / cut.id / "small").read_bytes() == secret
    pool.ensure_snapshot_trashed(cut, f"{cut.id}.1")
    pool.ensure_purged(cut, f"{cut.id}.1", "discard", Told())
    assert not holds(image, secret)


def test_wipe_zero_is_refused_with_the_reason(pool: BtrfsBackend) -> None:
    """btrfs would write the zeros elsewhere."""
    with pytest.raises(errors.InvalidArgument, match=r"wipe = 'zero'.*beside the old data"):
        pool.shape(kind="filesystem", fs_type="", parameters={"wipe": "zero"}, mutable={})
    with pytest.raises(errors.InvalidArgument, match=r"wipe = 'zero'.*beside the old data"):
        pool.checked_attributes(volume("one", wipe="none"), {"wipe": "zero"})

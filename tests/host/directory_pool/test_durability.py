"""What must outlive a power cut is synced, in the right order: data before its name, a name before anybody relies on it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from driver.backends.directory import DirectoryBackend
from driver.host import effect
from driver.model.volume import Volume

from ..observers import Recorder
from ..records import Told, snapshot, volume
from .trees import everything

Observe = Callable[[effect.Observer], None]


@pytest.fixture
def one(ext4_pool: DirectoryBackend) -> Volume:
    """A volume with one of everything in it."""
    made = volume("one")
    ext4_pool.ensure_created(made)
    everything(Path(ext4_pool.directory(made)))
    return made


def seen(observe: Observe, act: Callable[[], object]) -> list[tuple[str, object]]:
    """The effects of ``act``, in order, each with what it acted on."""
    recorder = Recorder()
    observe(recorder)
    act()
    effect.uninstall()
    return recorder.seen


def test_a_copy_is_synced_before_its_name_and_its_name_before_it_returns(
    ext4_pool: DirectoryBackend, one: Volume, observe: Observe
) -> None:
    """Whoever sees the snapshot sees all of it, after a power cut too."""
    cut = snapshot("cut", one)
    done = seen(observe, lambda: ext4_pool.ensure_snapshot_copied(cut, one, 0, Told()))
    names = [name for name, _ in done]
    partial = f"{ext4_pool.home}/partial/{cut.id}"
    written = max(number for number, name in enumerate(names) if name.startswith("entries."))
    synced = done.index(("freeze.sync_filesystem", partial), written)
    named = done.index(("files.rename", f"{partial}/tree"), synced)
    snapshots = f"{os.path.dirname(ext4_pool.home)}/snapshots"
    assert done.index(("files.fsync_dir", snapshots), named)
    assert done.index(("files.fsync_dir", partial), named)


def test_a_copy_that_was_found_is_durable(ext4_pool: DirectoryBackend, one: Volume, observe: Observe) -> None:
    """An earlier run may have died between the rename and its sync."""
    cut = snapshot("cut", one)
    ext4_pool.ensure_snapshot_copied(cut, one, 0, Told())
    done = seen(observe, lambda: ext4_pool.ensure_snapshot_copied(cut, one, 0, Told()))
    assert ("files.fsync_dir", f"{os.path.dirname(ext4_pool.home)}/snapshots") in done


def test_a_file_with_several_names_is_synced_before_it_is_kept_for_the_others(
    ext4_pool: DirectoryBackend, one: Volume, observe: Observe
) -> None:
    """A later run takes what is kept for complete."""
    done = seen(observe, lambda: ext4_pool.ensure_snapshot_copied(snapshot("cut", one), one, 0, Told()))
    names = [name for name, _ in done]
    kept = [number for number, name in enumerate(names) if name == "entries.make_link"]
    # The first is the dangling link, which has no data; the next is the regular file.
    assert "files.fsync_file" in names[: kept[1]]
    assert names[names.index("files.fsync_file") + 1] == "entries.make_link"


def test_a_volume_is_durable_when_it_is_first_used(ext4_pool: DirectoryBackend, observe: Observe) -> None:
    """``mark_used``; making an empty one syncs nothing, since it is made again."""
    made = volume("new")
    assert not [name for name, _ in seen(observe, lambda: ext4_pool.ensure_created(made)) if "sync" in name]
    done = seen(observe, lambda: ext4_pool.mark_used(made))
    assert done == [("files.fsync_dir", os.path.dirname(ext4_pool.directory(made)))]


def test_a_delete_is_durable_in_both_directories(ext4_pool: DirectoryBackend, one: Volume, observe: Observe) -> None:
    """Else a new volume of the name would find the old data, or the old data be lost."""
    done = seen(observe, lambda: ext4_pool.ensure_trashed(one, f"{one.id}.1"))
    renamed = [name for name, _ in done].index("files.rename")
    for directory in (f"{ext4_pool.home}/trash", os.path.dirname(ext4_pool.directory(one))):
        assert done.index(("files.fsync_dir", directory)) > renamed


def test_a_purge_is_durable(ext4_pool: DirectoryBackend, one: Volume, observe: Observe) -> None:
    """What is gone does not come back when its record is forgotten; also when there was nothing left to remove."""
    ext4_pool.ensure_trashed(one, f"{one.id}.1")
    for _ in range(2):
        done = seen(observe, lambda: ext4_pool.ensure_purged(one, f"{one.id}.1", "none", Told()))
        removed = [number for number, (name, _) in enumerate(done) if name.startswith("tree.")]
        assert done.index(("files.fsync_dir", f"{ext4_pool.home}/trash")) > max(removed, default=-1)


def test_zeros_are_synced_before_the_names_go(ext4_pool: DirectoryBackend, one: Volume, observe: Observe) -> None:
    """Nobody would write them once the blocks are free."""
    ext4_pool.ensure_trashed(one, f"{one.id}.1")
    done = [name for name, _ in seen(observe, lambda: ext4_pool.ensure_purged(one, f"{one.id}.1", "zero", Told()))]
    wiped = [number for number, name in enumerate(done) if name == "files.zero_range_write"]
    assert wiped
    assert max(wiped) < min(number for number, name in enumerate(done) if name.startswith("tree."))

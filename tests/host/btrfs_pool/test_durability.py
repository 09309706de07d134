"""What must outlive a power cut is committed last: nothing is changed after the commit, and none is missing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from driver.backends.btrfs import BtrfsBackend
from driver.host import btrfs, effect
from driver.model.volume import Volume

from ..observers import Recorder
from ..records import MIB, Told, snapshot, volume

CHANGES = {
    "btrfs.create_subvolume",
    "btrfs.snapshot",
    "btrfs.delete_subvolume",
    "btrfs.set_read_only",
    "btrfs.set_compression",
    "qgroups.limit",
    "files.rename",
}
COMMITS = {"btrfs.commit", "files.fsync_dir"}
"""A directory's fsync commits all, after a subvolume was renamed into or out of it."""
Observe = Callable[[effect.Observer], None]


@pytest.fixture
def recorded(observe: Observe) -> Callable[[Callable[[], object]], list[str]]:
    """Runs something and tells its changes and commits, in order."""

    def run(act: Callable[[], object]) -> list[str]:
        recorder = Recorder()
        observe(recorder)
        act()
        effect.uninstall()
        return [name for name in recorder.names if name in CHANGES | COMMITS]

    return run


Run = Callable[[Callable[[], object]], list[str]]


def check(done: list[str], *wanted: str) -> None:
    assert done[-1] in COMMITS
    assert set(wanted) <= set(done)


@pytest.fixture
def one(pool: BtrfsBackend) -> Volume:
    """A volume with something in it."""
    made = volume("one")
    pool.ensure_created(made)
    (Path(pool.directory(made)) / "file").write_text("x")
    return made


def test_a_volume_is_durable_when_it_is_first_used(pool: BtrfsBackend, recorded: Run) -> None:
    """``mark_used``; an empty one need not be, and making it costs no commit."""
    made = volume("new")
    assert recorded(lambda: pool.ensure_created(made))[-1] == "files.rename"
    check(recorded(lambda: pool.mark_used(made)))


def test_a_cut_is_durable_also_one_that_was_found(pool: BtrfsBackend, one: Volume, recorded: Run) -> None:
    """A repeat that finds the snapshot cannot know whether it was committed."""
    cut = snapshot("cut", one)
    check(recorded(lambda: pool.ensure_cut(cut, one)), "btrfs.snapshot")
    check(recorded(lambda: pool.ensure_cut(cut, one)))


def test_a_clone_is_durable_with_its_limit(pool: BtrfsBackend, one: Volume, recorded: Run) -> None:
    """Both are there, or the repeat makes both."""
    two = volume("two", 100 * MIB, compression="zstd")
    done = recorded(lambda: pool.ensure_volume_from_volume(two, one))
    check(done, "btrfs.snapshot", "btrfs.set_compression", "qgroups.limit")
    check(recorded(lambda: pool.ensure_volume_from_volume(two, one)))


def test_growth_is_durable(pool: BtrfsBackend, one: Volume, recorded: Run) -> None:
    """The record relies on it; also when an earlier try set the limit and died."""
    check(recorded(lambda: pool.ensure_resized(one, 128 * MIB)), "qgroups.limit")
    check(recorded(lambda: pool.ensure_resized(one, 128 * MIB)))


def test_changed_attributes_are_durable(pool: BtrfsBackend, one: Volume, recorded: Run) -> None:
    """In force, whatever comes."""
    check(recorded(lambda: pool.ensure_attributes(one, {"compression": "zstd"})), "btrfs.set_compression")
    check(recorded(lambda: pool.ensure_attributes(one, {"compression": "zstd"})))


def test_a_delete_is_durable(pool: BtrfsBackend, one: Volume, recorded: Run) -> None:
    """Else a new volume of the name would find the old data; for snapshots too, which are made writable first."""
    cut = snapshot("cut", one)
    pool.ensure_cut(cut, one)
    check(recorded(lambda: pool.ensure_trashed(one, f"{one.id}.1")), "files.rename")
    check(recorded(lambda: pool.ensure_snapshot_trashed(cut, f"{cut.id}.1")), "btrfs.set_read_only", "files.rename")
    check(recorded(lambda: pool.ensure_trashed(one, f"{one.id}.1")))
    check(recorded(lambda: pool.ensure_snapshot_trashed(cut, f"{cut.id}.1")))


def test_a_purge_is_durable(pool: BtrfsBackend, one: Volume, recorded: Run) -> None:
    """What is gone does not come back when its record is forgotten; also when an earlier try deleted it and died."""
    for thing, trash in ((one, f"{one.id}.1"), (one, f"{one.id}.2")):
        pool.ensure_trashed(thing, trash)
        check(recorded(lambda trash=trash: pool.ensure_purged(one, trash, "none", Told())))
    pool.ensure_created(one)
    pool.ensure_trashed(one, f"{one.id}.3")
    btrfs.delete_subvolume(f"{pool.home}/trash", f"{one.id}.3")
    check(recorded(lambda: pool.ensure_purged(one, f"{one.id}.3", "none", Told())))

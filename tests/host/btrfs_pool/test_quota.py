"""Sizes, enforced by the kernel."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from driver.backends.btrfs import BtrfsBackend
from driver.host import btrfs, btrfs_cleaner, qgroups
from driver.model import errors
from driver.model.health import Status

from ..records import MIB, Told, snapshot, volume
from .conftest import MakePool


def fill(directory: str, name: str = "data", most: int = 1 << 30, piece: int = MIB) -> tuple[int, int]:
    """Bytes that could be written, and the errno that ended it (0: ``most`` was reached)."""
    written = 0
    with open(f"{directory}/{name}", "wb", buffering=0) as file:
        try:
            while written < most:
                written += file.write(os.urandom(piece))
        except OSError as error:
            return written, error.errno or 0
    return written, 0


@pytest.mark.parametrize("quota", ["qgroup", "simple"])
def test_a_user_gets_edquot_at_the_size_of_the_volume(make_pool: MakePool, quota: str) -> None:
    """The limit is the volume's size: nearly all of it can be written, and no more."""
    pool = make_pool(quota=quota)
    one = volume("one", 16 * MIB)
    pool.ensure_created(one)
    written, code = fill(pool.directory(one))
    assert code == errno.EDQUOT
    assert 15 * MIB <= written <= 16 * MIB


def test_the_smallest_volume_takes_nearly_all_of_its_size(pool: BtrfsBackend) -> None:
    """A size below which metadata would eat it up is not offered."""
    least = pool.shape(kind="filesystem", fs_type="", parameters={}, mutable={}).minimum
    one = volume("one", least)
    pool.ensure_created(one)
    written, code = fill(pool.directory(one), piece=4096)
    assert code == errno.EDQUOT
    assert written >= least * 9 // 10


def test_a_grown_volume_takes_more(pool: BtrfsBackend) -> None:
    """Expansion raises the limit while the volume is in use."""
    one = volume("one", 4 * MIB)
    pool.ensure_created(one)
    assert fill(pool.directory(one), "before")[1] == errno.EDQUOT
    pool.ensure_resized(one, 16 * MIB)
    assert fill(pool.directory(one), "after", 10 * MIB) == (10 * MIB, 0)
    assert pool.usage(one)[1] == 16 * MIB


def test_a_resize_never_lowers_a_limit(pool: BtrfsBackend) -> None:
    """Volumes never shrink, whatever a repeated call says."""
    one = volume("one", 16 * MIB)
    pool.ensure_created(one)
    pool.ensure_resized(one, 4 * MIB)
    assert pool.usage(one)[1] == 16 * MIB


@pytest.mark.parametrize("way", ["snapshot", "volume"])
def test_restored_volumes_have_a_limit_of_their_own(pool: BtrfsBackend, way: str) -> None:
    """A snapshot's copy is not limited by its source's size, nor left without any."""
    one, two = volume("one", 16 * MIB), volume("two", 24 * MIB)
    pool.ensure_created(one)
    fill(pool.directory(one), most=8 * MIB)
    if way == "snapshot":
        cut = snapshot("cut", one)
        pool.ensure_cut(cut, one)
        pool.ensure_volume_from_snapshot(two, cut)
    else:
        pool.ensure_volume_from_volume(two, one)
    assert pool.usage(two)[1] == 24 * MIB
    written, code = fill(pool.directory(two), "more")
    assert code == errno.EDQUOT
    assert 14 * MIB <= written <= 16 * MIB


def test_a_clone_cut_before_a_crash_gets_its_limit_on_retry(pool: BtrfsBackend) -> None:
    """The cut and the limit are two steps; a retry does the second."""
    one, two = volume("one"), volume("two", 128 * MIB)
    pool.ensure_created(one)
    btrfs.snapshot(pool.directory(one), os.path.dirname(pool.directory(one)), two.id, read_only=False)
    pool.ensure_volume_from_volume(two, one)
    assert pool.usage(two)[1] == 128 * MIB


def test_usage_tells_what_was_committed(pool: BtrfsBackend) -> None:
    """O(1), from the qgroup: the volume's own data, not the pool's."""
    one, two = volume("one"), volume("two")
    pool.ensure_created(one)
    pool.ensure_created(two)
    fill(pool.directory(one), most=8 * MIB)
    os.sync()
    assert 8 * MIB <= pool.usage(one)[0] < 9 * MIB
    assert pool.usage(two)[0] < MIB


def test_a_purged_volume_leaves_no_qgroup(pool: BtrfsBackend, mounted: Path) -> None:
    """Neither its own nor those of subvolumes its user made."""
    before = _qgroups(mounted)
    one = volume("one")
    pool.ensure_created(one)
    btrfs.create_subvolume(pool.directory(one), "inner")
    pool.ensure_trashed(one, f"{one.id}.1")
    pool.ensure_purged(one, f"{one.id}.1", "none", Told())
    assert _qgroups(mounted) == before
    assert btrfs_cleaner.pending(str(mounted)) == set()


def test_inconsistent_quota_is_seen_and_mended_by_the_chore(pool: BtrfsBackend, mounted: Path) -> None:
    """Figures gone wrong degrade the pool, and a rescan is due until they are right."""
    one = volume("one")
    pool.ensure_created(one)
    fill(pool.directory(one), most=2 * MIB)
    cut = snapshot("cut", one)
    pool.ensure_cut(cut, one)
    # A parent for a subvolume that shares extents cannot be counted on the spot.
    subprocess.run(["btrfs", "qgroup", "create", "1/100", str(mounted)], check=True, capture_output=True)
    number = btrfs.subvolume_id(pool.directory(one))
    subprocess.run(
        ["btrfs", "qgroup", "assign", "--no-rescan", f"0/{number}", "1/100", str(mounted)],
        check=False,
        capture_output=True,
    )
    (ailment,) = pool.ailments()
    assert (ailment.status, ailment.reason) == (Status.DEGRADED, "QuotaInconsistent")
    ((name, body),) = pool.chores()
    assert name == "rescan"
    body(Told())
    assert pool.ailments() == []
    assert pool.chores() == []


def test_quota_turned_off_by_somebody_is_an_ailment_until_a_restart(pool: BtrfsBackend, mounted: Path) -> None:
    """Nobody must believe that sizes are enforced when they are not; opening again turns it on."""
    qgroups.disable(str(mounted))
    assert [one.reason for one in pool.ailments()] == ["QuotaOff"]
    pool.close()
    pool.open()
    assert pool.ailments() == []


@pytest.mark.parametrize(("found", "wanted"), [("qgroup", "simple"), ("simple", "qgroup")])
def test_quota_of_the_other_kind_is_refused_and_left_alone(make_pool: MakePool, found: str, wanted: str) -> None:
    """Turning it off would forget limits that may be somebody's."""
    make_pool(quota=found).close()
    with pytest.raises(errors.FailedPrecondition, match=f"found quota of kind {found}.*wanted {wanted}"):
        make_pool(quota=wanted)


def test_without_quota_size_is_not_enforced_and_nothing_is_turned_on(make_pool: MakePool, mounted: Path) -> None:
    """``quota = "none"`` leaves somebody's filesystem as it is, and says that it enforces nothing."""
    pool = make_pool(quota="none")
    one = volume("one", 2 * MIB)
    pool.ensure_created(one)
    assert fill(pool.directory(one), most=4 * MIB) == (4 * MIB, 0)
    os.sync()
    assert not pool.enforces_size()
    assert pool.usage(one)[0] >= 4 * MIB
    assert pool.usage(one)[1] == 0
    assert not qgroups.status(str(mounted)).enabled


def test_a_snapshot_reserves_what_its_source_refers_to(pool: BtrfsBackend) -> None:
    """Shared or not: the source may be deleted first."""
    one = volume("one")
    pool.ensure_created(one)
    fill(pool.directory(one), most=8 * MIB)
    os.sync()
    cut = snapshot("cut", one)
    before = pool.snapshot_allocated(cut, one)
    pool.ensure_cut(cut, one)
    assert 8 * MIB <= before < 9 * MIB
    assert before == pool.snapshot_allocated(cut, one) == pool.snapshot_allocated(cut, None)


def _qgroups(mounted: Path) -> list[str]:
    shown = subprocess.run(
        ["btrfs", "qgroup", "show", "--raw", str(mounted)], check=True, capture_output=True, text=True
    )
    return [line.split()[0] for line in shown.stdout.splitlines()[2:]]

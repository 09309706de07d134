"""Volumes and snapshots as subvolumes, from birth to purge."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from driver.backends.btrfs import BtrfsBackend
from driver.host import btrfs, btrfs_cleaner
from driver.model import errors
from driver.model.health import Status
from driver.model.pool import PoolConfig
from driver.model.volume import Volume

from ..records import MIB, Told, snapshot, volume
from .conftest import MakePool


def purge(pool: BtrfsBackend, one: Volume) -> None:
    pool.ensure_trashed(one, f"{one.id}.9")
    pool.ensure_purged(one, f"{one.id}.9", "none", Told())


def test_a_new_volume_can_be_written_by_any_user_and_entered_through_a_mount_only(pool: BtrfsBackend) -> None:
    """No fsGroup is applied to volumes without a fsType; the host's users stay out at the parent directory."""
    one = volume("one")
    pool.ensure_created(one)
    path = pool.directory(one)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o777
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700


def test_creating_again_leaves_what_the_user_set(pool: BtrfsBackend) -> None:
    """A repeated create looks before it acts."""
    one = volume("one")
    pool.ensure_created(one)
    os.chmod(pool.directory(one), 0o750)
    Path(pool.directory(one), "kept").write_text("x")
    pool.ensure_created(one)
    assert stat.S_IMODE(os.stat(pool.directory(one)).st_mode) == 0o750
    assert Path(pool.directory(one), "kept").exists()


def test_a_half_made_volume_is_made_anew(pool: BtrfsBackend) -> None:
    """A crash before the rename leaves a subvolume beside, maybe without its mode."""
    one = volume("one")
    btrfs.create_subvolume(f"{pool.home}/partial", one.id)
    pool.ensure_created(one)
    assert stat.S_IMODE(os.stat(pool.directory(one)).st_mode) == 0o777
    assert os.listdir(f"{pool.home}/partial") == []


def test_a_snapshot_is_read_only_and_holds_data_never_synced(pool: BtrfsBackend) -> None:
    """One moment of the source, ready to be sent."""
    one = volume("one")
    pool.ensure_created(one)
    with open(f"{pool.directory(one)}/file", "wb") as file:
        file.write(b"before")
        file.flush()
        cut = snapshot("cut", one)
        pool.ensure_cut(cut, one)
        file.write(b" after")
    where = Path(f"{os.path.dirname(pool.home)}/snapshots/{cut.id}")
    assert (where / "file").read_bytes() == b"before"
    with pytest.raises(OSError, match="Read-only"):
        (where / "more").write_bytes(b"")


def test_a_snapshot_can_be_sent_and_received(pool: BtrfsBackend, mounted: Path) -> None:
    """btrfs-send(8) takes it as it is."""
    one = volume("one")
    pool.ensure_created(one)
    Path(pool.directory(one), "file").write_text("sent")
    cut = snapshot("cut", one)
    pool.ensure_cut(cut, one)
    stream = subprocess.run(
        ["btrfs", "send", "-q", str(mounted / "snapshots" / cut.id)], check=True, capture_output=True
    )
    target = mounted / "received"
    target.mkdir()
    subprocess.run(["btrfs", "receive", "-q", str(target)], input=stream.stdout, check=True, capture_output=True)
    assert (target / cut.id / "file").read_text() == "sent"


def test_snapshots_outlive_their_volume_and_volumes_their_snapshot(pool: BtrfsBackend) -> None:
    """Nothing a purge takes away is missed by a copy."""
    one, two = volume("one"), volume("two")
    pool.ensure_created(one)
    Path(pool.directory(one), "file").write_text("x")
    cut = snapshot("cut", one)
    pool.ensure_cut(cut, one)
    purge(pool, one)
    pool.ensure_volume_from_snapshot(two, cut)
    pool.ensure_snapshot_trashed(cut, f"{cut.id}.1")
    pool.ensure_purged(cut, f"{cut.id}.1", "none", Told())
    assert Path(pool.directory(two), "file").read_text() == "x"
    assert not pool.snapshot_exists(cut)


def test_a_snapshot_left_writable_by_a_crash_is_trashed_all_the_same(pool: BtrfsBackend) -> None:
    """btrfs renames no read-only subvolume into another directory, so it is made writable first."""
    one = volume("one")
    pool.ensure_created(one)
    cut = snapshot("cut", one)
    pool.ensure_cut(cut, one)
    btrfs.set_read_only(f"{os.path.dirname(pool.home)}/snapshots/{cut.id}", False)
    pool.ensure_snapshot_trashed(cut, f"{cut.id}.1")
    assert os.listdir(f"{pool.home}/trash") == [f"{cut.id}.1"]


def test_a_purge_gives_the_space_back_before_it_returns(pool: BtrfsBackend) -> None:
    """Not some time later, when the kernel's cleaner comes by: the reservation ends with the purge."""
    one = volume("one", 512 * MIB)
    pool.ensure_created(one)
    empty = pool.space().free
    with open(f"{pool.directory(one)}/file", "wb") as file:
        file.write(os.urandom(MIB) * 200)
    os.sync()
    assert pool.space().free < empty - 150 * MIB
    purge(pool, one)
    assert pool.space().free > empty - 50 * MIB


def test_nested_subvolumes_of_users_are_purged_with_their_volume(pool: BtrfsBackend) -> None:
    """Also read-only ones, and a subvolume inside a subvolume."""
    one = volume("one", formatted=True)
    pool.ensure_created(one)
    path = pool.directory(one)
    btrfs.create_subvolume(path, "a")
    btrfs.create_subvolume(f"{path}/a", "b\n\udcff")
    btrfs.snapshot(path, path, "self", read_only=True)
    btrfs.set_read_only(f"{path}/a", True)
    assert [(one.status, one.reason) for one in pool.volume_ailments(one)] == [(Status.DEGRADED, "NestedSubvolumes")]
    purge(pool, one)
    assert btrfs_cleaner.pending(pool.home) == set()
    assert list(pool.contents()) == []


@pytest.mark.parametrize("way", ["deep path", "many levels"])
def test_no_depth_keeps_a_volume_from_being_purged(pool: BtrfsBackend, way: str, full_proof: bool) -> None:
    """A user may put a subvolume where no path reaches, and more levels than a program has descriptors."""
    one = volume("one")
    pool.ensure_created(one)
    fd = os.open(pool.directory(one), os.O_RDONLY)
    levels = 1100 if full_proof else 150
    for _ in range(30 if way == "deep path" else levels):
        name = "d" * 200 if way == "deep path" else "s"
        if way == "deep path":
            os.mkdir(name, dir_fd=fd)
        else:
            btrfs.create_subvolume(f"/proc/self/fd/{fd}", name)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    btrfs.create_subvolume(f"/proc/self/fd/{fd}", "last")
    os.close(fd)
    purge(pool, one)
    assert os.listdir(f"{pool.home}/trash") == []


def test_what_users_lock_is_purged(pool: BtrfsBackend) -> None:
    """Immutable directories, subvolumes and the volume itself are no way to keep space for ever."""
    one = volume("one")
    pool.ensure_created(one)
    path = pool.directory(one)
    btrfs.create_subvolume(path, "inner")
    subprocess.run(["chattr", "+i", f"{path}/inner", path], check=True)
    btrfs.set_read_only(f"{path}/inner", True)
    purge(pool, one)
    assert os.listdir(f"{pool.home}/trash") == []


def test_a_link_in_a_volume_leads_a_purge_nowhere(pool: BtrfsBackend, mounted: Path) -> None:
    """What a link points to is not part of the volume."""
    outside = mounted / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    one = volume("one")
    pool.ensure_created(one)
    os.symlink(outside, f"{pool.directory(one)}/link")
    purge(pool, one)
    assert (outside / "kept").exists()


def test_purging_nothing_succeeds(pool: BtrfsBackend) -> None:
    """A crash after the purge leaves the record of a trash that is gone."""
    one = volume("one")
    for wipe in ("none", "discard"):
        pool.ensure_purged(one, f"{one.id}.1", wipe, Told())


def test_a_full_pool_can_still_delete_and_purge(make_pool: MakePool, mounted: Path) -> None:
    """At 0 bytes free, delete and purge work, and then there is room again."""
    pool = make_pool(quota="none")
    one = volume("one")
    pool.ensure_created(one)
    cut = snapshot("cut", one)
    pool.ensure_cut(cut, one)
    piece = os.urandom(MIB)
    for size in (16 * MIB, MIB, 4096):
        with open(f"{pool.directory(one)}/{size}", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(piece[:size] * max(1, size // MIB))
            except OSError:
                pass
    pool.ensure_snapshot_trashed(cut, f"{cut.id}.1")
    pool.ensure_purged(cut, f"{cut.id}.1", "none", Told())
    purge(pool, one)
    assert pool.space().free > 400 * MIB


def test_a_missing_subvolume_is_an_ailment_once_the_volume_was_used(pool: BtrfsBackend) -> None:
    """A volume that never held anything is made again at its first use."""
    used, new = volume("used", formatted=True), volume("new")
    assert pool.volume_ailments(new) == []
    (ailment,) = pool.volume_ailments(used)
    assert (ailment.status, ailment.reason) == (Status.INACCESSIBLE, "VolumeMissing")


def test_a_clone_of_a_missing_volume_says_what_is_missing(pool: BtrfsBackend) -> None:
    """The record is there and the data is not: damage, by name."""
    with pytest.raises(errors.DataDamaged, match=r"subvolume of .* is missing"):
        pool.ensure_volume_from_volume(volume("two"), volume("one"))


def test_doctor_sees_volumes_snapshots_trash_and_what_is_not_ours(pool: BtrfsBackend, mounted: Path) -> None:
    """Everything in the pool's directories, told apart; only an empty volume has nothing allocated."""
    one, two, three = volume("one"), volume("two"), volume("three")
    for each in (one, two, three):
        pool.ensure_created(each)
    Path(pool.directory(two), "file").write_text("x")
    cut = snapshot("cut", two)
    pool.ensure_cut(cut, two)
    pool.ensure_trashed(three, f"{three.id}.1")
    (mounted / "volumes" / "strange").mkdir()
    found = {(entry.where, entry.id): entry.allocated > 0 for entry in pool.contents()}
    assert found == {
        ("volume", one.id): False,
        ("volume", two.id): True,
        ("snapshot", cut.id): True,
        ("trash", f"{three.id}.1"): False,
        ("foreign", "strange"): False,
    }


def test_a_read_only_pool_is_an_ailment_that_goes_away(pool: BtrfsBackend, mounted: Path) -> None:
    """Health is what is now."""
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    assert [one.reason for one in pool.ailments()] == ["PoolReadOnly"]
    subprocess.run(["mount", "-o", "remount,rw", str(mounted)], check=True)
    assert pool.ailments() == []


def test_another_filesystem_is_refused_and_left_alone(disk_path: Path) -> None:
    """The path is named, with what was found and what is wanted."""
    path = disk_path / "plain"
    path.mkdir()
    backend = BtrfsBackend(PoolConfig(name="fast", backend="btrfs", path=str(path)), disk_path / "state")
    with pytest.raises(errors.FailedPrecondition, match=r"found .* at .*; wanted btrfs"):
        backend.open()
    assert os.listdir(path) == []


def test_an_image_of_its_own_is_made_once_and_found_again(disk_path: Path) -> None:
    """``image`` and ``size`` make a pool that needs no btrfs on the host; volumes are there after a restart."""
    options = {"image": str(disk_path / "own.img"), "size": "256MiB"}
    config = PoolConfig(name="fast", backend="btrfs", options=options)
    backend = BtrfsBackend(config, disk_path / "state")
    one = volume("one", 16 * MIB)
    backend.open()
    try:
        backend.ensure_created(one)
        backend.mark_used(one)
        assert backend.ailments() == []
    finally:
        backend.close()
    assert os.listdir(disk_path / "state" / "mnt") == []
    again = BtrfsBackend(config, disk_path / "state")
    again.open()
    try:
        assert again.exists(one)
        assert again.usage(one)[1] == 16 * MIB
        purge(again, one)
        again.reclaim()
    finally:
        again.close()

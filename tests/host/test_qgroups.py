"""Quota of btrfs."""

import errno
import os
import time
from pathlib import Path

import pytest

from driver.host import btrfs, qgroups
from driver.model.errors import FailedPrecondition, HostFailed, NotFound

from .scratch import Scratch

MIB = 1 << 20


@pytest.fixture
def plain(scratch: Scratch) -> str:
    """A btrfs of its own, without quota."""
    return scratch.mounted("btrfs", 256 * MIB).path


@pytest.fixture(params=["qgroup", "simple"])
def mount(request: pytest.FixtureRequest, plain: str) -> str:
    """A btrfs with each kind of quota on."""
    qgroups.enable(plain, simple=request.param == "simple")
    _settle(plain)
    return plain


def _settle(mount: str) -> None:
    end = time.monotonic() + 30
    while qgroups.rescan_running(mount):
        assert time.monotonic() < end
        time.sleep(0.01)
    btrfs.commit(mount)


def _subvolume(mount: str, name: str) -> int:
    btrfs.create_subvolume(mount, name)
    return btrfs.subvolume_id(f"{mount}/{name}")


def _write(path: str, size: int) -> None:
    with open(path, "wb") as file:
        file.write(os.urandom(size))
        os.fsync(file.fileno())


def test_quota_is_off_until_it_is_turned_on(plain: str) -> None:
    """And asking is no error."""
    off = qgroups.QuotaStatus(enabled=False, simple=False, inconsistent=False, rescanning=False)
    assert qgroups.status(plain) == off
    with pytest.raises(NotFound):
        qgroups.usage(plain, btrfs.subvolume_id(plain))


@pytest.mark.parametrize("simple", [False, True])
def test_quota_is_turned_on_once_however_often_it_is_asked_for(plain: str, simple: bool) -> None:
    """Its mode is told; the other one is refused, since changing would forget all limits."""
    for _ in range(2):
        qgroups.enable(plain, simple=simple)
        _settle(plain)
    assert qgroups.status(plain) == qgroups.QuotaStatus(
        enabled=True, simple=simple, inconsistent=False, rescanning=False
    )
    with pytest.raises(FailedPrecondition, match="forgets all limits"):
        qgroups.enable(plain, simple=not simple)


def test_quota_can_be_turned_off_again(mount: str) -> None:
    """Twice is fine."""
    for _ in range(2):
        qgroups.disable(mount)
    assert not qgroups.status(mount).enabled


def test_usage_follows_what_is_written(mount: str) -> None:
    """After the next commit."""
    number = _subvolume(mount, "sub")
    before = qgroups.usage(mount, number)
    _write(f"{mount}/sub/f", 8 * MIB)
    btrfs.commit(mount)
    after = qgroups.usage(mount, number)
    assert before.limit is None
    assert 8 * MIB <= after.referenced - before.referenced < 9 * MIB
    assert after.exclusive == after.referenced


def test_a_limit_is_enforced_and_told(mount: str) -> None:
    """Writers get EDQUOT at the size, not the pool's end."""
    number = _subvolume(mount, "sub")
    qgroups.limit(mount, number, 8 * MIB)
    btrfs.commit(mount)
    assert qgroups.usage(mount, number).limit == 8 * MIB
    with pytest.raises(OSError) as failed:
        _write(f"{mount}/sub/f", 32 * MIB)
    assert failed.value.errno == errno.EDQUOT


def test_a_limit_can_be_raised_and_lifted(mount: str) -> None:
    """Expansion."""
    number = _subvolume(mount, "sub")
    qgroups.limit(mount, number, MIB)
    qgroups.limit(mount, number, 64 * MIB)
    _write(f"{mount}/sub/f", 4 * MIB)
    qgroups.limit(mount, number, None)
    btrfs.commit(mount)
    assert qgroups.usage(mount, number).limit is None


def test_an_unknown_subvolume_cannot_be_limited(mount: str) -> None:
    """ENOENT, and nothing is made for it."""
    with pytest.raises(HostFailed) as failed:
        qgroups.limit(mount, 99999, MIB)
    assert failed.value.code == errno.ENOENT


def test_a_snapshot_shares_what_it_refers_to(plain: str) -> None:
    """With qgroups: both refer to it, neither has it alone."""
    qgroups.enable(plain, simple=False)
    _settle(plain)
    number = _subvolume(plain, "sub")
    _write(f"{plain}/sub/f", 8 * MIB)
    btrfs.snapshot(f"{plain}/sub", plain, "snap", read_only=True)
    btrfs.commit(plain)
    for usage in (qgroups.usage(plain, number), qgroups.usage(plain, btrfs.subvolume_id(f"{plain}/snap"))):
        assert usage.referenced >= 8 * MIB
        assert usage.exclusive < MIB


def test_the_qgroup_of_a_deleted_subvolume_is_gone_or_can_be_removed(mount: str) -> None:
    """So that they do not pile up; twice is fine."""
    number = _subvolume(mount, "sub")
    _write(f"{mount}/sub/f", MIB)
    btrfs.delete_subvolume(mount, "sub")
    end = time.monotonic() + 60
    while True:
        btrfs.commit(mount)
        try:
            qgroups.remove(mount, number)
            break
        except HostFailed as busy:
            assert busy.code == errno.EBUSY
            assert time.monotonic() < end
            time.sleep(0.1)
    assert not qgroups.remove(mount, number)
    with pytest.raises(NotFound):
        qgroups.usage(mount, number)


def test_a_rescan_counts_what_was_there_before(plain: str) -> None:
    """Quota can be turned on for a pool in use; starting one that runs is fine."""
    number = _subvolume(plain, "sub")
    _write(f"{plain}/sub/f", 8 * MIB)
    qgroups.enable(plain, simple=False)
    qgroups.rescan_start(plain)
    qgroups.rescan_start(plain)
    _settle(plain)
    assert qgroups.usage(plain, number).referenced >= 8 * MIB
    assert not qgroups.status(plain).inconsistent


def test_usage_takes_no_longer_with_many_subvolumes(plain: str) -> None:
    """One lookup by key each, whatever else is there: told by every one being found."""
    qgroups.enable(plain, simple=True)
    _settle(plain)
    numbers = [_subvolume(plain, f"sub-{number}") for number in range(60)]
    btrfs.commit(plain)
    assert all(qgroups.usage(plain, number).referenced > 0 for number in numbers)
    assert Path(plain, "sub-59").exists()

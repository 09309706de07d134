"""Where data lies in files."""

import os
from pathlib import Path

import pytest

from driver.host import extents, files, reflink
from driver.host.extents import Flag

from .scratch import Scratch

K = 1024


@pytest.fixture(params=["ext4", "xfs", "btrfs"])
def place(request: pytest.FixtureRequest, filesystems: dict[str, Path], tmp_path: Path) -> Path:
    """A private directory on each kind of filesystem."""
    path = filesystems[request.param] / tmp_path.name
    path.mkdir()
    return path


def _write(path: Path, *offsets: int, size: int = 64 * K) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 8 << 20)
    for offset in offsets:
        os.pwrite(fd, os.urandom(size), offset)
    return fd


def test_extents_show_data_that_was_not_synced_yet(place: Path) -> None:
    """FIEMAP flushes it first: delayed allocation has no place on the device."""
    fd = _write(place / "f", 1 << 20, 4 << 20)
    found = list(extents.extents(fd))
    os.close(fd)
    assert [(extent.logical, extent.length) for extent in found] == [(1 << 20, 64 * K), (4 << 20, 64 * K)]
    assert not any(extent.flags & (Flag.DELALLOC | Flag.UNKNOWN) for extent in found)
    assert all(extent.physical for extent in found)
    assert found[-1].flags & Flag.LAST


def test_extents_start_where_asked(place: Path) -> None:
    """A list is read on page by page."""
    fd = _write(place / "f", 1 << 20, 4 << 20)
    assert [extent.logical for extent in extents.extents(fd, 2 << 20)] == [4 << 20]
    assert list(extents.extents(fd, 6 << 20)) == []
    os.close(fd)


def test_more_extents_than_one_call_tells_are_all_told(place: Path) -> None:
    """In order, none twice."""
    offsets = [8 * K * number for number in range(extents.BATCH + 200)]
    fd = _write(place / "f", *offsets, size=4 * K)
    found = [extent.logical for extent in extents.extents(fd)]
    os.close(fd)
    assert found == offsets


def test_a_file_without_data_has_no_extents(place: Path) -> None:
    """However large it is."""
    fd = _write(place / "f")
    assert list(extents.extents(fd)) == []
    assert list(extents.allocated(fd)) == []
    os.close(fd)
    assert not extents.has_data(str(place / "f"))


def test_one_written_byte_is_data(place: Path) -> None:
    """Even if it is zero: a filesystem may begin so."""
    fd = _write(place / "f")
    os.pwrite(fd, b"\0", 5 << 20)
    os.close(fd)
    assert extents.has_data(str(place / "f"))


def test_preallocated_blocks_are_no_data(place: Path) -> None:
    """A thick volume that was never written is empty."""
    path = place / "f"
    files.create_sparse(str(path), 8 << 20)
    files.allocate(str(path), 8 << 20)
    assert not extents.has_data(str(path))
    fd = os.open(path, os.O_RDONLY)
    assert all(extent.flags & Flag.UNWRITTEN for extent in extents.extents(fd))
    os.close(fd)
    assert extents.allocated_bytes(str(path)) >= 8 << 20


def test_ranges_of_data_are_cut_to_what_was_asked(place: Path) -> None:
    """A copy resumes in the middle."""
    fd = _write(place / "f", 1 << 20, 4 << 20)
    assert list(extents.allocated(fd)) == [(1 << 20, 64 * K), (4 << 20, 64 * K)]
    first = (1 << 20) + 8 * K
    assert list(extents.allocated(fd, first, (4 << 20) + 4 * K)) == [(first, 56 * K), (4 << 20, 4 * K)]
    assert list(extents.allocated(fd, 5 << 20)) == []
    os.close(fd)


@pytest.mark.parametrize("fs_type", ["xfs", "btrfs"])
def test_shared_extents_lie_in_the_same_place_until_written(
    filesystems: dict[str, Path], scratch: Scratch, fs_type: str
) -> None:
    """What changed-block tracking rests on."""
    place = filesystems[fs_type] / scratch.root.name
    place.mkdir()
    fd = _write(place / "f", 0, size=1 << 20)
    before = list(extents.extents(fd))
    reflink.share(str(place / "f"), str(place / "g"))
    copy = os.open(place / "g", os.O_RDWR)
    assert [extent.physical for extent in extents.extents(copy)] == [extent.physical for extent in before]
    assert all(extent.flags & Flag.SHARED for extent in extents.extents(copy))
    os.pwrite(copy, b"x" * 4096, 512 * K)
    old = {extent.physical for extent in extents.extents(fd)}
    new = [extent for extent in extents.extents(copy) if extent.logical == 512 * K]
    assert [extent.length for extent in new] == [4096]
    assert new[0].physical not in old
    os.close(fd)
    os.close(copy)

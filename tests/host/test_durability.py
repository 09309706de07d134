"""What a call has promised is on the device when it returns: a power cut right after it loses nothing."""

import os
from pathlib import Path

import pytest

from driver.host import files, reflink

from .scratch import Scratch, Volume

MIB = 1 << 20


@pytest.fixture(params=["ext4", "xfs", "btrfs"])
def fs_type(request: pytest.FixtureRequest) -> str:
    """Each type: what one syncs by the way another does not."""
    return str(request.param)


@pytest.fixture
def volume(scratch: Scratch, filesystems: dict[str, Path], fs_type: str) -> Volume:
    """A filesystem whose device can be copied in no time, with a synced file ``old`` in a directory ``a``."""
    made = scratch.mounted(fs_type, at=scratch.place(filesystems["xfs"]))
    for name in ("a", "b"):
        os.mkdir(f"{made.path}/{name}")
    Path(made.path, "a", "old").write_bytes(b"old" * 1000)
    os.sync()
    return made


def test_a_durable_write_is_there(scratch: Scratch, volume: Volume, fs_type: str) -> None:
    """Name and content, new or replaced."""
    files.write_durably(f"{volume.path}/a/new", b"new" * 1000)
    files.write_durably(f"{volume.path}/a/old", b"replaced" * 1000)
    cut = scratch.cut(volume, fs_type)
    assert (cut / "a" / "new").read_bytes() == b"new" * 1000
    assert (cut / "a" / "old").read_bytes() == b"replaced" * 1000


def test_a_written_file_has_its_content(scratch: Scratch, volume: Volume, fs_type: str) -> None:
    """The directory is synced apart, as whoever writes several files wants it."""
    files.write_file(f"{volume.path}/a/new", b"new" * 1000)
    files.fsync_dir(f"{volume.path}/a")
    assert (scratch.cut(volume, fs_type) / "a" / "new").read_bytes() == b"new" * 1000


def test_a_durable_rename_has_happened(scratch: Scratch, volume: Volume, fs_type: str) -> None:
    """Between directories."""
    files.rename_durably(f"{volume.path}/a/old", f"{volume.path}/b/moved")
    cut = scratch.cut(volume, fs_type)
    assert (cut / "b" / "moved").read_bytes() == b"old" * 1000
    assert not (cut / "a" / "old").exists()


def test_a_synced_directory_has_its_entries(scratch: Scratch, volume: Volume, fs_type: str) -> None:
    """Made and removed ones."""
    files.make_dir(f"{volume.path}/a/made")
    files.remove_file(f"{volume.path}/a/old")
    files.fsync_dir(f"{volume.path}/a")
    assert os.listdir(scratch.cut(volume, fs_type) / "a") == ["made"]


def test_a_synced_file_has_its_data_and_size(scratch: Scratch, volume: Volume, fs_type: str) -> None:
    """A volume that grew."""
    path = f"{volume.path}/a/old"
    files.truncate(path, 8 * MIB)
    files.fsync_file(path)
    assert (scratch.cut(volume, fs_type) / "a" / "old").stat().st_size == 8 * MIB


def test_an_overwritten_file_is_zeros(scratch: Scratch, volume: Volume, fs_type: str) -> None:
    """A wipe that was reported."""
    files.zero_range_write(f"{volume.path}/a/old")
    assert (scratch.cut(volume, fs_type) / "a" / "old").read_bytes() == bytes(3000)


@pytest.mark.parametrize("fs_type", ["xfs", "btrfs"])
def test_a_shared_copy_is_there(scratch: Scratch, volume: Volume, fs_type: str) -> None:
    """With data its source had not synced."""
    with open(f"{volume.path}/a/old", "ab") as file:
        file.write(b"unsynced" * 10000)
        file.flush()
        reflink.share(f"{volume.path}/a/old", f"{volume.path}/b/copy")
    assert (scratch.cut(volume, fs_type) / "b" / "copy").read_bytes() == b"old" * 1000 + b"unsynced" * 10000


def test_a_copy_is_there_as_far_as_was_told(scratch: Scratch, volume: Volume, fs_type: str) -> None:
    """A Task that resumes relies on it."""
    data = os.urandom(2 * MIB)
    Path(volume.path, "source").write_bytes(data)
    files.create_sparse(f"{volume.path}/b/target", 2 * MIB)
    files.fsync_dir(f"{volume.path}/b")
    told: list[int] = []
    with open(f"{volume.path}/source", "rb") as source, open(f"{volume.path}/b/target", "r+b") as target:
        reflink.copy_sparse(
            source.fileno(), target.fileno(), start=0, end=2 * MIB, progress=told.append, cancelled=lambda: False
        )
        assert told == [2 * MIB]
        assert (scratch.cut(volume, fs_type) / "b" / "target").read_bytes() == data

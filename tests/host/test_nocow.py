"""Overwriting in place where the filesystem would copy."""

import errno
import os
from pathlib import Path

import pytest

from driver.host import files, nocow
from driver.model.errors import HostFailed

from .scratch import Scratch, fill


def test_what_is_there_can_be_written_again_without_a_block_free(scratch: Scratch) -> None:
    """On btrfs, which otherwise takes new blocks first."""
    path = Path(scratch.mounted("btrfs").path) / "private"
    path.mkdir()
    nocow.ensure_overwritten_in_place(str(path))
    nocow.ensure_overwritten_in_place(str(path))
    (path / "file").write_bytes(bytes(4 << 20))
    files.fsync_file(str(path / "file"))
    fill(str(path.parent))
    for turn in range(1, 4):
        files.overwrite(str(path / "file"), bytes([turn]) * (4 << 20))
    assert (path / "file").read_bytes() == b"\3" * (4 << 20)


@pytest.mark.parametrize("fs_type", ["ext4", "xfs"])
def test_it_is_nothing_to_a_filesystem_that_writes_in_place_anyway(scratch: Scratch, fs_type: str) -> None:
    """No failure, no change."""
    path = scratch.mounted(fs_type).path
    nocow.ensure_overwritten_in_place(path)
    (Path(path) / "file").write_bytes(b"x")
    assert os.listdir(path).count("file") == 1


def test_a_directory_that_is_not_there_is_a_host_failure(scratch: Scratch) -> None:
    """It says so."""
    with pytest.raises(HostFailed) as caught:
        nocow.ensure_overwritten_in_place(f"{scratch.root}/gone")
    assert caught.value.code == errno.ENOENT

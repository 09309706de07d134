"""Snapshots that want one filesystem held still at the same time."""

from pathlib import Path

import pytest

from driver.engine.engine import Engine
from driver.model.config import Config
from driver.model.errors import Busy

from .scratch import Scratch


def test_a_second_snapshot_waits_for_the_first_and_is_no_stranger(scratch: Scratch, tmp_path: Path) -> None:
    """Two group snapshots may share a member: the later one is told to come again, not that somebody froze the filesystem."""
    sources = Engine(Config(state_dir=str(tmp_path))).sources
    shared, other = scratch.mounted("ext4"), scratch.mounted("ext4")
    with sources.still([shared.path]):
        with pytest.raises(Busy, match=f"{shared.path} is held still"), sources.still([other.path, shared.path]):
            pytest.fail("held still twice")
        with sources.still([other.path]):
            pass
    with sources.still([other.path, shared.path]):
        pass

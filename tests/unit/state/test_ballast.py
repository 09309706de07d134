"""Ballast: blocks really taken, given back step by step."""

import errno
import os
from pathlib import Path

import pytest

from driver.model.errors import HostFailed, NoSpace
from driver.state.ballast import SIZE, STEP, Ballast

from .ledgers import observed
from .obstacles import Refusal, Watch


def made(home: Path) -> Ballast:
    ballast = Ballast(str(home))
    ballast.open()
    ballast.restore()
    return ballast


def test_ballast_has_blocks_and_is_durable(scratch: Path) -> None:
    """A file of holes would give nothing back; its blocks and its name are synced."""
    watch = Watch()
    with observed(watch):
        made(scratch)
    seen = os.stat(scratch / "ballast")
    assert (seen.st_size, seen.st_blocks * 512 >= SIZE) == (SIZE, True)
    assert watch.seen[-2:] == [("files.fsync_file", f"{scratch}/ballast"), ("files.fsync_dir", str(scratch))]


def test_each_release_gives_back_a_step_until_nothing_is_left(scratch: Path) -> None:
    """Also after a restart; then it is restored."""
    ballast = made(scratch)
    for step in range(1, 4):
        assert ballast.release()
        assert os.stat(scratch / "ballast").st_size == SIZE - step * STEP
    ballast = Ballast(str(scratch))
    ballast.open()
    steps = 0
    while ballast.release():
        steps += 1
    assert steps == SIZE // STEP - 3
    assert os.stat(scratch / "ballast").st_blocks == 0
    ballast.restore()
    assert os.stat(scratch / "ballast").st_blocks * 512 >= SIZE


def test_an_action_that_needs_room_is_tried_again_after_each_step(scratch: Path) -> None:
    """And no more is given up than it needs."""
    ballast = made(scratch)
    left = 3

    def action() -> str:
        nonlocal left
        if left:
            left -= 1
            raise NoSpace("full")
        return "done"

    assert ballast.squeezed(action) == "done"
    assert os.stat(scratch / "ballast").st_size == SIZE - 3 * STEP


def test_an_action_that_cannot_be_helped_says_why(scratch: Path) -> None:
    """No room in the end: its own error. Another failure: at once, and the ballast stays."""
    ballast = made(scratch)

    def fail(error: Exception) -> None:
        raise error

    with pytest.raises(HostFailed, match="disk"):
        ballast.squeezed(lambda: fail(HostFailed("disk", errno.EIO)))
    assert os.stat(scratch / "ballast").st_size == SIZE
    with pytest.raises(NoSpace, match="full"):
        ballast.squeezed(lambda: fail(NoSpace("full")))
    assert os.stat(scratch / "ballast").st_size == 0


def test_a_filesystem_that_cannot_allocate_gets_written_zeros(scratch: Path) -> None:
    """NFS before 4.2 and many FUSE filesystems have no fallocate."""
    with observed(Refusal("files.allocate", HostFailed("no", errno.EOPNOTSUPP))):
        made(scratch)
    assert os.stat(scratch / "ballast").st_blocks * 512 >= SIZE


@pytest.mark.parametrize("step", ["files.create_sparse", "files.allocate", "files.fsync_file"])
def test_ballast_that_cannot_be_made_is_made_later(scratch: Path, step: str) -> None:
    """A pool without is better than none."""
    with observed(Refusal(step, HostFailed("no", errno.EIO))):
        ballast = made(scratch)
    ballast.restore()
    assert os.stat(scratch / "ballast").st_blocks * 512 >= SIZE

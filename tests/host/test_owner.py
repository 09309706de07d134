"""One owner of a pool at a time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from driver.host import owner
from driver.model.errors import InUse

from .scratch import Scratch, fill

HOLD = """
import sys, time
from driver.host import owner
lock = owner.Lock.acquire(sys.argv[1], "pid 7 on node-b: holdall node")
print("held", flush=True)
time.sleep(600)
"""


def test_a_second_owner_is_refused_and_told_who_the_first_is(scratch: Scratch) -> None:
    """The message is all an administrator needs."""
    path = f"{scratch.root}/lock"
    held = owner.Lock.acquire(path, "pid 12 on node-a: holdall all")
    with pytest.raises(InUse, match="pid 12 on node-a: holdall all"):
        owner.Lock.acquire(path, "pid 13")
    assert owner.holder(path) == "pid 12 on node-a: holdall all"
    held.release()


def test_a_released_lock_can_be_taken_again_and_names_its_new_owner(scratch: Scratch) -> None:
    """A shorter line leaves nothing of a longer one; releasing twice does no harm."""
    path = f"{scratch.root}/lock"
    first = owner.Lock.acquire(path, "a rather long description")
    first.release()
    first.release()
    second = owner.Lock.acquire(path, "short")
    assert owner.holder(path) == "short"
    second.release()


def test_nobody_holds_a_lock_that_was_released_or_never_taken(scratch: Scratch) -> None:
    """What is written in the file is no proof."""
    path = f"{scratch.root}/lock"
    assert owner.holder(path) == ""
    owner.Lock.acquire(path, "me").release()
    assert owner.holder(path) == ""


def test_the_lock_file_outlives_its_lock(scratch: Scratch) -> None:
    """Were it removed, two processes could each lock a file of that name."""
    path = f"{scratch.root}/lock"
    held = owner.Lock.acquire(path, "me")
    inode = os.stat(path).st_ino
    held.release()
    owner.Lock.acquire(path, "me").release()
    assert os.stat(path).st_ino == inode


def test_a_killed_process_holds_nothing(scratch: Scratch) -> None:
    """The kernel lets go, whatever the process did not get to do."""
    path = f"{scratch.root}/lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(InUse, match="node-b"):
            owner.Lock.acquire(path, "me")
        process.send_signal(signal.SIGKILL)
    owner.Lock.acquire(path, "me").release()


def test_a_full_filesystem_keeps_nobody_from_a_lock_that_exists(scratch: Scratch) -> None:
    """Its owner is who can make room."""
    volume = scratch.mounted("ext4", 4 << 20)
    path = f"{volume.path}/lock"
    owner.Lock.acquire(path, "").release()
    fill(volume.path)
    held = owner.Lock.acquire(path, "me")
    with pytest.raises(InUse):
        owner.Lock.acquire(path, "another")
    held.release()


def test_a_link_in_the_place_of_the_lock_is_not_followed(scratch: Scratch) -> None:
    """The file would be written to."""
    Path(scratch.root / "precious").write_bytes(b"x")
    Path(scratch.root / "lock").symlink_to("precious")
    with pytest.raises(Exception, match="ELOOP"):
        owner.Lock.acquire(f"{scratch.root}/lock", "me")
    assert Path(scratch.root / "precious").read_bytes() == b"x"

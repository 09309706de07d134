"""Filesystems held still: by whom, how long, and that they always go on."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from driver.host import freeze
from driver.model.errors import FailedPrecondition, Unavailable

from .scratch import Scratch, Volume, open_directory

HOLD = """
import sys, time
from driver.host import freeze
with freeze.frozen(sys.argv[1:]):
    print("frozen", flush=True)
    time.sleep(600)
"""


class Writer(threading.Thread):
    """Writes to a file until stopped; ``progressed`` tells whether it can."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._fd = os.open(f"{path}/written", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
        self._stop_asked = threading.Event()
        self._wrote = threading.Event()
        self.start()

    def run(self) -> None:
        """Write one byte at a time."""
        while not self._stop_asked.is_set():
            os.write(self._fd, b"x")
            self._wrote.set()

    def progressed(self, within: float) -> bool:
        """Whether two writes were begun and one finished since now, in time."""
        for _ in range(2):
            self._wrote.clear()
            if not self._wrote.wait(within):
                return False
        return True

    def stop(self) -> None:
        """End and close."""
        self._stop_asked.set()
        self.join()
        os.close(self._fd)


@pytest.fixture(params=["ext4", "xfs", "btrfs"])
def volume(request: pytest.FixtureRequest, scratch: Scratch) -> Volume:
    """A mounted filesystem of its own, of each type."""
    return scratch.mounted(request.param)


@pytest.fixture
def writer(scratch: Scratch) -> Iterator[tuple[Volume, Writer]]:
    """An ext4 filesystem that somebody writes to all the time."""
    made = scratch.mounted("ext4")
    thread = Writer(made.path)
    yield made, thread
    freeze.thaw(made.path)
    thread.stop()


def _guards() -> list[int]:
    """The guards this process has started."""
    found = []
    for task in os.listdir("/proc/self/task"):
        for child in Path(f"/proc/self/task/{task}/children").read_text().split():
            if b"guard.py" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


def test_nothing_is_written_while_frozen_and_all_goes_on_after(writer: tuple[Volume, Writer]) -> None:
    """The point of it."""
    made, thread = writer
    assert thread.progressed(5)
    with freeze.frozen([made.path]):
        assert not thread.progressed(0.3)
    assert thread.progressed(5)
    assert not freeze.thaw(made.path)


def test_every_type_can_be_frozen_again_and_again(volume: Volume) -> None:
    """And is thawed each time."""
    for _ in range(3):
        with freeze.frozen([volume.path]):
            pass
        assert not freeze.thaw(volume.path)


def test_several_filesystems_are_frozen_at_the_same_time(scratch: Scratch) -> None:
    """A group snapshot is one moment of all."""
    made = [scratch.mounted("ext4") for _ in range(3)]
    with freeze.frozen([volume.path for volume in made]):
        for volume in made:
            fd = open_directory(volume.path)
            with pytest.raises(OSError) as busy:
                fcntl.ioctl(fd, 0xC0045877, 0)
            os.close(fd)
            assert busy.value.errno == errno.EBUSY
    assert [freeze.thaw(volume.path) for volume in made] == [False] * 3


def test_what_was_written_before_is_on_the_device(volume: Volume) -> None:
    """So that its image can be cut, without the cache."""
    mark = b"HOLDALL-MARK" * 1000
    Path(volume.path, "f").write_bytes(mark)
    with freeze.frozen([volume.path]):
        assert mark[:3000] in Path(volume.image).read_bytes()


def test_when_the_guard_is_killed_the_parent_thaws(writer: tuple[Volume, Writer]) -> None:
    """The kernel does not: it would stay frozen for ever. What was cut meanwhile must be discarded."""
    made, thread = writer
    held = freeze.frozen([made.path])
    held.__enter__()
    (guard,) = _guards()
    os.kill(guard, signal.SIGKILL)
    assert thread.progressed(5)
    with pytest.raises(Unavailable, match="gone"):
        held.__exit__(None, None, None)
    assert not freeze.thaw(made.path)


def test_when_the_parent_is_killed_the_guard_thaws(writer: tuple[Volume, Writer]) -> None:
    """Its end of the pipe closes, whatever it did not get to do."""
    made, thread = writer
    with subprocess.Popen([sys.executable, "-c", HOLD, made.path], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"frozen\n"
        assert not thread.progressed(0.2)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert thread.progressed(5)
    assert not freeze.thaw(made.path)


def test_at_the_deadline_all_go_on_and_the_caller_is_told(writer: tuple[Volume, Writer]) -> None:
    """A snapshot that takes too long must not stop the workload, and is none."""
    made, thread = writer
    with pytest.raises(Unavailable, match=r"more than 0\.2 s"), freeze.frozen([made.path], deadline=0.2):
        assert thread.progressed(5)
    assert not freeze.thaw(made.path)


def test_a_guard_that_does_not_answer_is_killed_and_replaced(
    writer: tuple[Volume, Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped, or starved: the parent does what it was to do."""
    monkeypatch.setattr(freeze, "GRACE", 0.2)
    made, thread = writer
    held = freeze.frozen([made.path])
    held.__enter__()
    (guard,) = _guards()
    os.kill(guard, signal.SIGSTOP)
    with pytest.raises(Unavailable):
        held.__exit__(None, None, None)
    assert thread.progressed(5)
    assert not freeze.thaw(made.path)


def test_an_error_in_the_body_passes_and_all_is_thawed(scratch: Scratch) -> None:
    """Whatever went wrong, the workload goes on."""
    made = scratch.mounted("ext4")
    with pytest.raises(ZeroDivisionError), freeze.frozen([made.path]):
        raise ZeroDivisionError
    assert not freeze.thaw(made.path)


def test_one_that_is_frozen_already_is_refused_and_stays_so(scratch: Scratch) -> None:
    """Somebody else's freeze is not ours to undo; the others are thawed."""
    ours, theirs = scratch.mounted("ext4"), scratch.mounted("ext4")
    subprocess.run(["fsfreeze", "-f", theirs.path], check=True)
    with pytest.raises(FailedPrecondition, match=theirs.path), freeze.frozen([ours.path, theirs.path]):
        pytest.fail("frozen")
    assert not freeze.thaw(ours.path)
    assert freeze.thaw(theirs.path)


def test_the_same_filesystem_named_twice_is_frozen_once(scratch: Scratch) -> None:
    """The second freeze would be refused."""
    made = scratch.mounted("ext4")
    with freeze.frozen([made.path, made.path]):
        pass


@pytest.mark.parametrize("path", ["/", "/proc/self", "."])
def test_what_is_no_filesystem_of_its_own_is_never_frozen(path: str) -> None:
    """Freezing the host's would stop the host, this process included."""
    with pytest.raises(FailedPrecondition, match="of its own"), freeze.frozen([os.path.abspath(path)]):
        pytest.fail("frozen")


def test_a_filesystem_that_cannot_freeze_is_told_by_errno(scratch: Scratch) -> None:
    """tmpfs has no device to be quiet for."""
    target = scratch.directory()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", target], check=True)
    with pytest.raises(Exception, match=f"{target}.*EOPNOTSUPP"), freeze.frozen([target]):
        pytest.fail("frozen")


def test_a_frozen_filesystem_is_thawed_once(scratch: Scratch) -> None:
    """What a start does with every volume mount of ours."""
    made = scratch.mounted("ext4")
    subprocess.run(["fsfreeze", "-f", made.path], check=True)
    assert freeze.thaw(made.path)
    assert not freeze.thaw(made.path)


def test_a_freeze_leaves_nothing_behind(scratch: Scratch) -> None:
    """No process, no descriptor that would keep the volume busy, no thread."""
    made = scratch.mounted("ext4")
    before, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        with freeze.frozen([made.path]):
            pass
    assert _guards() == []
    assert len(os.listdir("/proc/self/fd")) == before
    assert threading.active_count() == threads
    subprocess.run(["umount", made.path], check=True)


def test_syncing_a_filesystem_brings_its_data_to_the_device(scratch: Scratch) -> None:
    """syncfs(2)."""
    made = scratch.mounted("ext4")
    mark = b"HOLDALL-MARK" * 1000
    Path(made.path, "f").write_bytes(mark)
    freeze.sync_filesystem(made.path)
    assert mark[:3000] in Path(made.image).read_bytes()


def test_a_freeze_is_held_for_its_body_only(scratch: Scratch) -> None:
    """The deadline is a limit, not a length."""
    made = scratch.mounted("ext4")
    started = time.monotonic()
    with freeze.frozen([made.path], deadline=30):
        pass
    assert time.monotonic() - started < 10

"""``holdall demo``: it tells the whole story with every check passed, and leaves nothing behind however it ends."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from driver.cli.demo import performance, telling
from driver.cli.demo.data import Journal, damage, differences, whole_lines, write_files
from driver.host import loop, mounts

from .command import program

STEPS = 15
TOLD = re.compile(r"^ *(\d+)  \S", re.MULTILINE)


def left() -> set[str]:
    """Directories, mounts and devices of demonstrations on this machine."""
    found = {str(path) for place in performance.PLACES for path in Path(place).glob("holdall-demo-*")}
    found |= {entry.target for entry in mounts.mountinfo() if "holdall-demo-" in entry.target}
    return found | {one.device.path for one in loop.all_devices() if "holdall-demo-" in one.backing_path}


def test_the_demonstration_proves_its_claims_and_leaves_nothing() -> None:
    """From the start of the driver to its end, without a configuration."""
    before = left()
    said = program("demo")
    assert said.code == 0, said.out + said.err
    assert [int(number) for number in TOLD.findall(said.out)] == list(range(1, STEPS + 1))
    assert said.out.count("✔") > 35
    assert "✘" not in said.out
    assert "Try next:" in said.out
    assert left() <= before


def test_an_interrupted_demonstration_leaves_nothing() -> None:
    """^C in the middle, and once more out of impatience."""
    before = left()
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "driver", "demo"], stdout=subprocess.PIPE, text=True, process_group=0
    )
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            if "is mounted" in line:
                break
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        rest = lines.read()
    assert process.wait(60) == 130
    assert "✘ interrupted" in rest
    assert left() <= before


def test_a_check_that_fails_says_what_was_claimed() -> None:
    """And ends the story: the command exits with 1."""
    tell = telling.Telling(performance.page())
    with pytest.raises(telling.Failed, match=r"not true: the moon is full \(half of it\)"):
        tell.check(False, "the moon is full", "half of it")
    assert tell.checks == 0


def test_damage_is_found_by_the_checksums(tmp_path: Path) -> None:
    """The check that everything is back would not pass if it were not."""
    wanted = write_files(tmp_path)
    assert differences(tmp_path, wanted) == ([], [])
    gone, overwritten = damage(tmp_path, sorted(wanted))
    missing, changed = differences(tmp_path, wanted)
    assert (len(missing), len(changed)) == (gone, overwritten)
    assert gone > 0
    assert overwritten > 0


def test_a_torn_journal_is_told_from_a_whole_one(tmp_path: Path) -> None:
    """A line that is missing, torn or out of order shows."""
    path = tmp_path / "journal"
    with Journal(path) as journal:
        while journal.lines < 20:
            time.sleep(0.005)
    whole = path.read_bytes()
    assert whole_lines(path) == journal.lines
    for torn in (whole[:-1], whole[41:], whole[:41] + whole[82:], whole[:50] + b"x" + whole[51:]):
        path.write_bytes(torn)
        assert whole_lines(path) == -1

"""What makes a lane fail, counted on real runs of small lanes."""

import os
import sys
from pathlib import Path

import pytest

from tools import junit, lane_run, report

PASS = "def test_one():\n    pass\n"


class Bench:
    """Runs a lane of one test file (or one command) in a directory of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places = lane_run.Places(root / "out")

    def tests(self, text: str, *, box: float = 60) -> lane_run.Outcome:
        (self.root / "test_it.py").write_text(text)
        (self.root / "pytest.ini").write_text("[pytest]\n")
        command = ("env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1", sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
        return self.command(*command, "test_it.py", f"--junit-xml={self.places.junit('it')}", box=box)

    def command(self, *command: str, box: float = 60) -> lane_run.Outcome:
        return lane_run.run("it", command, box=box, proof="slice", places=self.places, root=self.root)


@pytest.fixture
def lane(disk_path: Path) -> Bench:
    return Bench(disk_path)


def test_a_lane_whose_tests_pass_is_ok(lane: Bench) -> None:
    """The plain case; and its directory is gone afterwards."""
    outcome = lane.tests(PASS)
    assert (True, junit.Counts(passed=1)) == (outcome.ok, outcome.tally)
    assert not lane.places.scratch("it").exists()


def test_a_lane_without_a_test_fails(lane: Bench) -> None:
    """A lane whose tests were renamed or never collected has proven nothing, whatever its exit code."""
    outcome = lane.tests("")
    assert (False, junit.Counts(failed=2)) == (outcome.ok, outcome.tally)
    assert outcome.faults == ("no test ran", "exit code 5")


def test_exit_zero_without_a_report_fails(lane: Bench) -> None:
    """A command that never wrote its JUnit file ran no test as far as anybody can see."""
    outcome = lane.command("true")
    assert (outcome.ok, outcome.faults, outcome.tally.failed) == (False, ("no test ran",), 1)


def test_a_report_of_an_earlier_run_does_not_count(lane: Bench) -> None:
    """Counts come from this run or from nowhere."""
    assert lane.tests(PASS).ok
    assert not lane.command("true").ok


def test_a_failed_test_fails_the_lane_and_counts_once(lane: Bench) -> None:
    """Exit code 1 with failed cases is pytest's own word for them, no fault on top."""
    outcome = lane.tests(PASS + "def test_two():\n    assert 0\n")
    assert (False, (), junit.Counts(passed=1, failed=1)) == (outcome.ok, outcome.faults, outcome.tally)


def test_a_skip_inside_a_lane_is_a_failure(lane: Bench) -> None:
    """A test that finds it cannot run here proves as little as one that fails, and would go unseen."""
    outcome = lane.tests(PASS + "import pytest\ndef test_two():\n    pytest.skip('no such kernel')\n")
    assert (False, junit.Counts(passed=1, failed=1)) == (outcome.ok, outcome.tally)
    assert "1 skipped inside the lane" in outcome.faults[0]


def test_an_expected_failure_is_a_failure(lane: Bench) -> None:
    """xfail is a skip by another name."""
    assert not lane.tests("import pytest\n@pytest.mark.xfail\ndef test_it():\n    assert 0\n").ok


def test_a_lane_beyond_its_time_box_fails_and_is_interrupted(lane: Bench) -> None:
    """It gets ^C first, so that fixtures clean up and pytest says where it was."""
    outcome = lane.tests(PASS + "import time\ndef test_two():\n    time.sleep(600)\n", box=8)
    assert not outcome.ok
    assert "stopped after its time box of 8 s" in outcome.faults
    assert "test_it.py:5: KeyboardInterrupt" in lane.places.log("it").read_text()


def test_a_lane_that_is_killed_fails(lane: Bench) -> None:
    """Also after its tests passed and its report was written."""
    outcome = lane.tests(PASS + "import atexit, os\natexit.register(os.kill, os.getpid(), 9)\n")
    assert (outcome.ok, outcome.faults) == (False, ("killed by SIGKILL",))
    assert outcome.tally == junit.Counts(passed=1, failed=1)


def test_a_process_left_behind_fails_the_lane_and_is_killed(lane: Bench) -> None:
    """Even one that made a session of its own."""
    outcome = lane.tests(
        "import pathlib, subprocess\n"
        "def test_it():\n"
        "    child = subprocess.Popen(['sleep', '612'], start_new_session=True)\n"
        "    pathlib.Path('pid').write_text(str(child.pid))\n"
    )
    pid = int((lane.root / "pid").read_text())
    assert (False, (f"left behind: process {pid} still ran: sleep 612",)) == (outcome.ok, outcome.faults)
    assert _state(pid) in ("Z", "gone")


def test_a_mount_and_a_loop_device_left_behind_fail_the_lane_and_are_released(lane: Bench) -> None:
    """Both are named, and nothing of them is left."""
    outcome = lane.command(
        "sh", "-ec",
        'truncate -s 16M "$TMPDIR/image"; mkfs.ext4 -q "$TMPDIR/image"; mkdir "$TMPDIR/a b"\n'
        'losetup --find --show "$TMPDIR/image"; mount "$TMPDIR/image" "$TMPDIR/a b"\n',
    )  # fmt: skip
    scratch = lane.places.scratch("it")
    assert f"left behind: still mounted: {scratch}/a b" in outcome.faults
    assert any(f"to {scratch}/image" in fault for fault in outcome.faults)
    assert str(scratch) not in Path("/proc/self/mountinfo").read_text()
    assert str(scratch) not in "".join(path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file"))
    assert not scratch.exists()


def test_a_loop_device_on_a_filesystem_unmounted_under_it_is_found(lane: Bench) -> None:
    """Its file has no path any more, and it alone keeps the filesystem and the device below it."""
    outcome = lane.command(
        "sh", "-ec",
        'cd "$TMPDIR"; truncate -s 64M outer; mkfs.ext4 -q outer; mkdir at; mount -o loop outer at\n'
        "truncate -s 1M at/inner; losetup --find --show at/inner; umount --lazy at\n",
    )  # fmt: skip
    scratch = lane.places.scratch("it")
    left = [fault for fault in outcome.faults if fault.startswith("left behind: loop device still attached")]
    assert len(left) == 2
    assert str(scratch) not in "".join(path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file"))


def test_a_skipped_lane_counts_as_one_skip_and_passes_nothing() -> None:
    """SKIP makes a lane no failure, but the last line shows it."""
    outcomes = [lane_run.skipped("host"), lane_run.Outcome("unit", junit.Counts(passed=7), (), 1.0)]
    assert report.last_line(outcomes) == "7 passed, 0 failed, 1 skipped"


def test_the_last_line_is_plain_without_skips() -> None:
    """Exactly what CI reads."""
    assert report.last_line([lane_run.Outcome("unit", junit.Counts(7, 2), (), 1.0)]) == "7 passed, 2 failed"


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "gone"


def test_the_lane_sees_its_size_and_its_own_directory(lane: Bench) -> None:
    """HOLDALL_PROOF and TMPDIR are the lane's; the rest of the caller's environment stays."""
    lane.command("sh", "-c", 'echo "$HOLDALL_PROOF $TMPDIR $PATH"')
    expected = f"slice {lane.places.scratch('it')} {os.environ['PATH']}\n"
    assert lane.places.log("it").read_text() == expected


@pytest.mark.parametrize("out", ["/srv/a folder/out", "/srv/it's/out", "/srv/é/out", "/srv/" + "deep/" * 9 + "out"])
def test_a_checkout_in_an_odd_folder_gets_a_short_plain_scratch(out: str) -> None:
    """So that no test fails for the length or the letters of the path it happens to run in."""
    scratch = lane_run.Places(Path(out)).scratch("contract")
    assert len(str(scratch)) <= lane_run.NEAR
    assert scratch.parent.name.removeprefix("hold-").isalnum()


def test_a_checkout_in_a_plain_folder_has_its_scratch_below_out() -> None:
    """Where `make clean` and people look for it."""
    assert lane_run.Places(Path("/srv/main/out")).scratch("host") == Path("/srv/main/out/tmp/host")

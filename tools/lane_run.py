"""Run one lane: in a session and a directory of its own, within its time box, leaving nothing behind."""

import contextlib
import os
import re
import secrets
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from . import junit, leftovers

NEAR = 32
"""Bytes a scratch directory's path may have; pytest and a test's own directories take some 75 of the 107."""
FAR = Path("/var/tmp")
"""Temporary files that may be large and outlive a reboot (hier(7)): a disk, where /tmp may be memory."""


@dataclass(frozen=True)
class Outcome:
    """What a lane came to. ``faults`` are the reasons it failed as a lane, beside (or without) failed cases."""

    name: str
    counts: junit.Counts
    faults: tuple[str, ...]
    seconds: float
    run: bool = True

    @property
    def ok(self) -> bool:
        return self.run and not self.faults and not self.counts.failed and not self.counts.skipped

    @property
    def tally(self) -> junit.Counts:
        """What it adds to the last line: a case skipped inside a lane is a failure, a lane not run is one skip."""
        if not self.run:
            return junit.Counts(skipped=1)
        failed = self.counts.failed + self.counts.skipped
        # A lane that failed without a failed case (time-out, leak, nothing collected) still has to show.
        return junit.Counts(self.counts.passed, failed or len(self.faults))


def skipped(name: str) -> Outcome:
    """A lane that SKIP named."""
    return Outcome(name, junit.Counts(), (), 0.0, run=False)


@dataclass(frozen=True)
class Places:
    """Where a lane writes: logs and reports below ``out``, its scratch directory there too if it can."""

    out: Path

    def log(self, name: str) -> Path:
        return self.out / "test" / f"{name}.log"

    def junit(self, name: str) -> Path:
        return self.out / "test" / f"{name}.xml"

    def scratch(self, name: str) -> Path:
        """On disk either way. Tests make sockets there, whose paths may have 107 bytes (unix(7)), and match paths with
        patterns: below a checkout in a deep or oddly named folder they would fail for that alone. Always the same for
        one checkout, so that what a killed run left is found."""
        near = self.out / "tmp" / name
        if len(os.fsencode(near)) <= NEAR and re.fullmatch(r"[\w./-]+", str(near), re.ASCII):
            return near
        return FAR / f"hold-{sha256(os.fsencode(self.out)).hexdigest()[:6]}" / name


def run(name: str, command: tuple[str, ...], *, box: float, proof: str, places: Places, root: Path) -> Outcome:
    """Run the command to its end or the end of its time box, in seconds, and judge it."""
    log, report, scratch = places.log(name), places.junit(name), places.scratch(name)
    report.unlink(missing_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    # Of an earlier run that was itself killed, so no fault of this one.
    leftovers.release(scratch)
    _make(scratch)
    mark = secrets.token_hex(8)
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=root,
            env=environment(os.environ, proof=proof, scratch=scratch, mark=mark),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            faults = _wait(process, box)
        finally:
            left = leftovers.kill(process.pid, mark, patience=2) + leftovers.release(scratch)
    seconds = time.monotonic() - started
    counts = junit.count(junit.cases(report))
    faults += judge(process.returncode, counts)
    faults += [f"left behind: {thing}" for thing in left]
    faults += _remove(scratch)
    return Outcome(name, counts, tuple(faults), seconds)


def judge(code: int, counts: junit.Counts) -> list[str]:
    """Why a lane that ended with this exit code and these counts has failed; empty when it passed."""
    faults = []
    if counts.total == 0:
        faults.append("no test ran")
    if counts.skipped:
        faults.append(f"{counts.skipped} skipped inside the lane; a test that cannot run is a failure")
    if code != 0 and not (counts.failed and code == 1):
        faults.append(f"exit code {code}" if code > 0 else f"killed by {signal.Signals(-code).name}")
    return faults


def environment(base: Mapping[str, str], *, proof: str, scratch: Path, mark: str) -> dict[str, str]:
    """The lane's environment: the caller's, less what makes output or behaviour differ from one machine to another."""
    return {
        # Told of CI, pytest writes every difference out in full (hundreds of megabytes for a file's content) and
        # hypothesis changes how it searches.
        **{name: value for name, value in base.items() if name not in TELL_CI},
        "HOLDALL_PROOF": proof,
        leftovers.MARK: mark,
        "TMPDIR": str(scratch),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "COLUMNS": "150",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
    }


TELL_CI = frozenset({"CI", "BUILD_NUMBER", "GITHUB_ACTIONS", "GITLAB_CI", "TEAMCITY_VERSION", "TF_BUILD"})


def _wait(process: subprocess.Popen[bytes], box: float) -> list[str]:
    """Wait for the end; past the box, first as ^C so that pytest says where it hung and cleans up, then by force."""
    try:
        process.wait(box)
        return []
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return [f"stopped after its time box of {box:.0f} s"]


def _make(scratch: Path) -> None:
    """An empty directory in one of our own. PermissionError when that is somebody else's: FAR is open to everybody."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    parent = scratch.parent.lstat()
    if not stat.S_ISDIR(parent.st_mode) or parent.st_uid != os.geteuid():
        raise PermissionError(f"{scratch.parent} is not a directory of ours; remove it")
    scratch.mkdir()


def _remove(scratch: Path) -> list[str]:
    """Remove the lane's directory, unless something is still mounted in it, which removing would empty."""
    if leftovers.mounts(scratch):
        return [f"cannot be unmounted: {', '.join(leftovers.mounts(scratch))}"]
    shutil.rmtree(scratch, ignore_errors=True)
    with contextlib.suppress(OSError):
        scratch.parent.rmdir()
    return []

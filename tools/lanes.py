"""Run the lanes of `make test` (a slice of each) or `make prove` (all of it), one after the other.

Prints one table, and as its last line ``N passed, M failed`` (``, K skipped`` when SKIP left lanes out). A lane that
cannot run fails; SKIP=lane,lane leaves lanes out and says so. Logs and JUnit files go to out/test/.
"""

import argparse
import fcntl
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from . import lane_run, plan, report

ROOT = Path(__file__).resolve().parent.parent
SLICE_MINUTES = 15
"""What `make test` may take on a fresh machine with two cores, installation included."""


def run(
    lanes: Sequence[plan.Lane], skip: frozenset[str], proof: str, places: lane_run.Places
) -> list[lane_run.Outcome]:
    """Run the lanes in order, saying how each went; a lane named in ``skip`` is only announced."""
    outcomes = []
    for lane in lanes:
        if lane.name in skip:
            outcomes.append(lane_run.skipped(lane.name))
            say(f"{lane.name:9} SKIPPED because SKIP names it: nothing of it is proven by this run")
            continue
        say(f"{lane.name:9} {lane.holds} ...")
        command = lane.arguments(proof, str(places.junit(lane.name)))
        outcome = lane_run.run(lane.name, command, box=lane.box(proof), proof=proof, places=places, root=ROOT)
        outcomes.append(outcome)
        counts = outcome.counts
        say(f"{'':9} {report.verdict(outcome)}: {counts.passed} of {counts.total} passed, {outcome.seconds:.1f} s")
        for fault in outcome.faults:
            say(f"{'':9} {lane.name}: {fault}")
    return outcomes


def explain(outcomes: Sequence[lane_run.Outcome], places: lane_run.Places) -> None:
    """Print why each failed lane failed, so that a CI log alone is enough to find the cause."""
    for outcome in outcomes:
        if outcome.run and not outcome.ok:
            say(f"\n######## {outcome.name} failed: {places.log(outcome.name).relative_to(ROOT)} says")
            say(report.causes(places.log(outcome.name)))
            for fault in outcome.faults:
                say(f"######## {outcome.name}: {fault}")


def say(text: str) -> None:
    print(text, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools.lanes", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=("test", "prove"), nargs="?", default="test")
    parser.add_argument("lanes", nargs="*", metavar="LANE", help=f"only these: {', '.join(plan.NAMES)}")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.lanes) - set(plan.NAMES)):
        parser.error(f"no such lane: {', '.join(unknown)}; the lanes are {', '.join(plan.NAMES)}")
    try:
        skip = plan.skips(os.environ.get("SKIP", ""))
    except ValueError as error:
        parser.error(str(error))
    places = lane_run.Places(ROOT / "out")
    places.out.mkdir(exist_ok=True)
    with (places.out / "lanes.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            parser.error("another run of the lanes is under way in this checkout; they would share out/")
        for stop in (signal.SIGTERM, signal.SIGINT):
            signal.signal(stop, _interrupt)
        try:
            return _run_all(options.what, options.lanes, skip, places)
        except KeyboardInterrupt:
            say("interrupted: the lane under way was stopped and cleared away")
            return 130


def _run_all(what: str, only: Sequence[str], skip: frozenset[str], places: lane_run.Places) -> int:
    proof = plan.SLICE if what == "test" else plan.FULL
    lanes = [lane for lane in plan.LANES if (lane.name in only if only else proof == plan.FULL or lane.in_slice)]
    started = time.monotonic()
    outcomes = run(lanes, skip, proof, places)
    explain(outcomes, places)
    if what == "prove":
        (ROOT / "docs" / "proof.md").write_text(report.proof(outcomes, places, ROOT))
    say(f"\n{report.table(outcomes)}\n")
    if left_out := [outcome.name for outcome in outcomes if not outcome.run]:
        say(f"NOT RUN, because SKIP names them: {', '.join(left_out)}")
    if proof == plan.SLICE and not only:
        longer = [lane.name for lane in plan.LANES if not lane.in_slice]
        say(f"only in `make prove`, or when LANES names them: {', '.join(longer)}")
    minutes = (time.monotonic() - started) / 60
    if what == "test" and minutes > SLICE_MINUTES:
        say(f"took {minutes:.1f} minutes; `make test` may take {SLICE_MINUTES}: make a slice smaller")
    say(report.last_line(outcomes))
    return 0 if all(outcome.ok or not outcome.run for outcome in outcomes) else 1


def _interrupt(signum: int, frame: FrameType | None) -> None:
    # SIGTERM as well as ^C, and ^C also where the caller had it ignored.
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

"""Run csi-sanity over the cells: `python -m sanity.matrix [CELL ...]`.

A cell passes when all its active cases passed and none was skipped, the driver ended cleanly, its log holds neither a
traceback nor a secret, and nothing is left mounted or attached. JUnit files and logs lie in out/sanity/.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tools import junit, leftovers

from . import cells, conformance, places
from .cells import Cell
from .driver import HOLDALL, Driver

OUT = conformance.ROOT / "out" / "sanity"
NODE = "sanity-node"


@dataclass(frozen=True)
class Result:
    """One row of the table."""

    cell: Cell
    cases: list[junit.Case]
    faults: list[str]
    seconds: float

    @property
    def counts(self) -> junit.Counts:
        return junit.count(self.cases)

    @property
    def ok(self) -> bool:
        return not self.faults and self.counts == junit.Counts(passed=cells.ACTIVE_CASES)


def run(cell: Cell, base: Path) -> Result:
    """Run one cell from nothing to nothing."""
    started = time.monotonic()
    # What an earlier run wrote must not be taken for this one's.
    for old in OUT.glob(f"{cell.slug}.*"):
        old.unlink()
    try:
        with places.made(cell, base) as spots:
            cases, faults = _tested(cell, spots)
    except RuntimeError as error:
        cases, faults = [], [str(error)]
    return Result(cell, cases, faults, time.monotonic() - started)


def _tested(cell: Cell, spots: places.Places) -> tuple[list[junit.Case], list[str]]:
    secret = conformance.new_secret()
    before = places.everything(spots)
    drivers = _drivers(cell, spots)
    done = conformance.Run([], [])
    faults: list[str] = []
    try:
        for driver in drivers:
            driver.start()
        controller = spots.endpoint("controller" if cell.split else "node")
        report, log = OUT / f"{cell.slug}.xml", OUT / f"{cell.slug}.log"
        done = conformance.run(cell, spots, spots.endpoint("node"), controller, secret, report, log)
    except RuntimeError as error:
        faults.append(str(error))
    finally:
        for driver in reversed(drivers):
            faults += driver.stop()
    for driver in drivers:
        faults += driver.blemishes(secret)
    return done.cases, [*done.faults, *faults, *places.strays(spots, before)]


def _drivers(cell: Cell, spots: places.Places) -> list[Driver]:
    """The processes of the cell, in the order to start them."""
    config = str(places.driver_config(cell, spots))
    serving = ("--config", config, "--state-dir", str(spots.work / "state"), "--endpoint", spots.endpoint("node"))
    log = OUT / f"{cell.slug}.driver.log"
    if not cell.split:
        return [Driver("all", log, *serving, "--node-id", NODE)]
    node = ("--node-id", NODE, "--controller-endpoint", spots.endpoint("node-controller"))
    routing = (
        "--config", str(places.controller_config(spots, NODE)), "--state-dir", str(spots.work / "controller"),
        "--endpoint", spots.endpoint("controller"),
    )  # fmt: skip
    return [
        Driver("node", log, *serving, *node),
        Driver("controller", OUT / f"{cell.slug}.controller.log", *routing),
    ]


def table(results: list[Result]) -> str:
    """The rows in Markdown, plain enough to read as they are."""
    lines = [
        "| cell              | passed | failed | skipped | seconds |",
        "|-------------------|-------:|-------:|--------:|--------:|",
    ]
    for result in results:
        counts = result.counts
        lines.append(
            f"| {result.cell.name:17} | {counts.passed:6} | {counts.failed:6} | {counts.skipped:7} | {result.seconds:7.1f} |"
        )
    return "\n".join(lines)


def show(result: Result) -> None:
    """Print the cell's verdict, and why when it failed."""
    counts, verdict = result.counts, "ok" if result.ok else "FAILED"
    print(
        f"{result.cell.name:18} {verdict:6} {counts.passed} of {cells.ACTIVE_CASES} passed, {result.seconds:.1f} s",
        flush=True,
    )
    for case in result.cases:
        if case.verdict != "passed":
            why = case.why.replace("\n", "\n        ")
            print(f"    {case.verdict.upper()} {case.name}\n        {why}", flush=True)
    for fault in result.faults:
        print(f"    {fault}", flush=True)


def collected(results: list[Result]) -> list[junit.Case]:
    """All cases under their cell's name, and one more for each cell that failed beside its cases."""
    listed = []
    for result in results:
        for case in result.cases:
            listed.append(junit.Case(f"{result.cell.name} {case.name}", case.seconds, case.verdict, case.why))
        why = list(result.faults)
        if result.counts.total != cells.ACTIVE_CASES:
            why.append(f"{result.counts.total} cases ran or were skipped; csi-sanity has {cells.ACTIVE_CASES}")
        if why:
            listed.append(junit.Case(f"{result.cell.name} as a whole", result.seconds, "failed", "\n".join(why)))
    return listed


def main() -> int:
    parser = argparse.ArgumentParser(prog="sanity.matrix")
    parser.add_argument("cells", nargs="*", metavar="CELL", help="a backend, or a backend/one or /split; default all")
    parser.add_argument("--junit-xml", type=Path, help="also write all cases of all cells here")
    options = parser.parse_args()
    try:
        wanted = cells.chosen(options.cells)
    except ValueError as error:
        parser.error(str(error))
    for program in (conformance.PROGRAM, HOLDALL):
        if not program.exists():
            parser.error(f"{program.name} is not there; `make sanity` installs it")
    OUT.mkdir(parents=True, exist_ok=True)
    # In a lane, the lane's own directory, where it looks for what we leave; never /tmp, which may lie in memory.
    base = Path(os.environ["TMPDIR"]) if leftovers.MARK in os.environ else conformance.ROOT / "out" / "tmp" / "matrix"
    results = []
    for cell in wanted:
        result = run(cell, base)
        results.append(result)
        show(result)
    if options.junit_xml:
        junit.write(options.junit_xml, "sanity", collected(results))
    (OUT / "table.md").write_text(table(results) + "\n")
    print(f"\n{table(results)}")
    return 0 if all(result.ok for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())

"""What the lanes say: a table for people, the last line for CI, the causes of a failure, and docs/proof.md."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from . import junit
from .lane_run import Outcome, Places

TAIL = 150
"""Lines of a failed lane's log that are printed whatever they say."""


MOST, WIDEST = 4000, 500
"""Lines of a failed lane's log that are shown, and characters of each: a CI log has to stay readable."""


def verdict(outcome: Outcome) -> str:
    return "SKIPPED" if not outcome.run else "ok" if outcome.ok else "FAILED"


def last_line(outcomes: Sequence[Outcome]) -> str:
    """``N passed, M failed``, with ``, K skipped`` when lanes were left out: the line CI reads."""
    total = sum((outcome.tally for outcome in outcomes), junit.Counts())
    return f"{total.passed} passed, {total.failed} failed" + (f", {total.skipped} skipped" if total.skipped else "")


def table(outcomes: Sequence[Outcome]) -> str:
    """One row per lane in Markdown, aligned so that it reads well as it is."""
    rows = [("lane", "result", "passed", "failed", "skipped", "seconds")]
    for outcome in outcomes:
        counts = outcome.counts
        numbers = (str(counts.passed), str(counts.failed), str(counts.skipped), f"{outcome.seconds:.1f}")
        rows.append((outcome.name, verdict(outcome), *(numbers if outcome.run else ("-",) * 4)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [_row(row, widths) for row in rows]
    rule = "|" + "|".join("-" * (width + 1) + ("-" if column < 2 else ":") for column, width in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def causes(log: Path) -> str:
    """The parts of a failed lane's log that show why: pytest's failure sections, and the last lines."""
    lines = log.read_text(errors="replace").splitlines()
    shown = set(range(max(0, len(lines) - TAIL), len(lines)))
    heads = [index for index, line in enumerate(lines) if re.fullmatch(r"=+ (FAILURES|ERRORS) =+", line)]
    ends = [index for index, line in enumerate(lines) if re.fullmatch(r"=+ short test summary info =+", line)]
    for head in heads:
        shown.update(range(head, min((end for end in ends if end > head), default=len(lines))))
    kept = sorted(shown)
    if len(kept) > MOST:
        kept = kept[: MOST // 2] + kept[-MOST // 2 :]
    parts: list[str] = []
    for before, index in zip([-1, *kept], kept, strict=False):
        if index != before + 1:
            parts.append("  [...]")
        parts.append(lines[index][:WIDEST])
    return "\n".join(parts)


def proof(outcomes: Sequence[Outcome], places: Places, root: Path) -> str:
    """The text of docs/proof.md: what was proven, of which commit, on what machine, how long it took."""
    sanity = places.out / "sanity" / "table.md"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return "\n".join(
        [
            "# Proof",
            "",
            "Written by `make prove`; do not edit. Every lane at its full size.",
            "",
            f"- Commit: `{_commit(root)}`",
            f"- Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            f"- Machine: {os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB memory, "
            f"Linux {platform.release()}, Python {platform.python_version()}",
            f"- Duration: {sum(outcome.seconds for outcome in outcomes) / 60:.1f} minutes",
            f"- Result: {last_line(outcomes)}",
            "",
            "## Lanes",
            "",
            table(outcomes),
            *[f"\n{outcome.name}: {fault}" for outcome in outcomes for fault in outcome.faults],
            "",
            "## csi-sanity",
            "",
            sanity.read_text().strip() if sanity.exists() else "Not run.",
            "",
        ]
    )


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths, strict=True)))
    return "| " + " | ".join(padded) + " |"


def _commit(root: Path) -> str:
    def git(*arguments: str) -> str:
        command = ("git", "-c", f"safe.directory={root}", *arguments)
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout.strip()

    changed = " with uncommitted changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (git("rev-parse", "HEAD") or "unknown") + changed


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()

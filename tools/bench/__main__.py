"""Runs everything in order: ``python -m tools.bench [--scale N] [--rounds N]``; PEER names another driver's program."""

import argparse
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from . import calls, io, report
from .subject import Ours, Peer, Subject


@contextlib.contextmanager
def _filesystem(root: Path, size: int) -> Iterator[Path]:
    """An XFS with shared extents for the pool, made as an administrator would make it."""
    image, target = root / "pool.img", root / "pool"
    with image.open("wb") as file:
        os.truncate(file.fileno(), size)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", "-s", "size=4096", str(image)], check=True)
    target.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(target)], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", str(target)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, default=10_000, help="most existing volumes: 1000, 10000 or 100000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fio-seconds", type=int, default=3, help="seconds per fio job; 0 leaves fio out")
    options = parser.parse_args()
    out = Path("out/bench").resolve()
    out.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix="bench-", dir=out))
    facts: dict[str, object] = {"cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d")}
    results: calls.Results = {}
    figures: dict[str, dict[str, float]] = {}
    try:
        with _filesystem(root, 24 << 30) as pool, contextlib.ExitStack() as ending:
            ours = Ours(root / "holdall", pool / "bench")
            ending.callback(ours.end)
            subjects: list[Subject] = [ours]
            if program := os.environ.get("PEER"):
                # The peer's state lies on the same filesystem as our pool: both wait for the same disk.
                (pool / "peer").mkdir()
                peer = Peer(pool / "peer", program)
                ending.callback(peer.end)
                subjects.append(peer)
            facts |= {f"{one.name}: resident when idle, MB": round(one.memory() / 1e6, 1) for one in subjects}
            calls.node(subjects, results, rounds=options.rounds)
            # Their bars are milliseconds, not ratios; a peer that copies by tar would take minutes here.
            calls.copies([ours], results, rounds=options.rounds)
            if options.fio_seconds:
                figures = io.run(ours, pool, rounds=options.rounds, seconds=options.fio_seconds)
            existing = 0
            for step in (0, 1000, 10_000, 100_000):
                if step > options.scale:
                    break
                # A peer that scans all volumes per call would take hours to fill; at 100 000 we stand alone.
                present = subjects if step <= 10_000 else [ours]
                for subject in present:
                    calls.fill(subject, existing, step - existing)
                existing = step
                calls.lifecycle(present, results, rounds=options.rounds, existing=step)
            facts |= {f"{one.name}: resident at the end, MB": round(one.memory() / 1e6, 1) for one in subjects}
            ours.end()
            facts[f"holdall: start to ready with {existing} volumes, s"] = round(ours.begin(), 2)
        print(report.write(out, report.rows(results), facts, figures))
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()

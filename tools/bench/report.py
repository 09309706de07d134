"""The table: our figures, the peer's, their ratio, and the bar where the design sets one."""

import json
from pathlib import Path
from typing import Any

from .calls import Results

BARS = {
    "publish": 10.0,
    "unpublish": 12.0,
    "stats": 10.0,
    "Probe": 0.4,
    "stage, formatted": 0.9,
    "create, 1000 existing": 1.0,
    "create, 10000 existing": 3.0,
    "delete, 1000 existing": 0.8,
    "delete, 10000 existing": 0.8,
}
"""Least ratio of our rate to the peer's (docs/design.md, figures to hold)."""


def rows(results: Results) -> list[dict[str, Any]]:
    """One row a measurement; ``ratio`` and ``bar`` only where there is a peer."""
    table = []
    for what, sides in results.items():
        ours = sides["holdall"]
        row: dict[str, Any] = {
            "what": what,
            "rate": ours.rate,
            "p50_ms": ours.percentile(0.5),
            "p99_ms": ours.percentile(0.99),
        }
        for name, peer in sides.items():
            if name != "holdall":
                row |= {"peer": name, "peer_rate": peer.rate, "peer_p50_ms": peer.percentile(0.5)}
                row["ratio"] = ours.rate / peer.rate
                if what in BARS:
                    row["bar"] = BARS[what]
        table.append(row)
    return table


def markdown(table: list[dict[str, Any]], facts: dict[str, Any], io: dict[str, dict[str, float]]) -> str:
    lines = ["| what | per second | p50 ms | p99 ms | peer per second | ratio | bar |", "|---|---|---|---|---|---|---|"]
    for row in table:
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else ""
        peer = f"{row['peer_rate']:.1f}" if "ratio" in row else ""
        bar = f"{row['bar']:g}" if "bar" in row else ""
        lines.append(
            f"| {row['what']} | {row['rate']:.1f} | {row['p50_ms']:.2f} | {row['p99_ms']:.2f} | {peer} | {ratio} | {bar} |"
        )
    lines += ["", "| fact | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items())]
    if io:
        lines += [
            "",
            "| fio, MB/s | volume | plain losetup | pool filesystem | volume : losetup | volume : filesystem |",
        ]
        lines.append("|---|---|---|---|---|---|")
    for job, sides in io.items():
        volume, plain, pool = sides["volume"], sides["plain losetup"], sides["pool filesystem"]
        lines.append(
            f"| {job} | {volume / 1e6:.0f} | {plain / 1e6:.0f} | {pool / 1e6:.0f} "
            f"| {volume / plain:.2f} | {volume / pool:.2f} |"
        )
    return "\n".join(lines) + "\n"


def write(directory: Path, table: list[dict[str, Any]], facts: dict[str, Any], io: dict[str, dict[str, float]]) -> str:
    directory.mkdir(parents=True, exist_ok=True)
    text = markdown(table, facts, io)
    (directory / "bench.md").write_text(text)
    (directory / "bench.json").write_text(json.dumps({"table": table, "facts": facts, "io": io}, indent=1))
    return text

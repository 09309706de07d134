"""What a CI log shows of a failed lane."""

from pathlib import Path

from tools import junit, lane_run, report

LOG = ["start", "=== FAILURES ===", "E assert 1 == 2", "=== short test summary info ===", "FAILED one"]


def test_failure_sections_are_shown_however_far_up_they_stand(tmp_path: Path) -> None:
    """The cause of the first failure is often thousands of lines above the end."""
    (tmp_path / "log").write_text("\n".join(LOG + [f"line {n}" for n in range(1000)]))
    shown = report.causes(tmp_path / "log").splitlines()
    assert shown[:4] == ["  [...]", "=== FAILURES ===", "E assert 1 == 2", "  [...]"]
    assert len(shown) == 4 + report.TAIL


def test_nothing_is_shown_twice(tmp_path: Path) -> None:
    """A section that lies in the last lines anyway is part of them."""
    (tmp_path / "log").write_text("\n".join(LOG))
    assert report.causes(tmp_path / "log").splitlines() == LOG


def test_the_table_tells_a_skipped_lane_from_a_lane_of_zeros() -> None:
    """A lane not run has no numbers."""
    outcomes = [lane_run.skipped("host"), lane_run.Outcome("unit", junit.Counts(7), (), 1.25)]
    assert report.table(outcomes).splitlines() == [
        "| lane | result  | passed | failed | skipped | seconds |",
        "|------|---------|-------:|-------:|--------:|--------:|",
        "| host | SKIPPED |      - |      - |       - |       - |",
        "| unit | ok      |      7 |      0 |       0 |     1.2 |",
    ]

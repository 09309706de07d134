"""Counting cases."""

from pathlib import Path

from tools import junit

GINKGO = """<testsuites tests="4"><testsuite name="s" tests="4">
<testcase name="a" status="passed"/><testcase name="b" status="pending"><skipped message="pending"/></testcase>
<testcase name="c" status="skipped"><skipped message="not supported"/></testcase>
<testcase name="d" status="failed"><failure>no</failure></testcase></testsuite></testsuites>"""


def test_counts_are_taken_case_by_case_without_pending_ones(tmp_path: Path) -> None:
    """Ginkgo lists as pending what its author switched off: neither run nor skipped by us."""
    (tmp_path / "x.xml").write_text(GINKGO)
    assert junit.Counts(passed=1, failed=1, skipped=1) == junit.count(junit.cases(tmp_path / "x.xml"))


def test_a_missing_or_cut_off_file_counts_nothing(tmp_path: Path) -> None:
    """So that the lane fails for having run no test."""
    (tmp_path / "cut.xml").write_text(GINKGO[:60])
    assert [] == junit.cases(tmp_path / "cut.xml") == junit.cases(tmp_path / "none.xml")


def test_written_cases_read_back(tmp_path: Path) -> None:
    """Whatever bytes a failed program printed."""
    cases = [junit.Case("good", 0.1), junit.Case("bad", 0.2, "failed", "line <1>\n\x1b[31mred\x00")]
    junit.write(tmp_path / "x.xml", "ours", cases)
    assert junit.cases(tmp_path / "x.xml") == [cases[0], junit.Case("bad", 0.2, "failed", "line <1>\n?[31mred?")]

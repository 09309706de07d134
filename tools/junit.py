"""Counts out of JUnit files: what pytest, csi-sanity and our own checks all write."""

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters XML 1.0 has no way to hold (section 2.2); programs that die print them."""


@dataclass(frozen=True)
class Counts:
    """How many cases passed, failed (errors included) and were skipped (expected failures included)."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        return self.passed + self.failed + self.skipped

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)


@dataclass(frozen=True)
class Case:
    """One case to be written: failed when ``failure`` says why."""

    name: str
    seconds: float
    failure: str = ""


def read(path: Path) -> Counts:
    """The counts of one file, case by case; the totals in its head are not trusted. A missing or cut-off file is empty.

    Ginkgo's pending cases (marked by their author as not to be run) are left out.
    """
    try:
        cases = list(ElementTree.parse(path).iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return Counts()
    verdicts = [_verdict(case) for case in cases]
    return Counts(verdicts.count("passed"), verdicts.count("failed"), verdicts.count("skipped"))


def write(path: Path, suite: str, cases: list[Case]) -> None:
    """Write the cases as one suite."""
    root = ElementTree.Element("testsuites")
    element = ElementTree.SubElement(root, "testsuite", name=suite, tests=str(len(cases)))
    for case in cases:
        child = ElementTree.SubElement(element, "testcase", classname=suite, name=case.name, time=f"{case.seconds:.3f}")
        if case.failure:
            why = UNWRITABLE.sub("?", case.failure)
            ElementTree.SubElement(child, "failure", message=why.partition("\n")[0]).text = why
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _verdict(case: ElementTree.Element) -> str:
    if case.get("status") == "pending":
        return "pending"
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "passed" if case.find("skipped") is None else "skipped"

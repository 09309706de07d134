"""JUnit files, which pytest, csi-sanity and our own checks all write: reading cases, writing them, counting them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters XML 1.0 has no way to hold (section 2.2); programs that die print them."""

Verdict = Literal["passed", "failed", "skipped"]
MEANINGS: dict[str, Verdict] = {"failure": "failed", "error": "failed", "skipped": "skipped"}
"""What an element inside a case says of it, the weightier first."""


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
    """One case. ``why`` is what a failed or skipped one says."""

    name: str
    seconds: float
    verdict: Verdict = "passed"
    why: str = ""


def cases(path: Path) -> list[Case]:
    """The cases of a file; none of a missing or cut-off one. Cases Ginkgo calls pending are left out: their author
    marked them as not to be run, and they are neither run nor skipped by us."""
    try:
        elements = list(ElementTree.parse(path).iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return []
    return [_case(element) for element in elements if element.get("status") != "pending"]


def count(listed: Iterable[Case]) -> Counts:
    """The counts, case by case: the totals at the head of a file are not trusted."""
    verdicts = [case.verdict for case in listed]
    return Counts(verdicts.count("passed"), verdicts.count("failed"), verdicts.count("skipped"))


def write(path: Path, suite: str, listed: Iterable[Case]) -> None:
    """Write the cases as one suite."""
    root = ElementTree.Element("testsuites")
    element = ElementTree.SubElement(root, "testsuite", name=suite)
    for case in listed:
        child = ElementTree.SubElement(element, "testcase", classname=suite, name=case.name)
        child.set("time", f"{case.seconds:.3f}")
        if case.verdict != "passed":
            why = UNWRITABLE.sub("?", case.why)
            tag = "failure" if case.verdict == "failed" else "skipped"
            ElementTree.SubElement(child, tag, message=why.partition("\n")[0]).text = why
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _case(element: ElementTree.Element) -> Case:
    said: dict[Verdict, ElementTree.Element] = {}
    for tag, meaning in MEANINGS.items():
        if (found := element.find(tag)) is not None:
            said.setdefault(meaning, found)
    verdict, why = next(iter(said.items()), ("passed", element))
    text = (why.text or why.get("message") or "").strip()
    return Case(element.get("name", ""), float(element.get("time") or 0), verdict, text if said else "")

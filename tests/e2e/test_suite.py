"""Kubernetes' own external storage suite; docs/external-suite.md says what of it does not apply, and why."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import PROOF

from .cluster import suite
from .cluster.cluster import ROOT, Cluster

DRIVERS = Path(__file__).parent / "suite"
TABLE = ROOT / "docs" / "external-suite.md"
BACKENDS = ("image-xfs", "image-ext4", "btrfs", "directory")
FULL = PROOF == "full"
SLICE = {
    "image-xfs": (
        r"Dynamic PV \(default fs\)\] volumes should store data",
        r"Dynamic PV \(default fs\)\(allowExpansion\)\] volume-expand should resize volume when PVC is edited while",
        r"Dynamic Snapshot \(delete policy\)\] snapshottable.*\(persistent\)",
        r"Dynamic PV \(block volmode\)\] provisioning should provision storage with pvc data source \(ROX mode\)",
        r"CSI Ephemeral-volume \(default fs\)\] ephemeral should create read/write inline ephemeral volume",
    ),
    "image-ext4": (
        r"Dynamic PV \(default fs\)\] read-write-once-pod.*should block a second pod",
        r"Dynamic PV \(default fs\)\] fsgroupchangepolicy \(OnRootMismatch\).*initial fsgroup, new pod fsgroup",
    ),
    "btrfs": (
        r"Dynamic PV \(default fs\)\] provisioning should provision storage with snapshot data source \[",
        r"Dynamic PV \(delayed binding\)\] topology should provision a volume and schedule a pod",
    ),
    "directory": (
        r"Dynamic PV \(default fs\)\] subPath should support existing directory",
        r"Dynamic PV \(default fs\)\] capacity provides storage capacity information",
    ),
}
"""What `make test` runs: the ways in which backends differ, each once."""
ONE_NODE = (
    r"volumegroupsnapshot|volume-lifecycle-performance|pvc-deletion-performance|volume-modify-stress"
    if FULL
    else r"Testpattern:  \(delete policy\)\] volumegroupsnapshottable \["
)
LAB = r"any volume data source"
"""Needs images of the Kubernetes project that are to be had from a registry only."""


@pytest.fixture(scope="module")
def prepared(cluster: Cluster) -> Cluster:
    """The classes that the driver files name are there."""
    cluster.apply((DRIVERS / "classes.yaml").read_text())
    return cluster


def reasons() -> dict[str, dict[str, int]]:
    """What the document says of each reason the suite gives: how many specs it leaves out, by driver file."""
    found = {}
    for line in TABLE.read_text().splitlines():
        if match := re.fullmatch(r"\| `(.+)` \|((?: *\d+ \|)+) .*\|", line):
            counts = [int(cell) for cell in match[2].split("|")[:-1]]
            found[match[1]] = dict(zip(BACKENDS, counts, strict=True))
    return found


def run(cluster: Cluster, backend: str, focus: str) -> suite.Verdict:
    results = ROOT / "out" / "storage-suite" / backend
    return suite.run(cluster, [DRIVERS / f"{backend}.yaml"], results, focus=focus, skip=LAB, procs=3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_spec_that_applies_passes(prepared: Cluster, backend: str) -> None:
    """No spec fails; what the suite leaves out is what the document says, for the reasons it says."""
    focus = "External.Storage" if FULL else f"External.Storage.*({'|'.join(SLICE[backend])})"
    verdict = run(prepared, backend, focus)
    assert verdict.failed == ()
    expected = reasons()
    given: Counter[str] = Counter()
    for name, reason in verdict.skipped.items():
        (row,) = [known for known in expected if known in reason] or [f"{name}: {reason}"]
        given[row] += 1
    if FULL:
        assert dict(given) == {row: counts[backend] for row, counts in expected.items() if counts[backend]}
    else:
        assert not given
        assert len(verdict.passed) == len(SLICE[backend])


def test_groups_rates_and_changes_of_many_volumes_pass_on_one_node(prepared: Cluster) -> None:
    """Where all claims of a class are on one node, or bound at once: nothing of it is left out."""
    verdict = run(prepared, "one-node", f"External.Storage.*({ONE_NODE})")
    assert verdict.failed == ()
    assert verdict.passed

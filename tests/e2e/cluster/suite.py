"""Kubernetes' own external storage suite against a driver that is installed in a cluster.

``python -m tests.e2e.cluster.suite [--directory DIR] [--focus RE] [--skip RE] [--procs N] TESTDRIVER.yaml``
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from . import binaries, images
from .cluster import DEFAULT, Cluster

NEVER = r"\[Disruptive\]|\[Feature:Windows\]|\[sig-windows\]"
"""What is left out in any case: it takes nodes down over ssh, or needs Windows."""


@dataclass(frozen=True)
class Verdict:
    """What a run of the suite came to; ``skipped`` are those the suite itself found not to apply, with its reason."""

    passed: tuple[str, ...]
    failed: tuple[str, ...]
    skipped: dict[str, str]


def run(
    cluster: Cluster,
    drivers: Sequence[Path],
    results: Path,
    *,
    focus: str = "External.Storage",
    skip: str = "",
    procs: int = 4,
    timeout: str = "3h",
) -> Verdict:
    """The suite's verdict on the drivers whose testdriver files these are; its output and JUnit file are in ``results``.

    The images it uses are loaded first. RuntimeError when it ends without a verdict.
    """
    programs = binaries.ensure(binaries.SUITE)
    archives = images.suite(programs.parent / "images")
    loaded = cluster.directory / "suite.loaded"
    if not loaded.exists():
        for archive in archives:
            cluster.load_image(archive)
        loaded.touch()
    # What an earlier run left would be read as this one's.
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    registries = results / "registries.yaml"
    registry = images.SUITE_REGISTRY
    registries.write_text(json.dumps({"promoterE2eRegistry": registry, "gcRegistry": registry}))
    command = [
        *(programs / "ginkgo", f"-procs={procs}", f"-timeout={timeout}", f"-focus={focus}"),
        *(f"-skip={'|'.join(filter(None, (NEVER, skip)))}", "-no-color", "-silence-skips"),
        *("-junit-report=junit.xml", f"-output-dir={results}", programs / "e2e.test", "--"),
        *(f"--kubeconfig={cluster.api.kubeconfig}", "--provider=local", "--allowed-not-ready-nodes=0"),
        *(f"--report-dir={results / 'reports'}", f"--kubectl-path={programs / 'kubectl'}"),
        *(f"--storage.testdriver={driver.absolute()}" for driver in drivers),
    ]
    with (results / "output.log").open("wb") as log:
        subprocess.run(
            list(map(str, command)),
            cwd=results,
            env={
                **os.environ,
                "KUBE_TEST_REPO_LIST": str(registries),
                "HOME": str(results),
                "PATH": f"{programs}:{os.environ['PATH']}",
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
        )
    return _verdict(results)


def _verdict(results: Path) -> Verdict:
    report = results / "junit.xml"
    if not report.exists():
        tail = (results / "output.log").read_text(errors="replace")[-3000:]
        raise RuntimeError(f"the suite ended without a report:\n{tail}")
    passed, failed, skipped = [], [], {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        name = case.get("name", "")
        found = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif found is None:
            passed.append(name)
        # Those that no focus chose are listed too, without a reason of their own.
        elif (reason := found.get("message", "")) and reason != "skipped":
            skipped[name] = reason.removeprefix("skipped - ")
    ran = [name for name in passed if name.startswith("[It]")]
    return Verdict(tuple(ran), tuple(failed), skipped)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.e2e.cluster.suite")
    parser.add_argument("drivers", nargs="+", type=Path)
    parser.add_argument("--directory", type=Path, default=DEFAULT, help="the cluster's (default: out/cluster)")
    parser.add_argument("--results", type=Path, default=DEFAULT.parent / "storage-suite")
    parser.add_argument("--focus", default="External.Storage")
    parser.add_argument("--skip", default="")
    parser.add_argument("--procs", type=int, default=4)
    options = parser.parse_args()
    verdict = run(
        Cluster(options.directory),
        options.drivers,
        options.results.absolute(),
        focus=options.focus,
        skip=options.skip,
        procs=options.procs,
    )
    for name in verdict.failed:
        print(f"FAILED {name}")
    print(f"{len(verdict.passed)} passed, {len(verdict.failed)} failed, {len(verdict.skipped)} do not apply")
    return 1 if verdict.failed or not verdict.passed else 0


if __name__ == "__main__":
    sys.exit(main())

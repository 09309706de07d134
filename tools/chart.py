"""The Helm chart, rendered: ``python -m tools.chart`` writes deploy/manifests from it; ``--check`` only compares."""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "chart"
MANIFESTS = ROOT / "deploy" / "manifests" / "holdall.yaml"
KUBERNETES = "1.36.0"
"""What Helm is told it renders for; it asks no cluster."""

HEAD = """\
# Rendered from deploy/chart by `make manifests`; do not edit. For clusters without Helm:
#   kubectl apply --server-side -f holdall.yaml
---
apiVersion: v1
kind: Namespace
metadata:
  name: holdall
  labels:
    # The node pods are privileged: they mount.
    pod-security.kubernetes.io/enforce: privileged
"""


class Refused(Exception):
    """Helm said no; the message is what it said."""


def helm() -> str:
    """A helm to run: the one on PATH, else the cluster's own, built with Go when it was not yet (a minute)."""
    if found := shutil.which("helm"):
        return found
    from tests.e2e.cluster import binaries

    return str(binaries.ensure(("helm",)) / "helm")


def lint(*values: Path) -> None:
    """Raises Refused when the chart, with these values files over its own, is not clean."""
    _helm("lint", "--strict", "--kube-version", KUBERNETES, *_files(values), str(CHART))


def render(*values: Path, namespace: str = "holdall", release: str = "holdall", more: Sequence[str] = ()) -> str:
    """The manifests as YAML documents, CRDs included. ``more`` is passed on, such as ``--set-json``. Raises Refused."""
    return _helm(
        *("template", release, str(CHART), "--namespace", namespace, "--kube-version", KUBERNETES, "--include-crds"),
        *_files(values),
        *more,
    )


def manifests() -> str:
    """What deploy/manifests/holdall.yaml has to hold."""
    return HEAD + render()


def _files(values: Sequence[Path]) -> list[str]:
    return [f"--values={path}" for path in values]


def _helm(*arguments: str) -> str:
    done = subprocess.run([helm(), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused((done.stdout + done.stderr).strip())
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools.chart")
    parser.add_argument("--check", action="store_true", help="only say whether the file is what the chart renders to")
    options = parser.parse_args()
    wanted = manifests()
    if options.check:
        same = MANIFESTS.exists() and MANIFESTS.read_text() == wanted
        print(f"{MANIFESTS.relative_to(ROOT)} is {'what' if same else 'not what'} the chart renders to")
        return 0 if same else 1
    MANIFESTS.parent.mkdir(exist_ok=True)
    MANIFESTS.write_text(wanted)
    print(f"wrote {MANIFESTS.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

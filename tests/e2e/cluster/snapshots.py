"""What snapshots need of a cluster: their resource definitions, and the controller that serves every driver."""

import shutil
import subprocess
from pathlib import Path

from . import binaries

_MODULE = "github.com/kubernetes-csi/external-snapshotter/client/v8"
_GO = Path(__file__).parents[3] / "tools" / "go.sh"


def definitions() -> list[Path]:
    """The CustomResourceDefinitions of snapshots and group snapshots, as their Go module has them."""
    place = binaries.directory().parent / "crds"
    if not place.exists():
        _copy(place)
    return sorted(place.glob("*.yaml"))


def controller(kubeconfig: Path) -> list[str]:
    """The command line of the snapshot controller."""
    return [
        str(binaries.directory() / "snapshot-controller"),
        *(f"--kubeconfig={kubeconfig}", "--feature-gates=CSIVolumeGroupSnapshot=true"),
        *("--leader-election=false", "--kube-api-qps=300", "--kube-api-burst=600"),
        # Else a snapshot whose content is slow is looked at again only after seconds.
        *("--retry-interval-start=500ms", "--retry-interval-max=10s"),
    ]


def _copy(place: Path) -> None:
    found = subprocess.run(
        ["sh", str(_GO), "list", "-m", "-f", "{{.Dir}}", _MODULE],
        cwd=binaries.MODULES / "sidecars",
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    unfinished = place.with_name("crds.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for file in (Path(found) / "config" / "crd").glob("*storage.k8s.io_*.yaml"):
        shutil.copyfile(file, unfinished / file.name)
    unfinished.rename(place)

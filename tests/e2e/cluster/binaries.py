"""The programs of the cluster: Go modules pinned in ``go/*/go.mod``, built once per machine.

``python -m tests.e2e.cluster.binaries [NAME...]`` builds what is named, or everything the cluster itself needs.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).parent / "go"
_GO = Path(__file__).parents[3] / "tools" / "go.sh"
KUBERNETES_VERSION = "v1.36.3"


@dataclass(frozen=True)
class Program:
    """One program: the folder below ``go`` whose go.mod pins it, its package, and what the linker stamps into it."""

    module: str
    package: str
    stamps: tuple[str, ...] = ()
    test: bool = False
    """Built by ``go test -c``."""

    @property
    def command(self) -> tuple[str, ...]:
        """The arguments for go, without the output's name."""
        stamped = " ".join(("-s", "-w", *(f"-X {stamp}" for stamp in self.stamps)))
        verb = ("test", "-c") if self.test else ("build",)
        return (*verb, "-p=2", "-trimpath", "-buildvcs=false", "-ldflags", stamped)


_VERSION = "k8s.io/component-base/version"
_STAMPS = (f"{_VERSION}.gitVersion={KUBERNETES_VERSION}", f"{_VERSION}.gitMajor=1", f"{_VERSION}.gitMinor=36")


def _kubernetes(package: str, *, test: bool = False) -> Program:
    return Program("kubernetes", f"k8s.io/kubernetes/{package}", _STAMPS, test)


def _sidecar(package: str, version: str, module: str = "sidecars") -> Program:
    return Program(module, f"github.com/kubernetes-csi/{package}", (f"main.version={version}",))


CONTROL_PLANE = ("etcd", "kube-apiserver")
SIDECARS = {
    "csi-provisioner": "v6.3.0",
    "csi-snapshotter": "v8.7.0",
    "csi-resizer": "v2.3.0",
    "csi-attacher": "v4.13.0",
}
"""Programs that run as containers, and the version their images carry."""
CLUSTER = (
    *CONTROL_PLANE,
    *SIDECARS,
    "snapshot-controller",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kubectl",
    "kube-proxy",
    "helm",
)
SUITE = ("agnhost", "ginkgo", "e2e.test")
"""What Kubernetes' own storage suite needs besides; e2e.test alone takes as long as half of the rest."""

PROGRAMS = {
    "etcd": Program("etcd", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": _kubernetes("cmd/kube-apiserver"),
    "csi-provisioner": _sidecar("external-provisioner/v6/cmd/csi-provisioner", "v6.3.0", "provisioner"),
    "csi-snapshotter": _sidecar("external-snapshotter/v8/cmd/csi-snapshotter", "v8.7.0"),
    "snapshot-controller": _sidecar("external-snapshotter/v8/cmd/snapshot-controller", "v8.7.0"),
    "csi-resizer": _sidecar("external-resizer/v2/cmd/csi-resizer", "v2.3.0"),
    "csi-attacher": _sidecar("external-attacher/v4/cmd/csi-attacher", "v4.13.0"),
    "kube-controller-manager": _kubernetes("cmd/kube-controller-manager"),
    "kube-scheduler": _kubernetes("cmd/kube-scheduler"),
    "kubelet": _kubernetes("cmd/kubelet"),
    "kubectl": _kubernetes("cmd/kubectl"),
    "kube-proxy": _kubernetes("cmd/kube-proxy"),
    "helm": Program("helm", "helm.sh/helm/v3/cmd/helm", ("helm.sh/helm/v3/internal/version.version=v3.22.0",)),
    "agnhost": _kubernetes("test/images/agnhost"),
    "ginkgo": Program("kubernetes", "github.com/onsi/ginkgo/v2/ginkgo"),
    "e2e.test": _kubernetes("test/e2e", test=True),
}


def directory() -> Path:
    """Where the built programs lie: shared by all checkouts whose modules and flags are the same."""
    cache = os.environ.get("HOLDALL_CLUSTER_CACHE")
    if not cache:
        cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "holdall-cluster")
    return Path(cache) / _fingerprint() / "bin"


def _fingerprint() -> str:
    found = hashlib.sha256()
    for file in sorted(MODULES.glob("*/go.*")):
        found.update(f"{file.relative_to(MODULES)}\n".encode() + file.read_bytes())
    for name, program in sorted(PROGRAMS.items()):
        found.update(repr((name, program.package, program.command)).encode())
    return found.hexdigest()[:16]


def ensure(names: Iterable[str] = CLUSTER) -> Path:
    """The directory with these programs in it, built where they were missing (minutes; said on stderr).

    Safe to call from several processes: one builds, the others wait. RuntimeError naming the program that does not
    build, with what Go said.
    """
    place = directory()
    if missing := [name for name in names if not (place / name).exists()]:
        place.mkdir(parents=True, exist_ok=True)
        with (place / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for name in missing:
                if not (place / name).exists():
                    _build(name, place)
    return place


def _build(name: str, place: Path) -> None:
    program = PROGRAMS[name]
    started = time.monotonic()
    print(f"cluster: building {name} into {place}", file=sys.stderr, flush=True)
    unfinished = place / f".{name}.unfinished"
    done = subprocess.run(
        ["nice", "-n", "19", "sh", str(_GO), *program.command, "-o", str(unfinished), program.package],
        cwd=MODULES / program.module,
        # One go.mod decides, whatever workspace the caller works in. `go test` would vet all that e2e.test consists of.
        env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -vet=off"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{name} does not build in {MODULES / program.module}:\n{done.stdout.decode()}")
    unfinished.rename(place / name)
    print(f"cluster: {name} took {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    print(ensure(sys.argv[1:] or CLUSTER))

"""Holdall in a cluster, from its image and its chart."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .cluster import images
from .cluster.cluster import ROOT, Cluster

NAMESPACE = "holdall"
DRIVER = "holdall.csi.dev"
POOLS = (
    {"name": "fast", "backend": "image", "image": "/var/lib/holdall/fast.img", "size": "12GiB"},
    {"name": "sub", "backend": "btrfs", "image": "/var/lib/holdall/sub.img", "size": "6GiB"},
    {"name": "plain", "backend": "directory", "path": "/srv/plain"},
)
VALUES: Mapping[str, object] = images.VALUES | {
    "node": {"pools": list(POOLS)},
    "storageClasses": [
        {"name": "holdall", "parameters": {"backend": "image", "csi.storage.k8s.io/fstype": "ext4"}},
    ],
}
"""Three pools on each node, one of each backend; the chart's own class names the one whose sizes are enforced."""
_SOURCES = ("driver", "csi", "deploy/image", "requirements-run.lock", "pyproject.toml")


def tag() -> str:
    """What names the image of this checkout's sources: the same text, the same tag."""
    digest = hashlib.sha256()
    for source in _SOURCES:
        place = ROOT / source
        files = [place] if place.is_file() else sorted(place.rglob("*"))
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def archive(directory: Path, name: str) -> Path:
    """An image of this checkout called ``name``, as `Cluster.load_image` takes it; made once per content."""
    place = directory / f"{tag()}.tar"
    if not place.exists():
        root = directory / "root"
        directory.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(["sh", ROOT / "deploy/image/rootfs.sh", root], check=True)
        settings = json.loads((ROOT / "deploy/image/config.json").read_text())
        for old in directory.glob("*.tar"):
            old.unlink()
        images.image_from_directory(root, name, settings, place)
        shutil.rmtree(root)
    return place


def install(cluster: Cluster, *, values: Mapping[str, object] = VALUES, wait: str = "180s") -> None:
    """Every pod of Holdall is ready, of this checkout's image, with the chart's and these values."""
    name = f"holdall.test/holdall:{tag()}"
    for node in cluster.nodes:
        (node.directory / "srv" / "plain").mkdir(parents=True, exist_ok=True)
    known = cluster.directory / "loaded"
    if not known.exists() or known.read_text() != name:
        cluster.load_image(archive(ROOT / "out" / "e2e-image", name))
        known.write_text(name)
    upgrade(cluster, name, values, wait)


def upgrade(cluster: Cluster, image: str, values: Mapping[str, object], wait: str = "180s") -> None:
    """As ``install``, with an image that the nodes have already."""
    repository, _, version = image.rpartition(":")
    file = cluster.directory / "values.json"
    file.write_text(json.dumps({**values, "image": {"repository": repository, "tag": version}}))
    # Helm leaves definitions alone that are there (docs/kubernetes.md, Upgrade).
    cluster.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={ROOT / 'deploy/chart/crds'}")
    cluster.helm(
        *("upgrade", "--install", "holdall", str(ROOT / "deploy/chart"), f"--namespace={NAMESPACE}"),
        *("--create-namespace", f"--values={file}", "--wait", f"--timeout={wait}"),
    )
    for workload in ("daemonset/holdall-node", "deployment/holdall-controller"):
        cluster.kubectl("-n", NAMESPACE, "rollout", "status", workload, f"--timeout={wait}")
    cluster.wait_for(lambda: _registered(cluster), "the driver at every kubelet")


def _registered(cluster: Cluster) -> bool:
    """Also that the provisioner has published capacity: without it the scheduler refuses every pod."""
    found = json.loads(cluster.kubectl("get", "csinodes", "--output=json"))["items"]
    drivers = [{driver["name"] for driver in node["spec"].get("drivers") or []} for node in found]
    capacities = cluster.kubectl("get", "csistoragecapacities", "-A", "--output=name").split()
    return len(drivers) == len(cluster.nodes) and all(DRIVER in names for names in drivers) and bool(capacities)

"""One cluster for all tests; HOLDALL_E2E_CLUSTER names the directory of one that is up, and then it is left up.

HOLDALL_E2E_INSTALLED=1 leaves the Holdall that is installed there as it is, whatever this checkout has.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from . import installation
from .cluster import binaries, packages
from .cluster.cluster import ROOT, Cluster
from .driver import Driver
from .space import Space

FILESYSTEMS = {"ext4": "image", "xfs": "image", "btrfs": "btrfs"}
"""And the backend whose volumes have it here."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # They ask whether anything was granted that no other test used.
    items.sort(key=lambda item: item.path.name == "test_rights.py")


@pytest.fixture(scope="session")
def bare_cluster() -> Iterator[Cluster]:
    """Kubernetes with two nodes."""
    if kept := os.environ.get("HOLDALL_E2E_CLUSTER"):
        yield Cluster(Path(kept))
        return
    packages.ensure()
    binaries.ensure()
    cluster = Cluster(ROOT / "out" / "e2e")
    cluster.down()
    try:
        yield cluster.up()
    finally:
        cluster.down()


@pytest.fixture(scope="session")
def cluster(bare_cluster: Cluster) -> Cluster:
    """With this checkout's Holdall installed from its image and chart."""
    if not os.environ.get("HOLDALL_E2E_INSTALLED"):
        installation.install(bare_cluster)
    return bare_cluster


@pytest.fixture
def space(cluster: Cluster) -> Iterator[Space]:
    space = Space(cluster)
    yield space
    space.close()


@pytest.fixture
def driver(cluster: Cluster) -> Driver:
    """Every pod of Holdall is ready."""
    driver = Driver(cluster)
    driver.ready()
    return driver


@pytest.fixture(scope="session")
def classes(cluster: Cluster) -> Iterator[Mapping[str, str]]:
    """For each filesystem, the StorageClass of it; a pod is waited for."""
    names = {fs_type: f"e2e-{fs_type}" for fs_type in FILESYSTEMS}
    for fs_type, name in names.items():
        cluster.apply(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": name},
                "provisioner": installation.DRIVER,
                "volumeBindingMode": "WaitForFirstConsumer",
                "allowVolumeExpansion": True,
                "parameters": {"backend": FILESYSTEMS[fs_type], "csi.storage.k8s.io/fstype": fs_type},
            }
        )
    yield names
    cluster.kubectl("delete", *(f"storageclass/{name}" for name in names.values()))

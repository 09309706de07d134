"""One cluster for all tests; HOLDALL_E2E_CLUSTER names the directory of one that is up, and then it is left up.

HOLDALL_E2E_INSTALLED=1 leaves the Holdall that is installed there as it is, whatever this checkout has.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import installation
from .cluster import binaries, packages
from .cluster.cluster import ROOT, Cluster
from .space import Space


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

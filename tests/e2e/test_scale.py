"""Many claims made and deleted at once. Only that all are made and all go is asserted; the figures are for people."""

import json
import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from .audit import Audit
from .cluster.cluster import ROOT
from .driver import Driver
from .installation import NAMESPACE
from .space import Space

pytestmark = pytest.mark.timeout(900)

ACCOUNT = f"{NAMESPACE}:holdall-controller"
FIGURES = ROOT / "out" / "e2e-scale.json"


@pytest.fixture
def claims(full_proof: bool) -> int:
    """How many: HOLDALL_E2E_CLAIMS, else 500 in `make prove` and 40 in `make test`."""
    return int(os.environ.get("HOLDALL_E2E_CLAIMS", 500 if full_proof else 40))


@pytest.fixture
def immediate(space: Space) -> Any:
    """A StorageClass whose claims are bound without a pod."""
    name = space.name
    space.cluster.apply(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name},
            "provisioner": "holdall.csi.dev",
            "volumeBindingMode": "Immediate",
            "parameters": {"backend": "image", "csi.storage.k8s.io/fstype": "ext4"},
        }
    )
    yield name
    space.cluster.kubectl("delete", "storageclass", name)


def _until(true: Callable[[], bool], patience: float) -> float:
    """Seconds until it was true. AssertionError when it does not become so."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < patience
        time.sleep(0.25)
    return time.monotonic() - began


def test_many_claims_at_once(space: Space, driver: Driver, immediate: str, claims: int) -> None:
    """Each claim is bound to a volume of its own; deleted all at once, no volume, note or finding is left."""
    audit = Audit(space.cluster)
    memory, placed = _memory(driver), driver.placements()
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "spec": {
            "storageClassName": immediate,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "16Mi"}},
        },
    }
    many = [{**claim, "metadata": {"name": f"claim-{number}"}} for number in range(claims)]
    start, began = audit.size(), time.monotonic()
    space.kubectl("create", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": many}))
    posted = time.monotonic() - began
    _until(lambda: _phases(space).count("Bound") == claims, 60 + claims)
    bound = time.monotonic() - began
    made = audit.counts(ACCOUNT, start)
    full = _memory(driver)
    assert len({volume["spec"]["csi"]["volumeHandle"] for volume in space.volumes()}) == claims
    driver.check_nothing_doubled()
    start, began = audit.size(), time.monotonic()
    space.kubectl("delete", "pvc", "--all", "--wait=false")
    _until(lambda: not space.volumes(), 60 + claims)
    deleted = time.monotonic() - began
    gone = audit.counts(ACCOUNT, start)
    driver.check_nothing_doubled(patience=300)
    # A note goes behind a delete's back, once no try of another controller can be on its way.
    space.cluster.wait_for(lambda: driver.placements().keys() <= placed.keys(), "the end of their placements", 180)
    figures = {
        "claims": claims,
        "posted_seconds": round(posted, 1),
        "bound_seconds": round(bound, 1),
        "bound_per_second": round(claims / bound, 1),
        "deleted_seconds": round(deleted, 1),
        "deleted_per_second": round(claims / deleted, 1),
        "requests_per_claim_made": {
            "all": round(made.total() / claims, 2),
            **{what: round(count / claims, 2) for what, count in made.most_common(14)},
        },
        "requests_per_claim_deleted": {
            "all": round(gone.total() / claims, 2),
            **{what: round(count / claims, 2) for what, count in gone.most_common(14)},
        },
        "resident_mib": {"before": memory, "with all claims": full, "after": _memory(driver)},
    }
    print(json.dumps(figures, indent=2))
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(figures, indent=2) + "\n")


def _phases(space: Space) -> list[str]:
    return space.kubectl("get", "pvc", "--output=jsonpath={.items[*].status.phase}").split()


def _memory(driver: Driver) -> dict[str, float]:
    """MiB of each of Holdall's own processes."""
    pods = [*driver.controllers(), *(driver.node_pod(node.name) for node in driver.cluster.nodes)]
    return {f"{_component(pod)} {pod['spec']['nodeName']}": round(driver.memory(pod) / 2**20, 1) for pod in pods}


def _component(pod: Any) -> str:
    return str(pod["metadata"]["labels"]["app.kubernetes.io/component"])

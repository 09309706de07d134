"""What goes, what stays, and that a pool keeps nothing that nobody asked for."""

import json
import time

from .space import Space
from .test_snapshots import source


def clean(space: Space) -> bool:
    """Every pool's records say what is really there (RuntimeError with the doctor's findings otherwise)."""
    space.holdall("doctor")
    return True


def test_a_claim_in_use_goes_after_its_pod(space: Space) -> None:
    """PVC protection: until then the pod goes on writing; afterwards the pool has nothing of it."""
    space.claim("data")
    space.pod("user", {"/data": "data"})
    handle, node = space.handle_of("data"), space.node_of("user")
    assert space.pool_has(node, handle)
    space.kubectl("delete", "pvc/data", "--wait=false")
    space.sh("user", "echo on >/data/on; sync; cat /data/on")
    assert space.get("pvc", "data")["metadata"]["deletionTimestamp"]
    space.delete("pod/user")
    space.cluster.wait_for(lambda: not space.get("pvc")["items"] and not space.volumes(), "the end of the claim")
    space.cluster.wait_for(lambda: not space.pool_has(node, handle), "the end of the volume in its pool")


def test_a_snapshot_outlives_its_claim(space: Space) -> None:
    """The claim goes at once, its snapshot is restored later, and when both are gone the pool has nothing of either."""
    space.claim("first")
    space.pod("writer", {"/data": "first"})
    space.sh("writer", "echo hello >/data/greeting; sync")
    space.snapshot("cut", "first")
    handle, node = space.handle_of("first"), space.node_of("writer")
    space.delete("pod/writer", "pvc/first")
    space.cluster.wait_for(lambda: not space.volumes(), "the end of the source")
    space.claim("second", **source("cut"))
    space.pod("reader", {"/data": "second"})
    assert space.sh("reader", "cat /data/greeting") == "hello\n"
    cut = space.content_of("cut")["status"]["snapshotHandle"]
    space.delete("volumesnapshot/cut")
    assert space.sh("reader", "cat /data/greeting") == "hello\n"
    space.cluster.wait_for(
        lambda: not space.pool_has(node, handle) and not space.pool_has(node, cut), "the end of both"
    )
    assert clean(space)


def test_claims_deleted_while_they_are_provisioned_leave_nothing(space: Space) -> None:
    """At ten moments of a provisioning: whatever was made is deleted, and the doctor finds no orphan."""
    name = space.storage_class("now", {"backend": "image"}, volumeBindingMode="Immediate")
    uids = []
    for number in range(10):
        claim = f"brief-{number}"
        space.claim(claim, storageClassName=name)
        uids.append(space.get("pvc", claim)["metadata"]["uid"])
        time.sleep(number * 0.04)
        space.kubectl("delete", f"pvc/{claim}", "--wait=false")
    space.cluster.wait_for(lambda: not space.get("pvc")["items"] and not space.volumes(), "the end of the claims")

    def left() -> list[str]:
        return [uid for uid in uids for node in ("node-1", "node-2") if space.pool_has(node, f"pvc-{uid}")]

    space.cluster.wait_for(lambda: not left(), "the end of their volumes")
    assert clean(space)


def test_a_retained_volume_is_claimed_again(space: Space) -> None:
    """Released, not deleted; without its claimRef's uid the same claim gets it again, with its data."""
    space.example("retain")
    space.ready("kept")
    space.cluster.wait_for(lambda: space.sh("kept", "cat /data/greeting") == "hello\n", "the greeting")
    volume = space.volume_of("kept")["metadata"]["name"]
    space.delete("pod/kept", "pvc/kept")
    space.cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Released", "--timeout=60s", f"pv/{volume}")
    forget = [{"op": "remove", "path": f"/spec/claimRef/{field}"} for field in ("uid", "resourceVersion")]
    space.cluster.kubectl("patch", "pv", volume, "--type=json", f"--patch={json.dumps(forget)}")
    space.example("retain")
    space.ready("kept")
    assert space.volume_of("kept")["metadata"]["name"] == volume
    assert space.sh("kept", "cat /data/greeting") == "hello\nhello\n"

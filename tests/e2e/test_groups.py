"""Group snapshots: several volumes at one moment."""

from .space import Space, only
from .test_snapshots import source


def members(space: Space, group: str) -> dict[str, str]:
    """The group's snapshots by the claim each was cut of."""
    found = {}
    for one in space.get("volumesnapshots")["items"]:
        handle = space.content_of(one["metadata"]["name"])["spec"]["source"]["volumeHandle"]
        if one["status"].get("volumeGroupSnapshotName") == group:
            found[handle] = one["metadata"]["name"]
    return {claim: found[space.handle_of(claim)] for claim in ("ledger", "journal")}


def test_both_members_of_a_group_are_of_one_moment(space: Space) -> None:
    """The pod writes a number into the journal, then into the ledger: in the copies, the journal is at most one ahead."""
    space.example("group-claims")
    space.ready("shop")
    space.cluster.wait_for(lambda: int(space.sh("shop", "cat /ledger/done")) > 3, "the shop's first numbers")
    space.example("group-snapshot")
    space.cut("volumegroupsnapshot/both")
    for claim, snapshot in members(space, "both").items():
        space.claim(f"{claim}-copy", "1Gi", **source(snapshot))
    space.pod("auditor", {"/ledger": "ledger-copy", "/journal": "journal-copy"})
    done, following = (int(word) for word in space.sh("auditor", "cat /ledger/done /journal/next").split())
    assert following in (done, done + 1)
    space.delete("volumegroupsnapshot/both")
    space.cluster.wait_for(lambda: not space.get("volumesnapshots")["items"], "the end of the group's members")


def test_a_group_over_two_nodes_is_refused_by_name(space: Space) -> None:
    """docs/limitations.md: no moment is common to two nodes; the group's status names volumes and nodes."""
    for node in ("node-1", "node-2"):
        name = space.storage_class(node, {"backend": "image"}, allowedTopologies=only(node))
        space.claim(node, storageClassName=name)
        space.kubectl("label", f"pvc/{node}", "app=apart")
        space.pod(node, {"/data": node})
    space.apply(
        {
            "apiVersion": "groupsnapshot.storage.k8s.io/v1",
            "kind": "VolumeGroupSnapshot",
            "metadata": {"name": "apart"},
            "spec": {
                "volumeGroupSnapshotClassName": "holdall",
                "source": {"selector": {"matchLabels": {"app": "apart"}}},
            },
        }
    )

    def message() -> str:
        status = space.get("volumegroupsnapshot", "apart").get("status", {})
        return str(status.get("error", {}).get("message", ""))

    space.cluster.wait_for(lambda: "node node-1" in message(), "the refusal in the group's status")
    assert "node node-2" in message()
    assert "at one moment" in message()

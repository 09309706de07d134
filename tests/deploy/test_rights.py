"""Least rights: what is granted, and to whom. Which of it is used, the e2e run compares with the audit log."""

from collections.abc import Iterator

from .conftest import EVERYTHING
from .rendered import Chart, Object, Rendered


def rules(rendered: Rendered) -> Iterator[Object]:
    for kind in ("ClusterRole", "Role"):
        for role in rendered.of(kind):
            yield from role["rules"]


def test_nothing_is_granted_to_the_nodes(plain: Rendered) -> None:
    """A node that is broken into is no way into the API."""
    subjects = [
        subject["name"]
        for kind in ("ClusterRoleBinding", "RoleBinding")
        for binding in plain.of(kind)
        for subject in binding["subjects"]
    ]
    assert set(subjects) == {"holdall-controller"}


def test_no_rule_has_a_wildcard(everything: Rendered) -> None:
    """Every group, resource and verb is named."""
    for rule in rules(everything):
        assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}


def test_secrets_are_the_authority_s_own(plain: Rendered) -> None:
    """In its own namespace, by name; only to make one needs no name, since it is not there yet."""
    for role in (*plain.of("ClusterRole"), *plain.of("Role")):
        for rule in role["rules"]:
            if "secrets" in rule["resources"]:
                assert role["kind"] == "Role"
                assert rule["verbs"] == ["create"] or rule["resourceNames"] == ["holdall-ca"]


def test_all_secrets_are_read_only_when_asked_for(chart: Chart) -> None:
    """A StorageClass may name a secret anywhere: then the sidecars have to read it, and no more than that."""
    (rule,) = [one for one in chart.render(EVERYTHING).one("ClusterRole")["rules"] if "secrets" in one["resources"]]
    assert rule["verbs"] == ["get"]


def test_without_snapshots_nothing_of_snapshots_is_granted(chart: Chart) -> None:
    """The rights of a sidecar come and go with it."""
    found = chart.render({"sidecars": {"snapshotter": {"enabled": False}}})
    groups = {group for rule in rules(found) for group in rule["apiGroups"]}
    assert not {"snapshot.storage.k8s.io", "groupsnapshot.storage.k8s.io"} & groups
    assert not [one for one in found.objects if "Snapshot" in one["kind"]]


def test_no_pod_nor_node_is_changed(everything: Rendered) -> None:
    """What runs in the cluster is read, never written."""
    for rule in rules(everything):
        if {"pods", "nodes", "replicasets", "storageclasses"} & set(rule["resources"]):
            assert set(rule["verbs"]) <= {"get", "list", "watch"}

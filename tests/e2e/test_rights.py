"""Least rights: what the chart grants is what was used, and nothing that was asked for was forbidden.

Runs after all others (conftest), over all that the audit log has of this cluster: by itself it finds little that was used.
"""

from collections.abc import Iterator
from typing import Any

from .audit import Audit
from .cluster.cluster import Cluster
from .installation import NAMESPACE

CONTROLLER = f"{NAMESPACE}:holdall-controller"
NODE = f"{NAMESPACE}:holdall-node"

Right = tuple[str, str, str]
"""API group, resource (with its subresource), verb."""

UNUSED: dict[Right, str] = {
    ("", "secrets", "update"): "a CA that ends within the year is replaced in its Secret (driver/kube/authority.py)",
    ("holdall.csi.dev", "pools", "delete"): "the object of a pool that was given up goes (driver/kube/pools.py)",
}
"""What is granted although no test uses it, and why."""


def granted(cluster: Cluster) -> Iterator[Right]:
    for kind in (("clusterrole",), ("-n", NAMESPACE, "role")):
        found: Any = cluster.get(*kind, "holdall-controller")
        for rule in found["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        yield group, resource, verb


def test_nothing_is_granted_that_was_never_used(cluster: Cluster) -> None:
    """Issue: the verbs granted are those that the audit log saw, but for those that are listed with a reason."""
    used = {(one.group, one.resource, one.verb) for one in Audit(cluster).requests(CONTROLLER)}
    unused = {*granted(cluster)} - used
    # What is watched is listed too where the API server cannot begin a watch with what is there (WatchList, KEP-3157).
    streamed = {right for right in unused if right[2] == "list" and (*right[:2], "watch") in used}
    assert sorted(unused - streamed - UNUSED.keys()) == []


def test_every_exception_is_still_one(cluster: Cluster) -> None:
    """A right that is listed as unused is granted, and unused."""
    used = {(one.group, one.resource, one.verb) for one in Audit(cluster).requests(CONTROLLER)}
    assert sorted(UNUSED.keys() - ({*granted(cluster)} - used)) == []


def test_nothing_that_was_asked_for_was_forbidden(cluster: Cluster) -> None:
    """No program of the controller's pod asks for what it may not have. An API server that has just started forbids for a
    moment what it allows a little later, before it has read its roles."""
    asked: dict[bool, set[tuple[str, str, str, str]]] = {True: set(), False: set()}
    for one in Audit(cluster).requests(CONTROLLER):
        asked[one.forbidden].add((one.group, one.resource, one.verb, one.namespace))
    assert sorted(asked[True] - asked[False]) == []


def test_nodes_ask_the_api_for_nothing(cluster: Cluster) -> None:
    """The nodes' account exists to be told apart by, and has no rights."""
    assert list(Audit(cluster).requests(NODE)) == []

"""Who is in the fleet, as pods and Nodes come, go and move in a real API server; and what is remembered of them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from driver.fleet.nodes import Description
from driver.kube.api import Api
from driver.kube.membership import KubeMembership
from driver.kube.state import State
from driver.model.pool import PoolView

from .objects import make_node, make_pod, remove_pod, until


class Called:
    """Stands for a peer: where it is called at is all that matters here."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address


class Members:
    def __init__(self, api: Api, namespace: str) -> None:
        self.state = State(api, namespace, "holdall-state", "holdall.csi.dev")
        self.of: KubeMembership[Called] = KubeMembership(
            api, namespace, "app.kubernetes.io/component=node", self.state, Called
        )
        watches = (self.state.watched, self.of.pods, self.of.nodes)
        self.tasks = [asyncio.create_task(work) for work in (self.state.run(), *(one.run() for one in watches))]
        self.changes = 0
        self.of.follow(self._count)

    def _count(self) -> None:
        self.changes += 1

    def addresses(self) -> dict[str, str]:
        return {name: seat.node.address if seat.node else "" for name, seat in self.of.seats().items()}

    async def synced(self) -> "Members":
        for one in (self.state.watched, self.of.pods, self.of.nodes):
            await asyncio.wait_for(one.synced.wait(), 20)
        return self

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def members(api: Api, namespace: str) -> AsyncIterator[Members]:
    made = Members(api, namespace)
    yield await made.synced()
    await made.end()


def said(node_id: str, *pool_ids: str) -> Description:
    pools = (
        PoolView(
            id=one, name="fast", backend="image", path="/srv", node_id=node_id, device_class="ssd",
            topology={"holdall.csi.dev/node": node_id}, schedulable=True, abilities=("snapshot",), total=5,
        )
        for one in pool_ids
    )  # fmt: skip
    return Description(node_id, "holdall.csi.dev", "1", tuple(pools))


async def test_a_node_pod_makes_its_node_a_member(api: Api, namespace: str, members: Members) -> None:
    """By the node's name; other pods, and nodes without one, are none of the fleet's."""
    node = f"{namespace}-n1"
    await make_node(api, node)
    assert members.addresses() == {}
    await make_pod(api, namespace, "p1", node, "10.0.0.1")
    await until(lambda: members.addresses() == {node: "10.0.0.1"})
    first = members.of.seats()[node].node
    assert members.of.seats()[node].node is first


async def test_a_pod_that_comes_back_elsewhere_is_the_same_member_at_a_new_place(
    api: Api, namespace: str, members: Members
) -> None:
    """By the node's name, with another address; meanwhile lost, for a reason that names the node."""
    node = f"{namespace}-n1"
    await make_node(api, node)
    await make_pod(api, namespace, "p1", node, "10.0.0.1")
    await members.state.describe(node, said(node, "p00000000000a"))
    await until(lambda: members.addresses() == {node: "10.0.0.1"})
    await remove_pod(api, namespace, "p1")
    await until(lambda: members.addresses() == {node: ""})
    assert members.of.seats()[node].reason == f"node {node} has no Holdall pod now"
    await make_pod(api, namespace, "p2", node, "", phase="Pending")
    await until(lambda: "not running yet (Pending)" in members.of.seats()[node].reason)
    await remove_pod(api, namespace, "p2")
    await make_pod(api, namespace, "p3", node, "10.0.0.2")
    await until(lambda: members.addresses() == {node: "10.0.0.2"})
    assert members.changes > 0


async def test_a_deleted_node_stays_a_member_until_it_is_given_up(api: Api, namespace: str, members: Members) -> None:
    """Its volumes exist for all we know. Another controller, and one after a restart, know it too."""
    node = f"{namespace}-n1"
    await make_node(api, node)
    await make_pod(api, namespace, "p1", node, "10.0.0.1")
    await members.state.describe(node, said(node, "p00000000000a"))
    await until(lambda: members.state.names() == {node})
    await asyncio.sleep(1.0)  # what was wanted is written a moment later
    await remove_pod(api, namespace, "p1")
    await api.request("DELETE", f"/api/v1/nodes/{node}")
    await until(lambda: "is not in the cluster any more" in members.of.seats()[node].reason)

    other = await Members(api, namespace).synced()
    assert other.addresses() == {node: ""}
    known = (await other.state.descriptions())[node]
    assert (known.node_id, [one.id for one in known.pools]) == (node, ["p00000000000a"])
    assert known.pools[0].topology == {"holdall.csi.dev/node": node}

    await members.state.give_up(node)
    await until(lambda: other.addresses() == {})
    assert other.of.gives_up(node)
    await other.end()


async def test_a_node_that_was_given_up_and_is_back_is_a_member_again(
    api: Api, namespace: str, members: Members
) -> None:
    node = f"{namespace}-n1"
    await members.state.give_up(node)
    await make_pod(api, namespace, "p1", node, "10.0.0.1")
    await until(lambda: members.addresses() == {node: "10.0.0.1"})
    await members.state.describe(node, said(node))
    await until(lambda: not members.of.gives_up(node))


async def test_of_two_pods_on_a_node_the_running_one_that_stays_is_called(
    api: Api, namespace: str, members: Members
) -> None:
    """While a DaemonSet is updated the old one may be there for a moment."""
    node = f"{namespace}-n1"
    await make_pod(api, namespace, "p1", node, "10.0.0.1")
    await make_pod(api, namespace, "p2", node, "", phase="Pending")
    await until(lambda: members.addresses() == {node: "10.0.0.1"})
    path = f"/api/v1/namespaces/{namespace}/pods/p2/status"
    await api.request(
        "PATCH", path, {"status": {"phase": "Running", "podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.2"}]}}
    )
    # Marked as ending: it has time to, and no kubelet that would end it.
    await api.request("DELETE", f"/api/v1/namespaces/{namespace}/pods/p1")
    await until(lambda: members.addresses() == {node: "10.0.0.2"})


async def test_many_nodes_are_remembered_with_few_requests(api: Api, namespace: str, members: Members) -> None:
    """1000 nodes answer within a second of each other when a cluster starts; the ConfigMap's limit is 1 MiB."""
    names = [f"node-{number:04}.example.com" for number in range(1000)]
    for name in names:
        await members.state.describe(name, said(name, "p00000000000a", "p00000000000b"))
    await until(lambda: len(members.state.watched.objects.get("holdall-state", {})) == 1000)
    found = await api.request("GET", f"/api/v1/namespaces/{namespace}/configmaps/holdall-state")
    assert sum(len(key) + len(value) for key, value in found["data"].items()) < 512 * 1024

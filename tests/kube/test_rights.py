"""The controller's own work, done with the rights that the chart gives it and no others."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from driver.fleet.forgotten import GivenUp
from driver.kube import pools
from driver.kube.api import Api, Conflict, Object, connect
from driver.kube.follow import Follow
from driver.kube.forgotten import KubeForgotten
from driver.kube.lease import Lease, Pace
from driver.kube.state import State
from driver.model import errors
from tests.e2e.cluster.control_plane import ApiServer
from tests.e2e.cluster.credentials import kubeconfig_of
from tests.unit.fleet.conftest import Store
from tests.unit.fleet.conftest import running as fleet_of

from . import test_follow, test_pools
from .objects import until
from .test_follow import check_moved
from .test_pools import world

__all__ = ["world"]

MANIFESTS = Path(__file__).parents[2] / "deploy" / "manifests" / "holdall.yaml"
RIGHTS = "/apis/rbac.authorization.k8s.io/v1"
PATHS = {
    "Namespace": "/api/v1/namespaces",
    "ClusterRole": f"{RIGHTS}/clusterroles",
    "ClusterRoleBinding": f"{RIGHTS}/clusterrolebindings",
    "Role": f"{RIGHTS}/namespaces/holdall/roles",
    "RoleBinding": f"{RIGHTS}/namespaces/holdall/rolebindings",
}
ACCOUNT = "system:serviceaccount:holdall:holdall-controller"
GROUPS = ("system:serviceaccounts", "system:serviceaccounts:holdall", "system:authenticated")


@pytest.fixture
async def controller(api: Api, api_server: ApiServer) -> AsyncIterator[Api]:
    """A client with the controller's account."""
    documents: list[Object] = [one for one in yaml.safe_load_all(MANIFESTS.read_text()) if one]
    for kind, path in PATHS.items():
        for one in documents:
            if one["kind"] == kind:
                try:
                    await api.request("POST", path, one)
                except Conflict:
                    continue
    file = kubeconfig_of(api_server.directory, api_server.url, "controller", ACCOUNT, GROUPS)
    made = await connect(str(file))
    yield made
    await made.close()


async def test_the_leader_can_do_its_work(world: test_pools.World, controller: Api) -> None:
    """Lease, Pool objects made, changed and removed, events, PersistentVolumes watched."""
    lease = Lease(controller, "holdall", "controller.holdall.csi.dev", Pace(2.0, 1.2, 0.2))
    leading = asyncio.ensure_future(lease.run(lambda: asyncio.sleep(3600)))
    await until(lambda: lease.leading)
    restricted = test_pools.World(controller, world.fleet, world.driver, (world.a, world.b))
    running = asyncio.ensure_future(restricted.leader.run())
    async with asyncio.timeout(30):
        while True:
            try:
                if (await world.shown(world.pa))["status"]["health"] == "Healthy":
                    break
            except errors.NotFound:
                await asyncio.sleep(0.05)
    world.a.pools.clear()
    world.b.available //= 2
    await restricted.look()
    with pytest.raises(errors.NotFound):
        await world.shown(world.pa)
    assert (await world.shown(world.pb))["status"]["available"] == "4Gi"
    world.b.lost = True
    await restricted.look()
    await restricted.look(after=31.0)
    assert await world.told("default", world.b.name, 1)
    for task in (running, leading):
        task.cancel()
    await asyncio.gather(running, leading, return_exceptions=True)


async def test_what_is_not_needed_is_not_granted(world: test_pools.World, controller: Api) -> None:
    """So that what passes here passes by right."""
    await world.look()
    with pytest.raises(errors.Unavailable, match="403"):
        await controller.request("PATCH", f"{pools.PATH}/{world.pa}", {"status": {"volumes": 3}})


async def test_volumes_follow_with_these_rights(api: Api, controller: Api, namespace: str, tmp_path: Path) -> None:
    """Of a claim and a pod in any namespace; the plan in the ConfigMap of the controllers' own."""
    state = State(controller, "holdall", "holdall-state", "holdall.csi.dev")
    nodes = Store("ra", "p00000000face"), Store("rb")
    async with fleet_of(tmp_path, *nodes) as fleet:
        world = test_follow.World(api, fleet, nodes, namespace)
        before = await world.make("letters")
        await world.pod("waiting", "letters")
        await world.move()
        follow = Follow(controller, "holdall.csi.dev", fleet, state, lambda: None)
        assert [one.outcome async for one in follow.follow(world.pool_id)] == ["moved"]
        check_moved(world, before, await world.read("letters"))


async def test_a_forgotten_pool_can_be_noted(api: Api, controller: Api) -> None:
    """In the state ConfigMap, as everything that the controllers know together."""
    state = State(controller, "holdall", "holdall-state", "holdall.csi.dev")
    forgotten = KubeForgotten(state)
    await forgotten.open()
    told: list[int] = []
    forgotten.follow(lambda: told.append(1))
    await forgotten.forget("p0000000000ff", GivenUp("fast", "na", 1))
    assert forgotten.all() == {"p0000000000ff": GivenUp("fast", "na", 1)}
    await forgotten.remember("p0000000000ff")
    assert (forgotten.all(), len(told)) == ({}, 2)

"""Two wired controllers over real nodes and a real API server: who leads, pools given up, pools that moved."""

import asyncio
from typing import Any

import grpc
import pytest

from csi.holdall.v1 import holdall_pb2 as holdall
from csi.v1 import csi_pb2 as csi
from driver.kube import pools
from driver.model import errors
from driver.rpc.client import Client

from .objects import define
from .test_controllers import World, listed, wanted, world

__all__ = ["world"]

VOLUMES = "/api/v1/persistentvolumes"


async def shown(world: World) -> dict[str, Any]:
    """The Pool objects by the pools' names."""
    found = await world.api.request("GET", pools.PATH)
    return {one["spec"]["poolName"]: one for one in found["items"]}


async def eventually(world: World, names: set[str]) -> None:
    """Those pools have objects, and no others."""
    async with asyncio.timeout(60):
        while set(await shown(world)) != names:
            await asyncio.sleep(0.1)


async def follow(client: Client, pool_id: str) -> list[holdall.FollowedVolume]:
    request = holdall.FollowPoolRequest(pool_id=pool_id)
    return [one async for one in client.stream(client.holdall.FollowPool, request, timeout=60)]


async def test_one_of_two_controllers_writes_the_pools_and_the_other_after_it(world: World) -> None:
    """When the leader ends, the next one goes on: a pool that was added since is there."""
    await define(world.api, "pools")
    await world.node("na")
    x, y = await world.controller("x"), await world.controller("y")
    await eventually(world, {"na"})
    lease = await world.api.request(
        "GET", "/apis/coordination.k8s.io/v1/namespaces/default/leases/controller.holdall.csi.dev"
    )
    assert lease["spec"]["holderIdentity"]
    await world.controllers[0].stop()
    del world.controllers[0]
    await world.node("nb")
    await eventually(world, {"na", "nb"})
    for client in (x, y):
        await client.close()


async def found(client: Client) -> list[str] | None:
    """The list in order; None as long as a node that it needs was not heard out, or not seen to be back."""
    try:
        return sorted(await listed(client))
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        return None


async def test_what_one_controller_forgets_the_other_forgot(world: World) -> None:
    """The decision is in the cluster: deletes succeed through either, and the pool's object goes."""
    await define(world.api, "pools")
    for name in ("na", "nb"):
        await world.node(name)
    x, y = await world.controller("x"), await world.controller("y")
    volume = (await x.controller.CreateVolume(wanted("vol", "na"), timeout=60)).volume
    pool_id = volume.volume_id.split(".")[0]
    await eventually(world, {"na", "nb"})
    world.nodes["na"].kill()
    with pytest.raises(errors.Unavailable):
        await y.ask(y.controller.DeleteVolume, csi.DeleteVolumeRequest(volume_id=volume.volume_id), timeout=30)
    await x.ask(x.holdall.ForgetPool, holdall.ForgetPoolRequest(pool_id=pool_id), timeout=30)
    async with asyncio.timeout(20):
        while await found(y) != []:
            await asyncio.sleep(0.05)
    await y.ask(y.controller.DeleteVolume, csi.DeleteVolumeRequest(volume_id=volume.volume_id), timeout=30)
    await eventually(world, {"nb"})
    await asyncio.to_thread(world.nodes["na"].start)
    again = (await x.controller.CreateVolume(wanted("vol"), timeout=60)).volume
    assert again.volume_id.split(".")[0] != pool_id
    await y.ask(y.holdall.RememberPool, holdall.RememberPoolRequest(pool_id=pool_id), timeout=30)
    async with asyncio.timeout(20):
        while await found(x) != sorted([volume.volume_id, again.volume_id]):
            await asyncio.sleep(0.05)
    for client in (x, y):
        await client.close()


async def test_volumes_follow_a_pool_that_another_node_adopted(world: World) -> None:
    """The leader does it; the other says who that is. The data is never touched: the volume has the same id."""
    await define(world.api, "pools")
    for name in ("na", "nb"):
        await world.node(name)
    x, y = await world.controller("x"), await world.controller("y")
    volume = (await x.controller.CreateVolume(wanted("vol", "na"), timeout=60)).volume
    pool_id = volume.volume_id.split(".")[0]
    term = {"matchExpressions": [{"key": "holdall.csi.dev/node", "operator": "In", "values": ["na"]}]}
    spec = {
        "capacity": {"storage": "1Mi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Delete",
        "csi": {"driver": "holdall.csi.dev", "volumeHandle": volume.volume_id},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
    }
    await world.api.request("POST", VOLUMES, {"metadata": {"name": "pvc-vol"}, "spec": spec})
    world.nodes["na"].kill()
    adopting = Client(f"unix://{world.directory}/nb/controller.sock", "nb")
    request = holdall.AdoptPoolRequest(path=f"{world.directory}/na/pool")
    await adopting.ask(adopting.holdall.AdoptPool, request, timeout=30)
    outcomes = []
    for client in (x, y):
        try:
            outcomes += [one.outcome for one in await follow(client, pool_id)]
        except errors.FailedPrecondition as error:
            assert "only the leading controller" in error.message
    assert outcomes == ["moved"]
    after = await world.api.request("GET", f"{VOLUMES}/pvc-vol")
    term = {"matchExpressions": [{**term["matchExpressions"][0], "values": ["nb"]}]}
    assert after["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"] == [term]
    assert after["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    assert await listed(x) == [volume.volume_id]
    for client in (x, y, adopting):
        await client.close()

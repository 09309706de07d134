"""What Kubernetes' own controllers make of a PersistentVolume that follows its pool: the claim is Lost, and Bound again."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from driver.kube.api import Api, Object
from tests.e2e.cluster import binaries
from tests.e2e.cluster.control_plane import ApiServer
from tests.unit.fleet.conftest import Store, running

from .test_follow import VOLUMES, Killed, Mortal, World

CONTROLLERS = (
    "persistentvolume-binder-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
)
NAME = "kube-controller-manager"


@pytest.fixture(scope="module")
def binder(api_server: ApiServer) -> Iterator[None]:
    """The controllers that look after claims and their volumes, and no others."""
    programs = binaries.ensure((NAME,))
    options = (
        f"--kubeconfig={api_server.kubeconfig}",
        f"--controllers={','.join(CONTROLLERS)}",
        "--leader-elect=false",
        "--secure-port=0",
        "--pvclaimbinder-sync-period=1s",
    )
    api_server.processes.start(NAME, [programs / NAME, *options], end_with_parent=True)
    yield
    api_server.processes.stop(NAME, how=signal.SIGKILL)


@pytest.fixture
async def world(binder: None, api: Api, namespace: str, tmp_path: Path) -> AsyncIterator[World]:
    nodes = Store("a", f"p{namespace[-8:]}beef"), Store("b")
    async with running(tmp_path, *nodes) as fleet:
        yield World(api, fleet, nodes, namespace)


async def claim(world: World, name: str) -> Object:
    return await world.api.request("GET", f"/api/v1/namespaces/{world.namespace}/persistentvolumeclaims/{name}")


async def becomes(world: World, name: str, phase: str) -> None:
    """The claim does."""
    async with asyncio.timeout(60):
        while (await claim(world, name)).get("status", {}).get("phase") != phase:
            await asyncio.sleep(0.1)


async def interrupted(world: World, name: str) -> None:
    """Ended at the moment when the old object is gone and the new one is not there yet."""
    mortal = Mortal(world.api.client)
    mortal.left = 1
    while await world.read(name) is not None:
        mortal.left += 1
        left = mortal.left
        with pytest.raises(Killed):
            await world.followed(mortal)
        mortal.left = left
    assert world.pv(name) in await world.note()


async def test_a_claim_stays_bound_through_it(world: World) -> None:
    """The binder sees another object of the same name with the claim's uid in it, and takes it."""
    await world.make("letters")
    await becomes(world, "letters", "Bound")
    before = await claim(world, "letters")
    await world.move()
    assert [one.outcome for one in await world.followed()] == ["moved"]
    await becomes(world, "letters", "Bound")
    after = await claim(world, "letters")
    assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])
    async with asyncio.timeout(60):
        while ((await world.read("letters")) or {}).get("status", {}).get("phase") != "Bound":
            await asyncio.sleep(0.1)


async def test_a_lost_claim_is_bound_again_by_repeating_it(world: World) -> None:
    """However long the gap was: the claim's pods wait meanwhile, and nothing deletes the volume."""
    await world.make("letters")
    await becomes(world, "letters", "Bound")
    await world.move()
    await interrupted(world, "letters")
    await becomes(world, "letters", "Lost")
    assert [one.outcome for one in await world.followed()] == ["moved"]
    await becomes(world, "letters", "Bound")
    found = await world.read("letters")
    assert found is not None
    assert found["spec"]["persistentVolumeReclaimPolicy"] == "Delete"


async def test_a_claim_deleted_in_the_gap_releases_the_volume(world: World) -> None:
    """What its user decided still holds: the new object is Released, and its policy, as it was, says what happens."""
    await world.make("letters")
    await becomes(world, "letters", "Bound")
    await world.move()
    await interrupted(world, "letters")
    await becomes(world, "letters", "Lost")
    await world.api.request("DELETE", f"/api/v1/namespaces/{world.namespace}/persistentvolumeclaims/letters")
    await world.followed()
    async with asyncio.timeout(60):
        while (await world.api.request("GET", f"{VOLUMES}/{world.pv('letters')}"))["status"]["phase"] != "Released":
            await asyncio.sleep(0.1)

"""Placement objects in a real API server hold what every place for notes has to hold."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from driver.fleet.placement import Placement
from driver.kube.api import Api
from driver.kube.placement import PATH, KubePlacement
from driver.kube.state import State
from driver.model import errors, ids
from tests.placements import PlacementContract, Reopen

from .objects import define


class Opened:
    """Placements of one driver, each with its watches under way."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._tasks: list[asyncio.Task[None]] = []

    async def one(self) -> KubePlacement:
        # The namespace is this test's own, and so is a driver of that name.
        state = State(self._api, self._namespace, "holdall-state", f"{self._namespace}.csi.dev")
        placement = KubePlacement(self._api, f"{self._namespace}.csi.dev", state)
        for work in (state.watched.run(), state.run(), placement.watched.run()):
            self._tasks.append(asyncio.create_task(work))
        await state.watched.synced.wait()
        await placement.open()
        return placement

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def opened(api: Api, namespace: str) -> AsyncIterator[Opened]:
    await define(api, "placements")
    made = Opened(api, namespace)
    yield made
    await made.close()


class TestKube(PlacementContract):
    @pytest.fixture
    async def placement(self, opened: Opened) -> Placement:
        return await opened.one()

    @pytest.fixture
    def reopen(self, opened: Opened) -> Reopen:
        async def again() -> Placement:
            await asyncio.sleep(1.0)  # what was wanted is written a moment later
            return await opened.one()

        return again


async def test_of_controllers_that_claim_at_once_one_is_first(opened: Opened) -> None:
    """Nothing but the Placement object keeps them apart."""
    several = [await opened.one() for _ in range(4)]
    notes = await asyncio.gather(*(one.claim("v-race", f"node-{at}", f"{at}.1") for at, one in enumerate(several)))
    assert len(set(notes)) == 1
    joined = await asyncio.gather(*(one.join("v-race", notes[0], (f"{at}.2",)) for at, one in enumerate(several)))
    assert len([one for one in joined if one]) == 1
    dropped = await asyncio.gather(*(one.drop("v-race", notes[0]) for one in several))
    assert not any(dropped)


async def test_a_claim_is_one_request_and_what_others_do_is_seen(opened: Opened, api: Api) -> None:
    """Design: `of` makes no request; it is the watched copy, a hint."""
    one, other = await opened.one(), await opened.one()
    note = await one.claim("v-seen", "node-a", "x.1")
    async with asyncio.timeout(10):
        while await other.of("v-seen") != note:
            await asyncio.sleep(0.01)
    assert await one.drop("v-seen", note)
    async with asyncio.timeout(10):
        while await other.of("v-seen") is not None:
            await asyncio.sleep(0.01)


async def test_every_key_makes_a_valid_object(opened: Opened, api: Api) -> None:
    """Names are any Unicode of 128 bytes, and a driver's name may have capitals."""
    state = State(api, "default", "unused", "Holdall.CSI.dev")
    placement = KubePlacement(api, "Holdall.CSI.dev", state)
    for name in ("x" * 128, "é" * 64, "…", "a/b c", "-.-", "PVC-1"):
        for letter in (ids.VOLUME, ids.SNAPSHOT, ids.GROUP):
            key = ids.local_part(letter, name)
            note = await placement.claim(key, "node.example.com", "x.1")
            assert await placement.now(key) == note
            assert await placement.drop(key, note)


async def test_kubectl_shows_node_and_age(opened: Opened, api: Api) -> None:
    """``kubectl get placements``: the columns are the definition's."""
    found = await api.request(
        "GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/placements.holdall.csi.dev"
    )
    columns = [one["name"] for one in found["spec"]["versions"][0]["additionalPrinterColumns"]]
    assert columns == ["Node", "Tries", "Age"]
    body = {"apiVersion": "holdall.csi.dev/v1", "kind": "Placement", "metadata": {"name": "x"}, "spec": {}}
    with pytest.raises(errors.FailedPrecondition, match="node"):
        await api.request("POST", PATH, body)

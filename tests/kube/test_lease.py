"""One controller leads, by a Lease of a real API server."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from driver.kube.api import Api, Object
from driver.kube.lease import Lease, Pace
from driver.model import errors

from .objects import until

PACE = Pace(duration=2.0, hold=1.2, renew=0.2)


class Controller:
    """Leads when it can; ``works`` is whether its work is being done."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.lease = Lease(api, namespace, "controller.test", PACE)
        self.works = False
        self.ends = False
        self.task = asyncio.ensure_future(self.lease.run(self._work))

    async def _work(self) -> None:
        self.works = True
        try:
            while not self.ends:
                await asyncio.sleep(0.02)
        finally:
            self.works = False

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def two(api: Api, namespace: str) -> AsyncIterator[tuple[Controller, Controller]]:
    """The first leads, the second waits."""
    first = Controller(api, namespace)
    await until(lambda: first.works)
    second = Controller(api, namespace)
    await until(lambda: second.lease.holder)
    yield first, second
    await asyncio.gather(first.stop(), second.stop())


async def read(api: Api, namespace: str) -> Object:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/controller.test"
    return await api.request("GET", path)


async def test_one_leads_and_the_other_knows_who(two: tuple[Controller, Controller]) -> None:
    """For longer than a Lease lasts without renewal."""
    first, second = two
    await asyncio.sleep(2 * PACE.duration)
    assert (first.lease.leading, first.works, second.lease.leading, second.works) == (True, True, False, False)
    first.lease.check()
    with pytest.raises(errors.FailedPrecondition, match="only the leading controller"):
        second.lease.check()
    assert second.lease.holder == first.lease.identity


async def test_who_is_stopped_leaves_it_to_the_next_at_once(two: tuple[Controller, Controller]) -> None:
    """The Lease is released, not left to end."""
    first, second = two
    begun = asyncio.get_running_loop().time()
    await first.stop()
    assert not first.works
    await until(lambda: second.works)
    assert asyncio.get_running_loop().time() - begun < PACE.duration


async def test_who_cannot_renew_stops_before_another_begins(
    two: tuple[Controller, Controller], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its API is away for it alone: it stops by its own clock, and no two ever work at once."""
    first, second = two

    async def away(*_: object) -> Object:
        await asyncio.sleep(3600)
        raise AssertionError

    monkeypatch.setattr(first.lease, "_take", away)
    while not second.works:
        assert not (first.works and second.works)
        await asyncio.sleep(0.01)
    assert not first.works
    assert not first.lease.leading


async def test_who_loses_the_lease_stops_at_once(two: tuple[Controller, Controller], api: Api, namespace: str) -> None:
    """Somebody else's name is in it: the next renewal finds that."""
    first, _ = two
    found = await read(api, namespace)
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/controller.test"
    await api.request("PATCH", path, {"spec": {"holderIdentity": "else"}})
    await until(lambda: not first.works, 2.0)
    assert found["spec"]["leaseTransitions"] == 1


async def test_a_wall_clock_says_nothing(api: Api, namespace: str) -> None:
    """A Lease renewed in another century, by its holder's clock, is waited for like any other."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    old = "1999-01-01T00:00:00.000000Z"
    spec = {"holderIdentity": "else", "leaseDurationSeconds": 2, "renewTime": old, "acquireTime": old}
    await api.request("POST", path, {"metadata": {"name": "controller.test"}, "spec": spec})
    begun = asyncio.get_running_loop().time()
    controller = Controller(api, namespace)
    await until(lambda: controller.works)
    assert asyncio.get_running_loop().time() - begun >= PACE.duration
    await controller.stop()
    assert (await read(api, namespace))["spec"]["holderIdentity"] == ""


async def test_work_that_ends_is_begun_again_by_whoever_leads_then(two: tuple[Controller, Controller]) -> None:
    """It is not meant to end; a Lease that is held while nothing is done would be worse."""
    first, second = two
    first.ends = True
    await until(lambda: second.works)

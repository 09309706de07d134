"""Events, sent to a real API server: once, at a measured pace, or not at all."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from driver.kube.api import Api, Object, connect
from driver.kube.events import BURST, WAITING, Events, Subject
from tests.e2e.cluster.control_plane import ApiServer


class Clock:
    """Seconds, as a test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def events(api: Api, clock: Clock) -> AsyncIterator[Events]:
    """Being sent."""
    made = Events(api, "holdall.csi.dev", clock)
    task = asyncio.ensure_future(made.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def claim(namespace: str, name: str = "letters") -> Subject:
    return Subject("v1", "PersistentVolumeClaim", name, f"uid-of-{name}", namespace)


async def sent(api: Api, namespace: str) -> list[Object]:
    found = await api.request("GET", f"/api/v1/namespaces/{namespace}/events")
    items: list[Object] = found["items"]
    return items


async def until_sent(api: Api, namespace: str, count: int) -> list[Object]:
    async with asyncio.timeout(20):
        while len(found := await sent(api, namespace)) < count:
            await asyncio.sleep(0.02)
    return found


async def test_an_event_is_shown_with_the_object_it_is_about(events: Events, api: Api, namespace: str) -> None:
    """So that kubectl describe and kubectl events --for find it; one that is too long is cut, not lost."""
    events.tell(claim(namespace), "Warning", "VolumeDegraded", "ä" * 2000)
    (event,) = await until_sent(api, namespace, 1)
    about = event["involvedObject"]
    assert (about["kind"], about["name"], about["uid"]) == ("PersistentVolumeClaim", "letters", "uid-of-letters")
    assert (event["type"], event["reason"]) == ("Warning", "VolumeDegraded")
    assert event["source"]["component"] == "holdall.csi.dev"
    assert 1000 < len(event["message"].encode()) <= 1024


async def test_the_same_is_said_once_in_ten_minutes(events: Events, api: Api, clock: Clock, namespace: str) -> None:
    """A node that comes and goes says it no more often; another object or another message is another event."""
    for _ in range(5):
        events.tell(claim(namespace), "Warning", "VolumeDegraded", "it is full")
    events.tell(claim(namespace, "other"), "Warning", "VolumeDegraded", "it is full")
    await until_sent(api, namespace, 2)
    clock.now += 601.0
    events.tell(claim(namespace), "Warning", "VolumeDegraded", "it is full")
    assert len(await until_sent(api, namespace, 3)) == 3


async def test_a_flood_is_sent_at_a_measured_pace(events: Events, api: Api, namespace: str) -> None:
    """A node with hundreds of claims is lost: the API server has other things to do."""
    for number in range(BURST + 20):
        events.tell(claim(namespace, f"c{number}"), "Warning", "VolumeInaccessible", "its node is lost")
    await until_sent(api, namespace, BURST)
    await asyncio.sleep(1.0)
    assert len(await sent(api, namespace)) <= BURST + 3


async def test_with_the_api_away_events_are_dropped_and_nobody_waits(
    api_server: ApiServer, tmp_path: Path, clock: Clock
) -> None:
    """However many: telling returns at once, and the sender goes on with the next."""
    said = json.loads(api_server.kubeconfig.read_text())
    said["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    (tmp_path / "nobody").write_text(json.dumps(said))
    api = await connect(str(tmp_path / "nobody"))
    events = Events(api, "holdall.csi.dev", clock)
    for number in range(2 * WAITING):
        events.tell(claim("default", f"c{number}"), "Warning", "VolumeInaccessible", "its node is lost")
    sending = asyncio.ensure_future(events.run())
    before = events._queue.qsize()
    async with asyncio.timeout(20):
        while events._queue.qsize() > before - 2:
            await asyncio.sleep(0.05)
    assert not sending.done()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await api.close()

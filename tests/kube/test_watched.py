"""A watch keeps what it knows while the API is away, and catches up, also when the API server has forgotten since when."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from driver.kube.api import Api, Object, connect
from driver.kube.watched import Watched
from driver.model import errors
from tests.e2e.cluster.control_plane import ApiServer

from .objects import until


@pytest.fixture
def own_server(tmp_path: Path) -> ApiServer:
    """One that may be stopped."""
    return ApiServer(tmp_path / "own")


@pytest.fixture
async def own(own_server: ApiServer) -> AsyncIterator[Api]:
    await asyncio.to_thread(own_server.start)
    made = await connect(str(own_server.kubeconfig))
    yield made
    await made.close()
    await asyncio.to_thread(own_server.stop)


MAPS = "/api/v1/namespaces/default/configmaps"


async def put(api: Api, name: str, value: str) -> None:
    body: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"mine": "yes"}}}
    await api.request("POST", MAPS, {**body, "data": {"value": value}})


class Watch:
    def __init__(self, api: Api) -> None:
        self.told: list[str] = []
        self.watched = Watched(
            api, MAPS, lambda found: found["data"]["value"], self.told.append, {"labelSelector": "mine"}
        )
        self.task = asyncio.create_task(self.watched.run())

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_what_is_there_and_what_changes_is_known_and_told(own: Api) -> None:
    """List, then watch: added, changed, gone; a change that leaves what is kept as it was is not told."""
    await put(own, "a", "1")
    watch = Watch(own)
    await asyncio.wait_for(watch.watched.synced.wait(), 10)
    assert (watch.watched.objects, watch.told) == ({"a": "1"}, [""])
    await put(own, "b", "2")
    await until(lambda: watch.watched.objects == {"a": "1", "b": "2"})
    await own.request("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"other": "x"}}})
    await own.request("PATCH", f"{MAPS}/a", {"data": {"value": "3"}})
    await own.request("DELETE", f"{MAPS}/b")
    await until(lambda: watch.watched.objects == {"a": "3"})
    assert watch.told == ["", "b", "a", "b"]
    await watch.end()


async def test_an_answer_that_is_newer_than_the_watch_is_kept(own: Api) -> None:
    """What this process wrote it knows at once, and no older event takes it back."""
    await put(own, "a", "1")
    watch = Watch(own)
    await watch.watched.synced.wait()
    await watch.end()
    before = await own.request("GET", f"{MAPS}/a")
    watch.watched.keep(await own.request("PATCH", f"{MAPS}/a", {"data": {"value": "2"}}))
    assert watch.watched.objects == {"a": "2"}
    watch.watched.keep(before)
    assert watch.watched.objects == {"a": "2"}


async def test_while_the_api_is_away_everything_known_stays_and_then_catches_up(
    own: Api, own_server: ApiServer
) -> None:
    """Issue: API server away for a minute: requests are Unavailable, what is known stays in use, nothing is missed."""
    await put(own, "a", "1")
    watch = Watch(own)
    await watch.watched.synced.wait()
    await asyncio.to_thread(own_server.stop)
    with pytest.raises(errors.Unavailable, match=r"does not answer POST /api/v1"):
        await put(own, "b", "2")
    await asyncio.sleep(1.0)
    assert watch.watched.objects == {"a": "1"}
    await asyncio.to_thread(own_server.start)
    await put(own, "b", "2")
    await until(lambda: watch.watched.objects == {"a": "1", "b": "2"}, 60)
    await watch.end()


async def test_a_version_that_was_compacted_is_read_anew(own: Api, own_server: ApiServer) -> None:
    """410 Gone: etcd has forgotten what happened since. What went meanwhile is gone, what came is there."""
    await put(own, "a", "1")
    watch = Watch(own)
    await watch.watched.synced.wait()
    await watch.end()
    await own.request("DELETE", f"{MAPS}/a")
    await put(own, "b", "2")
    newest = (await own.request("GET", MAPS))["metadata"]["resourceVersion"]
    await asyncio.to_thread(own_server.stop)
    await asyncio.to_thread(own_server.start)
    client = json.loads((own_server.directory / "api.json").read_text())["client"]
    await asyncio.to_thread(_compact, f"http://127.0.0.1:{client}", newest)
    watch.task = asyncio.create_task(watch.watched.run())
    await until(lambda: watch.watched.objects == {"b": "2"}, 60)
    assert watch.told == ["", ""]
    await watch.end()


def _compact(etcd: str, revision: str) -> None:
    body = json.dumps({"revision": revision, "physical": True}).encode()
    request = urllib.request.Request(f"{etcd}/v3/kv/compaction", data=body, method="POST")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        assert answer.status == 200


async def test_a_request_says_what_the_api_said(own: Api) -> None:
    """Domain errors: absent, there already, wrong, forbidden."""
    with pytest.raises(errors.NotFound, match='configmaps "x" not found'):
        await own.request("GET", f"{MAPS}/x")
    await put(own, "x", "1")
    with pytest.raises(errors.Busy, match="already exists"):
        await put(own, "x", "1")
    with pytest.raises(errors.FailedPrecondition, match="422"):
        await put(own, "No Name", "1")

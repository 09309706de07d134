"""A real API server, one for all these tests; each has a namespace of its own in it."""

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from kubernetes.aio.client import ApiClient

from driver.kube.api import Api, connect
from tests.e2e.cluster import binaries
from tests.e2e.cluster.control_plane import ApiServer


def pytest_sessionstart(session: pytest.Session) -> None:
    """Where the API server has to be built first, that takes longer than one test may."""
    if not session.config.option.collectonly:
        binaries.ensure(binaries.CONTROL_PLANE)


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """etcd and kube-apiserver, and nothing that schedules or runs anything."""
    with ApiServer(tmp_path_factory.mktemp("api")) as server:
        yield server


@pytest.fixture
async def api(api_server: ApiServer) -> AsyncIterator[Api]:
    """A client that may do everything."""
    made = await connect(str(api_server.kubeconfig))
    yield made
    await made.close()


@pytest.fixture
def api_client(api: Api) -> ApiClient:
    """The library's own client, for its typed calls."""
    return api.client


@pytest.fixture
async def namespace(api: Api) -> str:
    """A new one. It is not deleted: nothing here would collect what is in it."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await api.request("POST", "/api/v1/namespaces", body)
    return name

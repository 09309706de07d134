"""Tokens that a real API server made, and what it says of them."""

import base64
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from kubernetes.aio.client import ApiClient, CoreV1Api

from driver.kube.api import Api
from driver.kube.core import Core
from driver.kube.tokens import Tokens
from driver.model.errors import Forbidden, Unauthenticated
from driver.model.identity import NodeIdentity
from tests.certificates import DRIVER
from tests.e2e.cluster.control_plane import ApiServer

ACCOUNT = "holdall-node"


class World:
    """A namespace with the node account, and a pod of it on a node."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self.api = CoreV1Api(client)
        self.namespace = namespace
        self.tokens = Tokens(Core(Api(client), namespace), DRIVER, namespace, ACCOUNT)

    async def account(self, name: str) -> None:
        await self.api.create_namespaced_service_account(self.namespace, {"metadata": {"name": name}})

    async def pod(self, name: str, node: str, account: str = ACCOUNT) -> None:
        spec = {
            "serviceAccountName": account,
            "nodeName": node,
            "automountServiceAccountToken": False,
            "containers": [{"name": "c", "image": "none"}],
        }
        await self.api.create_namespaced_pod(self.namespace, {"metadata": {"name": name}, "spec": spec})

    async def token(self, *, pod: str = "", account: str = ACCOUNT, audience: str = DRIVER) -> str:
        """As kubelet projects it into ``pod``; with none, as anybody with the right to may ask for it."""
        spec: dict[str, Any] = {"audiences": [audience] if audience else []}
        if pod:
            spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", "name": pod}
        made = await self.api.create_namespaced_service_account_token(account, self.namespace, {"spec": spec})
        token: str = made.status.token
        return token


@pytest.fixture
async def world(api_client: ApiClient, namespace: str) -> World:
    made = World(api_client, namespace)
    await made.account(ACCOUNT)
    await made.pod("holdall-node-x", "node-1.example.org")
    return made


async def test_a_token_projected_into_a_pod_says_its_node(world: World) -> None:
    """And the pod's name."""
    found = await world.tokens.verify(await world.token(pod="holdall-node-x"))
    assert found == NodeIdentity("node-1.example.org", "holdall-node-x")


async def test_a_token_for_the_api_server_is_not_for_us(world: World) -> None:
    """What every pod has of its account proves nothing to a driver: it could have been given away."""
    for audience in ("", "another.driver"):
        with pytest.raises(Unauthenticated, match=f"not valid for audience {DRIVER}"):
            await world.tokens.verify(await world.token(pod="holdall-node-x", audience=audience))


async def test_a_token_of_another_account_is_forbidden(world: World) -> None:
    """On the same node, for the same audience."""
    await world.account("other")
    await world.pod("other", "node-1.example.org", "other")
    with pytest.raises(Forbidden, match=f"of system:serviceaccount:{world.namespace}:other, and only"):
        await world.tokens.verify(await world.token(pod="other", account="other"))


async def test_a_token_without_a_pod_is_forbidden(world: World) -> None:
    """Of the right account, made by hand: it says of no node that it is one."""
    with pytest.raises(Forbidden, match="bound to no node"):
        await world.tokens.verify(await world.token())


async def test_a_token_ends_with_its_pod(world: World) -> None:
    """Whoever took it from there has nothing any more."""
    token = await world.token(pod="holdall-node-x")
    await world.api.delete_namespaced_pod("holdall-node-x", world.namespace, grace_period_seconds=0)
    with pytest.raises(Unauthenticated) as refused:
        await world.tokens.verify(token)
    assert token not in refused.value.message


@pytest.mark.parametrize("token", ["x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "x" * 8000])
async def test_what_is_no_token_of_this_cluster_proves_nothing(token: str, world: World) -> None:
    """The API server decides, and is not upset."""
    with pytest.raises(Unauthenticated) as refused:
        await world.tokens.verify(token)
    assert "a.b.c" not in refused.value.message


async def test_an_expired_token_proves_nothing(world: World, api_server: ApiServer) -> None:
    """Signed by the cluster, as good as any other until a minute ago."""
    token = _again(await world.token(pod="holdall-node-x"), api_server, exp=int(time.time()) - 60)
    with pytest.raises(Unauthenticated, match="expired"):
        await world.tokens.verify(token)
    assert await world.tokens.verify(_again(await world.token(pod="holdall-node-x"), api_server))


def _again(token: str, server: ApiServer, **claims: int) -> str:
    """``token`` with other claims, signed anew with the cluster's own key (RFC 7515, ES256)."""
    head, body, _ = token.split(".")
    said = {**json.loads(base64.urlsafe_b64decode(body + "==")), **claims}
    signed = f"{head}.{_url(json.dumps(said).encode())}"
    key = serialization.load_pem_private_key((server.directory / "pki" / "accounts.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{_url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

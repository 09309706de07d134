"""Secrets and ConfigMaps of one namespace, and TokenReviews, as the plain values of their JSON."""

import base64
import json
from collections.abc import Container
from typing import Any, Literal

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.exceptions import ApiException

from ..model.errors import Unavailable

Kind = Literal["secrets", "configmaps"]
Object = dict[str, Any]
_KINDS = {"secrets": "Secret", "configmaps": "ConfigMap"}
_GONE, _CONFLICT = 404, 409
PATIENCE = 20.0
"""Seconds for one request."""


class Core:
    """Everything raises Unavailable when the API does not answer, or refuses us: both pass, the latter by an administrator."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self.namespace = namespace
        self._client = client

    async def read(self, kind: Kind, name: str) -> Object | None:
        """The object, or None if there is none of that name."""
        return await self._ask("GET", f"{self._path(kind)}/{name}", absent=(_GONE,))

    async def create(self, kind: Kind, name: str, content: Object) -> bool:
        """There is an object of that name with ``content``; False if there was one already, which is as it was."""
        body = {"apiVersion": "v1", "kind": _KINDS[kind], "metadata": {"name": name}, **content}
        return await self._ask("POST", self._path(kind), body, absent=(_CONFLICT,)) is not None

    async def replace(self, kind: Kind, known: Object) -> bool:
        """The object is ``known`` now; False, and nothing is changed, if it was changed or deleted since it was read."""
        path = f"{self._path(kind)}/{known['metadata']['name']}"
        return await self._ask("PUT", path, known, absent=(_CONFLICT, _GONE)) is not None

    async def review(self, token: str, audience: str) -> Object:
        """The status of a TokenReview: what the API server knows of ``token``."""
        spec = {"token": token, "audiences": [audience]}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        found = await self._ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body)
        status: Object = (found or {}).get("status") or {}
        return status

    def _path(self, kind: Kind) -> str:
        return f"/api/v1/namespaces/{self.namespace}/{kind}"

    async def _ask(
        self, method: str, path: str, body: Object | None = None, absent: Container[int] = ()
    ) -> Object | None:
        """The answer's JSON; None for a status that is ``absent``."""
        try:
            request = await self._client.param_serialize(method, path, body=body, auth_settings=["BearerToken"])
            # Untyped where it comes from.
            response: Any = await self._client.call_api(*request, _request_timeout=PATIENCE)
            text: bytes = await response.read()
        except (ApiException, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"the Kubernetes API does not answer {method} {path}: {error or repr(error)}") from error
        if response.status in absent:
            return None
        if not 200 <= response.status < 300:
            raise Unavailable(f"the Kubernetes API refused {method} {path} with {response.status}: {_said(text)}")
        found: Object = json.loads(text)
        return found


def encoded(text: str) -> str:
    """A value of a Secret's ``data``."""
    return base64.b64encode(text.encode()).decode()


def decoded(value: str | None) -> bytes:
    """The value of a Secret's ``data``; empty for none. ValueError for what is no base64."""
    return base64.b64decode(value or "", validate=True)


def _said(text: bytes) -> str:
    """The message of a Status object."""
    try:
        return str(json.loads(text)["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return text[:200].decode("utf-8", "replace")

"""Secrets and ConfigMaps of one namespace, and TokenReviews, as the plain values of their JSON."""

import base64
from typing import Any, Literal, Protocol

from ..model.errors import Busy, NotFound

Kind = Literal["secrets", "configmaps"]
Object = dict[str, Any]
_KINDS = {"secrets": "Secret", "configmaps": "ConfigMap"}


class Requests(Protocol):
    """kube.api.Api, as far as it is needed here: NotFound for 404, a Busy for 409."""

    async def request(self, method: str, path: str, body: Object | None = None) -> Object: ...


class Core:
    """What is refused otherwise, or not answered, is raised as ``Requests`` has it."""

    def __init__(self, api: Requests, namespace: str) -> None:
        self.namespace = namespace
        self._api = api

    async def read(self, kind: Kind, name: str) -> Object | None:
        """The object, or None if there is none of that name."""
        try:
            return await self._api.request("GET", f"{self._path(kind)}/{name}")
        except NotFound:
            return None

    async def create(self, kind: Kind, name: str, content: Object) -> bool:
        """There is an object of that name with ``content``; False if there was one already, which is as it was."""
        body = {"apiVersion": "v1", "kind": _KINDS[kind], "metadata": {"name": name}, **content}
        try:
            await self._api.request("POST", self._path(kind), body)
        except Busy:
            return False
        return True

    async def replace(self, kind: Kind, known: Object) -> bool:
        """The object is ``known`` now; False, and nothing is changed, if it was changed or deleted since it was read."""
        try:
            await self._api.request("PUT", f"{self._path(kind)}/{known['metadata']['name']}", known)
        except (Busy, NotFound):
            return False
        return True

    async def review(self, token: str, audience: str) -> Object:
        """The status of a TokenReview: what the API server knows of ``token``."""
        spec = {"token": token, "audiences": [audience]}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        found = await self._api.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body)
        status: Object = found.get("status") or {}
        return status

    def _path(self, kind: Kind) -> str:
        return f"/api/v1/namespaces/{self.namespace}/{kind}"


def encoded(text: str) -> str:
    """A value of a Secret's ``data``."""
    return base64.b64encode(text.encode()).decode()


def decoded(value: str | None) -> bytes:
    """The value of a Secret's ``data``; empty for none. ValueError for what is no base64."""
    return base64.b64decode(value or "", validate=True)

"""Requests to the Kubernetes API, answered in JSON; what goes wrong, as domain errors."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config import load_incluster_config, load_kube_config
from kubernetes.aio.config.config_exception import ConfigException

from ..engine import deadline
from ..model import errors

Object = dict[str, Any]

CONNECT = 3.0
"""Seconds to a connection."""
PATIENCE = 10.0
"""Seconds for one request with all its tries, when the caller set no deadline."""
TRIES = 3
PAGE = 500
"""Objects asked for at once."""
SILENCE = 90.0
"""Seconds without a word after which a watch is begun anew; bookmarks come each minute."""
# Untyped where they come from.
_LOAD_FILE: Any = load_kube_config
_LOAD_OWN: Any = load_incluster_config
_IDEMPOTENT = ("GET", "PUT", "DELETE", "PATCH")
"""Repeated after an answer that never came. A PUT and a DELETE name the version they are for, and a PATCH says what is
to be: a second one changes nothing more."""


class Conflict(errors.Busy):
    """The object is there already, or not at the version named."""


class Expired(errors.Unavailable):
    """The API server remembers no changes since that version: everything has to be read again (410)."""


class Api:
    """One client of one API server."""

    def __init__(self, client: ApiClient) -> None:
        self.client = client

    async def close(self) -> None:
        client: Any = self.client
        await client.close()
        # aiohttp closes TLS connections a moment later (its documentation, "Graceful shutdown").
        await asyncio.sleep(0.1)

    async def request(
        self, method: str, path: str, body: Object | None = None, query: Mapping[str, str] | None = None
    ) -> Object:
        """The answer's JSON.

        NotFound, Conflict and Expired as the API says; FailedPrecondition for a request it will never take; Unavailable
        when it does not answer, has too much to do, or refuses us, which an administrator can change.
        """
        what = f"{method} {path}"
        until = asyncio.get_running_loop().time() + deadline.remaining(PATIENCE)
        for number in range(TRIES):
            left = until - asyncio.get_running_loop().time()
            timeout = aiohttp.ClientTimeout(total=max(left, 0.05), sock_connect=CONNECT)
            pause = random.uniform(0.1, 0.2) * 3**number
            try:
                response = await self._send(method, path, body, query, timeout)
                text: bytes = await response.read()
                status: int = response.status
            except (ApiException, aiohttp.ClientError, OSError, TimeoutError) as error:
                failed = errors.Unavailable(f"the Kubernetes API does not answer {what}: {error or repr(error)}")
                was_sent = not isinstance(error, aiohttp.ClientConnectorError)
                may_repeat = method in _IDEMPOTENT or not was_sent
            else:
                if 200 <= status < 300:
                    found: Object = json.loads(text)
                    return found
                refused = _refused(what, status, text)
                if not isinstance(refused, errors.Unavailable) or isinstance(refused, Expired):
                    raise refused
                failed = refused
                may_repeat = status == 429 or (status >= 500 and method in _IDEMPOTENT)
                pause = max(pause, _retry_after(response.headers.get("Retry-After")))
            if not may_repeat or number + 1 == TRIES or left < pause + 0.05:
                raise failed
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def pages(self, path: str, selector: Mapping[str, str] | None = None) -> AsyncGenerator[Object, None]:
        """The pages of a list, the last one with the version that the whole is of. Raises as ``request`` does."""
        query = {**(selector or {}), "limit": str(PAGE)}
        while True:
            page = await self.request("GET", path, query=query)
            yield page
            if not (more := page["metadata"].get("continue")):
                return
            query["continue"] = str(more)

    async def items(self, path: str) -> AsyncGenerator[Object, None]:
        """All objects of a list. Raises as ``request`` does."""
        async for page in self.pages(path):
            for one in page.get("items") or []:
                yield one

    async def watch(self, path: str, query: Mapping[str, str], seconds: int) -> AsyncGenerator[Object, None]:
        """The events of one watch until the API server ends it, after ``seconds`` at the latest. Raises as ``request`` does."""
        what = f"WATCH {path}"
        asked = {**query, "watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=SILENCE)
        try:
            response = await self._send("GET", path, None, asked, timeout)
            try:
                if response.status != 200:
                    raise _refused(what, response.status, await response.read())
                async for line in response.content:
                    event: Object = json.loads(line)
                    if event.get("type") == "ERROR":
                        status = event.get("object") or {}
                        raise _refused(what, int(status.get("code") or 500), json.dumps(status).encode())
                    yield event
            finally:
                response.close()
        except (ApiException, aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise errors.Unavailable(f"the Kubernetes API ended {what}: {error or repr(error)}") from error

    async def _send(
        self,
        method: str,
        path: str,
        body: Object | None,
        query: Mapping[str, str] | None,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
        request = await self.client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        # Typed for whole answers only; what it holds is aiohttp's response.
        answered: Any = await self.client.call_api(*request, _request_timeout=timeout)
        response: aiohttp.ClientResponse = answered.response
        return response


async def connect(kubeconfig: str = "") -> Api:
    """A client with the pod's own account, or as ``kubeconfig`` says. FailedPrecondition when there is neither."""
    configuration = Configuration()
    try:
        if kubeconfig:
            await _LOAD_FILE(kubeconfig, client_configuration=configuration, persist_config=False)
        else:
            # Reads the token's file anew each minute.
            _LOAD_OWN(configuration)
    except (ConfigException, OSError, ValueError) as error:
        raise errors.FailedPrecondition(f"no way to the Kubernetes API: {error}") from error
    configuration.client_side_validation = False
    client = ApiClient(configuration)
    client.user_agent = "holdall"
    return Api(client)


def _refused(what: str, status: int, text: bytes) -> errors.DomainError:
    words = f"the Kubernetes API refused {what} with {status}: {_said(text)}"
    match status:
        case 404:
            return errors.NotFound(words)
        case 409:
            return Conflict(words)
        case 410:
            return Expired(words)
        case 400 | 405 | 413 | 415 | 422:
            return errors.FailedPrecondition(words)
    return errors.Unavailable(words)


def _said(text: bytes) -> str:
    """The message of a Status object."""
    try:
        return str(json.loads(text)["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return text[:200].decode("utf-8", "replace")


def _retry_after(header: str | None) -> float:
    return min(float(header), 5.0) if header and header.isdigit() else 0.0

"""What the API server's audit log says that an account asked for."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .cluster.cluster import Cluster


@dataclass(frozen=True)
class Request:
    """One request. ``resource`` has its subresource after a slash; ``agent`` is the program that asked."""

    user: str
    agent: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    forbidden: bool
    """By RBAC. What admission refuses, such as an event in a namespace that ends, is not."""


class Audit:
    """Requests from the log's place ``start`` on: bytes, as ``size`` says them."""

    def __init__(self, cluster: Cluster) -> None:
        self._log = cluster.audit_log

    def size(self) -> int:
        return self._log.stat().st_size

    def requests(self, account: str, start: int = 0) -> Iterator[Request]:
        """Those of ServiceAccount ``NAMESPACE:NAME``, in order; one whose answer is still under way is not among them."""
        user = f"system:serviceaccount:{account}"
        with self._log.open("rb") as log:
            log.seek(start)
            for line in log:
                if user.encode() in line and line.endswith(b"\n"):
                    event: Mapping[str, Any] = json.loads(line)
                    if event["user"]["username"] == user and event["stage"] != "ResponseStarted":
                        yield _request(event)

    def counts(self, account: str, start: int) -> Counter[str]:
        """How often each kind of request was made: ``AGENT VERB RESOURCE``."""
        return Counter(f"{one.agent} {one.verb} {one.resource}" for one in self.requests(account, start))


def _request(event: Mapping[str, Any]) -> Request:
    where: Mapping[str, str] = event.get("objectRef", {})
    resource = where.get("resource", "")
    return Request(
        user=event["user"]["username"],
        agent=event.get("userAgent", "").partition("/")[0],
        verb=event["verb"],
        group=where.get("apiGroup", ""),
        resource=f"{resource}/{where['subresource']}" if "subresource" in where else resource,
        namespace=where.get("namespace", ""),
        name=where.get("name", ""),
        forbidden=event.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid",
    )

"""Which node asks: the API server says whose a ServiceAccount token is, and to a pod on which node it was given."""

from typing import Protocol

from ..model.errors import Forbidden, Unauthenticated
from ..model.identity import NodeIdentity
from .core import Object

NODE = "authentication.kubernetes.io/node-name"
"""In a pod-bound token since Kubernetes 1.30 (KEP-4193)."""
POD = "authentication.kubernetes.io/pod-name"


class Reviewing(Protocol):
    async def review(self, token: str, audience: str) -> Object: ...


class Tokens:
    """Takes tokens of one ServiceAccount, made for this driver and bound to a pod. Implements rpc.enrolment.Verifier."""

    def __init__(self, core: Reviewing, driver_name: str, namespace: str, account: str) -> None:
        self._core = core
        self._audience = driver_name
        self._username = f"system:serviceaccount:{namespace}:{account}"

    async def verify(self, token: str) -> NodeIdentity:
        """The node and pod that ``token`` was given to. Unauthenticated, Forbidden or Unavailable otherwise, without it."""
        status = await self._core.review(token, self._audience)
        # An API server that knows no audiences would leave them out: then the token proves nothing to us.
        if not status.get("authenticated") or self._audience not in (status.get("audiences") or ()):
            # The API server's own words tell expired from foreign; they can quote claims, never the token.
            why = str(status.get("error") or "it was made for somebody else")[:300].replace(token, "***")
            raise Unauthenticated(f"the token is not valid for audience {self._audience}: {why}")
        user = status.get("user") or {}
        if (username := user.get("username")) != self._username:
            raise Forbidden(f"the token is of {username}, and only {self._username} may enrol")
        extra = user.get("extra") or {}
        node, pod = (extra.get(key) or [""] for key in (NODE, POD))
        if len(node) != 1 or not node[0]:
            raise Forbidden(f"the token of {username} is bound to no node: it has to be one projected into a pod")
        return NodeIdentity(str(node[0]), str(pod[0]))

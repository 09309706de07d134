"""The Enrolment service: certificates for nodes. Who asks is decided by a Verifier, who signs is an Authority."""

import asyncio
from typing import Protocol

import structlog

from csi.holdall.v1 import enrolment_pb2 as pb
from csi.holdall.v1 import enrolment_pb2_grpc as stubs

from ..model import errors, identity
from . import convert, secrets
from .interceptor import Context

LIFETIME = 24 * 3600.0
"""Seconds a node's certificate is good for."""
AT_ONCE = 8
"""Enrolments under way; each asks the API server who bears the token."""
WAITING = 256
"""Enrolments that wait for their turn; more are told to come again."""

log = structlog.get_logger()


class Verifier(Protocol):
    async def verify(self, token: str) -> identity.NodeIdentity:
        """The node whose pod was given ``token`` for this driver. Unauthenticated for a token that is expired, of another
        audience, or none; Forbidden for one of another account or bound to no node; Unavailable when it cannot be told."""


class Authority(Protocol):
    async def sign(self, request_pem: str, dns_name: str, seconds: float) -> tuple[str, str]:
        """A certificate for ``dns_name``, good for ``seconds``, and the bundle of all CAs; PEM both. InvalidArgument for a
        request that asks for anything else, has a weak key, or is not signed by its key; Unavailable without a CA."""


class Enrolment(stubs.EnrolmentServicer):
    """Refuses whatever is not as it should be, and says so to the node and to the log; the token is in neither."""

    def __init__(self, verifier: Verifier, authority: Authority, driver_name: str, lifetime: float = LIFETIME) -> None:
        self._verifier = verifier
        self._authority = authority
        self._driver_name = driver_name
        self._lifetime = lifetime
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._here = 0

    async def Enrol(self, request: pb.EnrolRequest, context: Context) -> pb.EnrolResponse:
        if self._here >= AT_ONCE + WAITING:
            raise errors.Unavailable(f"{self._here} nodes enrol already; try again")
        self._here += 1
        try:
            async with self._turn:
                return await self._enrol(request)
        except (errors.Unauthenticated, errors.Forbidden, errors.InvalidArgument) as error:
            message = secrets.scrub(error.message, request)
            log.warning("enrolment refused", node_id=request.node_id, peer=context.peer(), message=message)
            raise
        finally:
            self._here -= 1

    async def _enrol(self, request: pb.EnrolRequest) -> pb.EnrolResponse:
        node_id = convert.required(request.node_id, "node_id")
        token = convert.required(request.token, "token")
        asked = convert.required(request.certificate_request, "certificate_request")
        bearer = await self._verifier.verify(token)
        if bearer.node != node_id:
            raise errors.Forbidden(f"the token was given to a pod on node {bearer.node}, and node {node_id} asks")
        name = identity.node_name(node_id, self._driver_name)
        certificate, bundle = await self._authority.sign(asked, name, self._lifetime)
        log.info("node enrolled", node_id=node_id, pod=bearer.pod, name=name)
        return pb.EnrolResponse(certificate=certificate, bundle=bundle)

"""A node's certificate: asked for with the pod's token, renewed in time, kept beside the state so that a restart has it."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from csi.holdall.v1 import enrolment_pb2 as pb

from ..engine.backoff import Backoff
from ..host import failure, files, keys
from ..model import errors, identity
from ..model.config import EnrolmentConfig
from . import endpoints, tls
from .client import Client

LEAST, MOST = 1.0, 60.0
"""Seconds between two tries after a failure, doubling."""
LOOK = 5.0
"""Seconds between two looks at the clock and at the CA bundle."""
CALL = 30.0

log = structlog.get_logger()


class Enrolling:
    """Of one node. ``material`` is where the certificate lies; ``certified`` is set once it can be served with.

    The bundle in the configuration is what is trusted, and the controller's answer may add to it what is not mounted yet.
    """

    def __init__(
        self,
        settings: EnrolmentConfig,
        node_id: str,
        driver_name: str,
        directory: Path,
        clock: Callable[[], float] = time.time,
        look: float = LOOK,
    ) -> None:
        self.material = tls.Material(directory)
        self.certified = asyncio.Event()
        self._settings = settings
        self._node_id = node_id
        self._driver_name = driver_name
        self._name = identity.node_name(node_id, driver_name)
        self._clock = clock
        self._look = look
        self._bundle = tls.Bundle(Path(settings.ca))
        self._seen: tls.Version = ()
        self._mounted = b""

    async def run(self) -> None:
        """Never returns: there is a good certificate whenever the controller gives one. Failures are logged, not raised."""
        backoff = Backoff(LEAST, MOST)
        while True:
            try:
                await self._serve_until_due()
                await self._enrol()
                backoff.succeeded()
            except Exception as error:
                pause = backoff.failed()
                foreseen = isinstance(error, errors.DomainError)
                message = error.message if isinstance(error, errors.DomainError) else repr(error)
                exc_info = None if foreseen else error
                log.warning("not enrolled", message=message, again_in_seconds=round(pause, 1), exc_info=exc_info)
                await asyncio.sleep(pause)

    async def _serve_until_due(self) -> None:
        """Returns when a certificate has to be asked for; until then the one that is there serves."""
        if not files.exists(self._settings.ca):
            if await asyncio.to_thread(self._is_good):
                self.certified.set()
            await self._wait_for(self._settings.ca)
        due = await asyncio.to_thread(self._due)
        if due:
            self.certified.set()
        while due > self._clock():
            await asyncio.sleep(min(self._look, max(due - self._clock(), 0.0)))
            if self._bundle.version() != self._seen:
                due = await asyncio.to_thread(self._due)

    def _due(self) -> float:
        """When to renew (Unix seconds; 0: now), by the bundle as it is now, which from here on is also the one served with."""
        self._seen = self._bundle.version()
        mounted = self._bundle.read().bundle
        files.make_dir(str(self.material.directory))
        if mounted != self._mounted:
            # Before it changed, a controller may have told of a CA that was not mounted yet: that one is kept until then.
            files.write_durably(self._path(tls.BUNDLE), mounted, 0o600)
            self._mounted = mounted
        if not files.exists(self._path(tls.CERTIFICATE)) or not self._is_good():
            return 0.0
        ends = keys.certificate(self._path(tls.CERTIFICATE)).ends
        with failure.during(f"looking at {self._path(tls.CERTIFICATE)}"):
            # From when we got it: it was made to look a little older, for nodes whose clocks are behind.
            began = min(os.stat(self._path(tls.CERTIFICATE)).st_mtime, ends)
        return began + (ends - began) * 2 / 3

    def _is_good(self) -> bool:
        """Whether what lies in the directory can be served with."""
        try:
            self.material.read()
        except errors.DomainError as error:
            reason = error.message
        else:
            reason = keys.why_not(self._path(tls.CERTIFICATE), self._path(tls.BUNDLE), self._name)
        if reason:
            log.info("no certificate to serve with", name=self._name, message=reason)
        return not reason

    async def _enrol(self) -> None:
        await self._wait_for(self._settings.token)
        new_key = self._path(f"{tls.KEY}.asked")
        await asyncio.to_thread(keys.make_key, new_key)
        asked = await asyncio.to_thread(keys.request, new_key, self._name)
        with failure.during(f"reading {self._settings.token}"):
            token = Path(self._settings.token).read_text(encoding="ascii", errors="replace").strip()
        expected = tls.Expected(identity.controller_name(self._driver_name), self._bundle)
        request = pb.EnrolRequest(node_id=self._node_id, token=token, certificate_request=asked)
        endpoint = str(endpoints.tcp(self._settings.controller))
        async with Client(endpoint, f"the controller at {self._settings.controller}", expected) as client:
            given = await client.ask(client.enrolment.Enrol, request, timeout=CALL)
        await asyncio.to_thread(self._keep, new_key, given)
        self.certified.set()
        log.info("enrolled", name=self._name, directory=str(self.material.directory))

    def _keep(self, new_key: str, given: pb.EnrolResponse) -> None:
        """Key, then certificate, by rename. Readers that come between find that they do not belong together, and wait."""
        asked, certificate = self._path(f"{tls.CERTIFICATE}.asked"), self._path(tls.CERTIFICATE)
        bundle = tls.together(self._mounted, given.bundle.encode())
        files.write_durably(self._path(tls.BUNDLE), bundle, 0o600)
        files.write_file(asked, given.certificate.encode(), 0o600)
        if reason := keys.why_not(asked, self._path(tls.BUNDLE), self._name):
            raise errors.Unavailable(f"the controller gave a certificate that is no good to {self._name}: {reason}")
        files.rename(new_key, self._path(tls.KEY))
        files.rename(asked, certificate)
        files.fsync_dir(str(self.material.directory))

    def _path(self, name: str) -> str:
        return str(self.material.directory / name)

    async def _wait_for(self, path: str) -> None:
        """Returns once there is a file: what mounts it may come later than we do."""
        is_said = False
        while True:
            if files.exists(path):
                return
            if not is_said:
                log.info("waiting to enrol", message=f"{path} is not there yet")
            is_said = True
            await asyncio.sleep(min(self._look, 1.0))

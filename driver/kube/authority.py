"""The driver's CA: a Secret that the first controller makes, or cert-manager keeps; its bundle in a ConfigMap; what it signs.

A CA that is replaced goes on being trusted until it ends: the bundle that nodes mount holds both, and reaches them before
anything that only the new one has signed is shown to them.
"""

import asyncio
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from ..host import files
from ..model.errors import DomainError, FailedPrecondition, InvalidArgument, Unavailable
from ..model.identity import controller_name
from . import certificates, core
from .certificates import CertificateAuthority
from .core import Kind, Object

LIFETIME = 24 * 3600.0
"""Seconds a controller's own certificate is good for."""
LOOK = 30.0
"""Seconds between two looks at the Secret and the ConfigMap."""
SETTLE = 300.0
"""Seconds in which a new bundle reaches every node's mount (kubelet's period and cache, some 90 s, and a slow node)."""
RENEWED = datetime.timedelta(days=365)
"""A CA that we made is replaced this long before it ends. Whoever brings their own renews it themselves."""
TRIES = 10

log = structlog.get_logger()


class Objects(Protocol):
    """kube.core.Core, as far as it is needed here."""

    @property
    def namespace(self) -> str: ...
    async def read(self, kind: Kind, name: str) -> Object | None: ...
    async def create(self, kind: Kind, name: str, content: Object) -> bool: ...
    async def replace(self, kind: Kind, known: Object) -> bool: ...


class Authority:
    """Implements rpc.enrolment.Authority. ``directory`` holds this controller's own tls.crt, tls.key and ca.crt, from
    ``ready`` on."""

    def __init__(
        self,
        objects: Objects,
        secret: str,
        config_map: str,
        driver_name: str,
        directory: Path,
        clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self.directory = directory
        self.ready = asyncio.Event()
        self._objects = objects
        self._secret = secret
        self._config_map = config_map
        self._driver_name = driver_name
        self._clock = clock
        self._ca: CertificateAuthority | None = None
        self._before: CertificateAuthority | None = None
        # When the bundle with the present one was published.
        self._since: datetime.datetime | None = None
        self._bundle = ""

    async def run(self) -> None:
        """Never returns: CA, bundle and our own certificate are as they should be whenever the API answers."""
        said, pause = "", 1.0
        while True:
            try:
                await self.refresh()
                said, pause = "", LOOK
            except Exception as error:
                message = error.message if isinstance(error, DomainError) else repr(error)
                if message != said:
                    log.error("certificates not renewed", message=message)
                said, pause = message, min(2 * pause, LOOK)
            await asyncio.sleep(pause)

    async def refresh(self) -> None:
        """There is a CA, the ConfigMap has its bundle, and our own certificate is good.

        Unavailable when the API does not answer, FailedPrecondition for a Secret that holds no CA: both leave what was.
        """
        ca = await self._look()
        if self._ca is None or ca.certificate_pem != self._ca.certificate_pem:
            log.info("certificate authority", secret=self._secret, ends=ca.ends.isoformat())
            self._before, self._since = self._ca, None
        elif self._before and not self._is_new():
            # From here on the ConfigMap alone says what else is trusted, and an administrator may take it out there.
            self._before = None
        self._ca = ca
        self._bundle = await self._publish(ca)
        self._since = self._since or self._clock()
        await asyncio.to_thread(self._certify, self._signing())
        self.ready.set()

    async def sign(self, request_pem: str, dns_name: str, seconds: float) -> tuple[str, str]:
        """A certificate for ``dns_name`` and the bundle of all CAs. InvalidArgument as ``certificates.requested_key``."""
        if self._ca is None or not self._bundle:
            raise Unavailable("this controller has no certificate authority yet; try again")
        key = certificates.requested_key(request_pem, dns_name)
        return certificates.sign(self._signing(), key, dns_name, self._clock(), seconds), self._bundle

    def _signing(self) -> CertificateAuthority:
        """The CA before the present one, as long as the nodes may not know the present one yet."""
        assert self._ca is not None
        if self._before and self._is_new() and self._before.ends > self._clock():
            return self._before
        return self._ca

    def _is_new(self) -> bool:
        return self._since is None or (self._clock() - self._since).total_seconds() < SETTLE

    async def _look(self) -> CertificateAuthority:
        """The Secret's CA, made first if it has none. Of controllers that make one at once, the first one's is taken."""
        for _ in range(TRIES):
            known = await self._objects.read("secrets", self._secret)
            found = self._loaded(known) if known else None
            if found and not (found.is_made_here and found.ends - self._clock() < RENEWED):
                return found
            # One that ends is the one before, also to a controller that began just now.
            self._ca = found or self._ca
            made = certificates.make(self._driver_name, self._clock())
            data = {"tls.crt": made.certificate_pem, "tls.key": made.key_pem, "ca.crt": made.certificate_pem}
            data = {key: core.encoded(text) for key, text in data.items()}
            if known is None:
                content = {"type": "kubernetes.io/tls", "data": data}
                is_made = await self._objects.create("secrets", self._secret, content)
            else:
                is_made = await self._objects.replace("secrets", {**known, "data": data})
            if is_made:
                log.info("certificate authority made", secret=self._secret, ends=made.ends.isoformat())
        raise Unavailable(f"Secret {self._where(self._secret)} changes faster than it can be read; try again")

    def _loaded(self, known: Object) -> CertificateAuthority | None:
        """The CA in the Secret; None if there is nothing in it yet."""
        data = known.get("data") or {}
        try:
            certificate, key = core.decoded(data.get("tls.crt")), core.decoded(data.get("tls.key"))
            return certificates.load(certificate, key) if certificate or key else None
        except InvalidArgument as error:
            raise FailedPrecondition(f"Secret {self._where(self._secret)} holds no CA: {error.message}") from None
        except ValueError:
            raise FailedPrecondition(f"Secret {self._where(self._secret)} holds no CA: it is no base64") from None

    async def _publish(self, ca: CertificateAuthority) -> str:
        """The bundle that is in the ConfigMap now: this CA, and those from before that have not ended."""
        for _ in range(TRIES):
            known = await self._objects.read("configmaps", self._config_map)
            there = ((known or {}).get("data") or {}).get("ca.crt", "")
            others = [there, self._before.certificate_pem if self._before else ""]
            wanted = certificates.bundle(ca.certificate_pem, others, self._clock())
            if wanted == there:
                return wanted
            if known is None:
                is_done = await self._objects.create("configmaps", self._config_map, {"data": {"ca.crt": wanted}})
            else:
                data = {**(known.get("data") or {}), "ca.crt": wanted}
                is_done = await self._objects.replace("configmaps", {**known, "data": data})
            if is_done:
                log.info(
                    "bundle published", config_map=self._config_map, certificates=wanted.count("BEGIN CERTIFICATE")
                )
                return wanted
        raise Unavailable(f"ConfigMap {self._where(self._config_map)} changes faster than it can be read; try again")

    def _certify(self, signing: CertificateAuthority) -> None:
        """Our own certificate is good for a third of its life at least, and of the CA that signs now."""
        files.make_dir(str(self.directory))
        bundle, certificate, key = (str(self.directory / name) for name in ("ca.crt", "tls.crt", "tls.key"))
        if _content(bundle) != self._bundle:
            files.write_durably(bundle, self._bundle.encode())
        if _content(key) and self._is_good(_content(certificate), signing):
            return
        name, private = controller_name(self._driver_name), certificates.new_key()
        made = certificates.sign(signing, private.public_key(), name, self._clock(), LIFETIME)
        files.write_durably(key, certificates.private_pem(private).encode())
        files.write_durably(certificate, made.encode())
        log.info("controller certificate made", name=name)

    def _is_good(self, certificate_pem: str, signing: CertificateAuthority) -> bool:
        left = certificates.left(certificate_pem, signing, self._clock())
        return left > min(LIFETIME / 3, (signing.ends - self._clock()).total_seconds() - 1)

    def _where(self, name: str) -> str:
        return f"{self._objects.namespace}/{name}"


def _content(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return ""

"""A directory of tls.crt, tls.key and ca.crt as gRPC credentials, read anew when its files change.

The names are those of a kubernetes.io/tls Secret, so that a mounted one serves as well.
"""

import os
import re
import ssl
from pathlib import Path
from typing import Any, Protocol

import grpc
import msgspec
import structlog

from ..host.failure import during
from ..model.errors import FailedPrecondition

CERTIFICATE, KEY, BUNDLE = "tls.crt", "tls.key", "ca.crt"
Version = tuple[tuple[int, int, int], ...]
"""Changes whenever a file is replaced or written: inode, time of change, size of each."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")

log = structlog.get_logger()


class Credentials(msgspec.Struct, frozen=True):
    """What one side shows (nothing, if empty), and the CAs whose certificates it takes from the other; PEM."""

    certificate: bytes
    key: bytes
    bundle: bytes


class Source(Protocol):
    """Credentials that may change on disk at any time."""

    def version(self) -> Version:
        """Another value than before if ``read`` would give something else. HostFailed when a file is not there."""

    def read(self) -> Credentials:
        """As they are now. FailedPrecondition for what is no use, HostFailed when a file is not there."""


class Material(msgspec.Struct, frozen=True):
    """Our own certificate and key, and the bundle to check others against, in one directory."""

    directory: Path

    def version(self) -> Version:
        return _version(*(self.directory / name for name in (CERTIFICATE, KEY, BUNDLE)))

    def read(self) -> Credentials:
        """A certificate and the key that belongs to it, even while both are being replaced one after the other."""
        before = self.version()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        certificate, key, bundle = (self.directory / name for name in (CERTIFICATE, KEY, BUNDLE))
        with during(f"reading {self.directory}"):
            credentials = Credentials(certificate.read_bytes(), key.read_bytes(), bundle.read_bytes())
            try:
                context.load_cert_chain(certificate, key, password=_no_password)
                context.load_verify_locations(bundle)
            except ssl.SSLError as error:
                reason = error.reason or "not PEM"
                raise FailedPrecondition(
                    f"{self.directory} holds no certificate with its key and CAs: {reason}"
                ) from None
        if self.version() != before:
            raise FailedPrecondition(f"{self.directory} is being written")
        return credentials


class Bundle(msgspec.Struct, frozen=True):
    """For one who has no certificate yet: the CAs in a file."""

    path: Path

    def version(self) -> Version:
        return _version(self.path)

    def read(self) -> Credentials:
        with during(f"reading {self.path}"):
            bundle = self.path.read_bytes()
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=bundle.decode("ascii", "replace"))
        except ssl.SSLError:
            raise FailedPrecondition(f"{self.path} holds no PEM certificates") from None
        return Credentials(b"", b"", bundle)


class Expected(msgspec.Struct, frozen=True):
    """The other side of a channel: the DNS name its certificate must have, and what we show and trust."""

    name: str
    source: Source


def server_credentials(material: Material, *, mutual: bool) -> grpc.ServerCredentials:
    """For a port of ours; a new certificate or bundle counts from the next handshake on. Raises as ``read`` does.

    ``mutual``: whoever has no certificate of a CA in the bundle gets no connection. Whose it is remains to be checked.
    """
    current = _Current(material, mutual)
    return grpc.dynamic_ssl_server_credentials(current.first, current.changed, require_client_authentication=mutual)


def channel_credentials(source: Source) -> grpc.ChannelCredentials:
    """For a channel of ours, as the files are now. Raises as ``read`` does."""
    now = source.read()
    return grpc.ssl_channel_credentials(now.bundle, now.key or None, now.certificate or None)


def together(first: bytes, second: bytes) -> bytes:
    """One PEM bundle of both, each certificate once."""
    found = dict.fromkeys(block.strip() for text in (first, second) for block in _PEM.findall(text))
    return b"".join(block + b"\n" for block in found)


class _Current:
    """What a port's next handshake uses. Whatever is wrong with newer files, the older credentials serve meanwhile."""

    def __init__(self, material: Material, mutual: bool) -> None:
        self._material = material
        self._mutual = mutual
        self._version = material.version()
        self._complaint = ""
        self.first = self._configuration()

    def changed(self) -> Any:
        """The configuration, if it is another than at the last handshake, else None, of which gRPC's stubs know nothing.

        gRPC asks from a thread of its own.
        """
        try:
            version = self._material.version()
            if version == self._version:
                return None
            configuration = self._configuration()
        except Exception as error:
            # Raised into gRPC it would cost the handshake; and one line says it, however many callers come.
            if (complaint := str(error)) != self._complaint:
                self._complaint = complaint
                log.warning("new certificate not taken", message=complaint)
            return None
        self._version, self._complaint = version, ""
        log.info("new certificate taken", directory=str(self._material.directory))
        return configuration

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        now = self._material.read()
        return grpc.ssl_server_certificate_configuration(
            [(now.key, now.certificate)], now.bundle if self._mutual else None
        )


def _version(*paths: Path) -> Version:
    with during(f"looking at {paths[0]}"):
        found = [os.stat(path) for path in paths]
    return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)


def _no_password() -> str:
    # Asked for only by an encrypted key; without this, OpenSSL would ask the terminal.
    return ""

"""The cluster's certificate authority, and the certificates and keys its programs ask for."""

import datetime
import ipaddress
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)


class Authority:
    """Signs for one cluster: the authority whose files lie in ``directory``, made there when there is none yet."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._name = _name("holdall-test-cluster")
        self.certificate = directory / "ca.crt"
        self.key = directory / "ca.key"
        self._key = self._known_key() if self.certificate.exists() else self._new_key()

    def _known_key(self) -> ec.EllipticCurvePrivateKey:
        key = serialization.load_pem_private_key(self.key.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    def _new_key(self) -> ec.EllipticCurvePrivateKey:
        key = ec.generate_private_key(ec.SECP256R1())
        signed = (
            _unsigned(self._name, self._name, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        _write(self.key, _pem(key))
        _write(self.certificate, signed.public_bytes(serialization.Encoding.PEM))
        return key

    def issue(self, name: str, common: str, groups: Sequence[str] = (), hosts: Iterable[str] = ()) -> tuple[Path, Path]:
        """A certificate and its key as files ``NAME.crt`` and ``NAME.key``, good for client and server alike.

        Kubernetes takes the user from the common name and the groups from the organisations.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
        unsigned = _unsigned(_name(common, groups), self._name, key).add_extension(usages, critical=False)
        if names := [_host(host) for host in hosts]:
            unsigned = unsigned.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate, private = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        signed = unsigned.sign(self._key, hashes.SHA256())
        _write(certificate, signed.public_bytes(serialization.Encoding.PEM))
        _write(private, _pem(key))
        return certificate, private

    def key_pair(self, name: str) -> tuple[Path, Path]:
        """A public and a private key without a certificate: what ServiceAccount tokens are signed with."""
        key = ec.generate_private_key(ec.SECP256R1())
        public, private = self._directory / f"{name}.pub", self._directory / f"{name}.key"
        public_format = serialization.PublicFormat.SubjectPublicKeyInfo
        _write(public, key.public_key().public_bytes(serialization.Encoding.PEM, public_format))
        _write(private, _pem(key))
        return public, private


def _name(common: str, groups: Sequence[str] = ()) -> x509.Name:
    organisations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organisations, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _unsigned(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 30 * _DAY)
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    plain = serialization.NoEncryption()
    # SEC 1 and not PKCS#8: kube-apiserver reads a signing key only in the former.
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)

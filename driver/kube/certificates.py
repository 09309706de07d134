"""X.509 as the driver's own CA needs it: a CA, what it signs for whom, and what of a bundle is still good."""

import datetime
import re
from collections.abc import Iterable

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..model.errors import FailedPrecondition, InvalidArgument

YEARS = datetime.timedelta(days=3653)
"""How long a CA of our own is good."""
BACKDATED = datetime.timedelta(minutes=5)
"""Clocks of nodes differ: a certificate is good from this long before it is made."""
LEAST_BITS = {"EC": 256, "RSA": 2048}

# As long as names of nodes may be (RFC 1123 as Kubernetes reads it): a label has no length of its own.
_DNS = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*\Z")
_CALLED = "Holdall CA"
_SIGNING = (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)


class CertificateAuthority(msgspec.Struct, frozen=True):
    """A certificate that may sign, and its key; both as PEM too."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    certificate_pem: str
    key_pem: str

    @property
    def ends(self) -> datetime.datetime:
        return self.certificate.not_valid_after_utc

    @property
    def is_made_here(self) -> bool:
        """Whether it is of ``make``. Told by its name: labels of a Secret stay when its content becomes somebody else's."""
        names = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return self.certificate.issuer == self.certificate.subject and any(
            str(name.value).startswith(_CALLED) for name in names
        )


def make(name: str, now: datetime.datetime) -> CertificateAuthority:
    """A new root: ECDSA P-256, good for ten years, that can sign no further CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    # Two CAs of one driver get names of their own: what checks a certificate looks for its issuer by name first.
    words = ((NameOID.ORGANIZATION_NAME, name[:64]), (NameOID.COMMON_NAME, f"{_CALLED} {now:%Y-%m-%dT%H:%M:%S.%fZ}"))
    subject = x509.Name([x509.NameAttribute(kind, word) for kind, word in words])
    certificate = (
        _builder(subject, subject, key.public_key(), now - BACKDATED, now + YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return CertificateAuthority(certificate, key, _pem(certificate), private_pem(key))


def load(certificate_pem: bytes, key_pem: bytes) -> CertificateAuthority:
    """The CA of a Secret: its first certificate is the one that signs. InvalidArgument saying what is wrong with it."""
    try:
        certificate = x509.load_pem_x509_certificates(certificate_pem)[0]
        key = serialization.load_pem_private_key(key_pem, None)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        raise InvalidArgument("tls.crt is no CA's certificate: it has no basic constraints") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # What the parser says may quote what it was given, and that is a key.
        raise InvalidArgument("tls.crt and tls.key are not a PEM certificate and its unencrypted PEM key") from None
    if not isinstance(key, _SIGNING):
        raise InvalidArgument("tls.key is neither an ECDSA nor an RSA key")
    if not constraints.ca:
        raise InvalidArgument("tls.crt is no CA's certificate: its basic constraints say CA:FALSE")
    if public_bytes(key.public_key()) != public_bytes(certificate.public_key()):
        raise InvalidArgument("tls.key is not the key of tls.crt")
    return CertificateAuthority(certificate, key, _pem(certificate), private_pem(key))


def requested_key(request_pem: str, dns_name: str) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    """The key that a PKCS#10 request is for, once it is proven to ask for nothing but ``dns_name``.

    InvalidArgument for what does not parse, a signature that is not its key's, a weak key, other names or extensions.
    """
    try:
        request = x509.load_pem_x509_csr(request_pem.encode("ascii", "replace"))
        is_signed = request.is_signature_valid
        key = request.public_key()
        extensions = list(request.extensions)
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.DuplicateExtension):
        raise InvalidArgument("the certificate request is no PEM PKCS#10 request") from None
    if not is_signed:
        raise InvalidArgument("the certificate request is not signed by the key it holds")
    _check_names(request.subject, extensions, dns_name)
    return _strong(key)


def sign(
    authority: CertificateAuthority,
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    dns_name: str,
    now: datetime.datetime,
    seconds: float,
) -> str:
    """A PEM certificate for ``key`` that names ``dns_name``, for servers and clients alike; never outlives its CA.

    InvalidArgument for what is no DNS name: in a certificate, ``*`` would be any name. FailedPrecondition once the CA ended.
    """
    if not _DNS.match(dns_name):
        raise InvalidArgument(f"{dns_name!r} is no DNS name that a certificate could carry")
    ends = min(now + datetime.timedelta(seconds=seconds), authority.ends)
    starts = max(now - BACKDATED, authority.certificate.not_valid_before_utc)
    if ends <= now:
        raise FailedPrecondition(f"the CA's certificate expired at {authority.ends:%Y-%m-%dT%H:%M:%SZ}; renew it")
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    certificate = (
        _builder(x509.Name([]), authority.certificate.subject, key, starts, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        # Critical, since the subject is empty (RFC 5280, 4.2.1.6).
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(dns_name)]), critical=True)
        .add_extension(identifier, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return _pem(certificate)


def new_key() -> ec.EllipticCurvePrivateKey:
    """An ECDSA P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    """``key`` as unencrypted PKCS#8."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def bundle(first: str, others: Iterable[str], now: datetime.datetime) -> str:
    """One PEM bundle: ``first``, then those certificates of ``others`` that are not expired, each once.

    What does not parse is left out: a bundle is repaired by being written anew.
    """
    kept = [first]
    for text in others:
        try:
            certificates = x509.load_pem_x509_certificates(text.encode())
        except ValueError:
            continue
        for certificate in certificates:
            if certificate.not_valid_after_utc > now and (one := _pem(certificate)) not in kept:
                kept.append(one)
    return "".join(kept)


def left(certificate_pem: str, authority: CertificateAuthority, now: datetime.datetime) -> float:
    """Seconds for which a certificate is still good; 0 for what is none, or is not of this CA."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
        certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return 0.0
    return max(0.0, (certificate.not_valid_after_utc - now).total_seconds())


def public_bytes(key: object) -> bytes:
    """A public key, for comparing."""
    assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _check_names(subject: x509.Name, extensions: list["x509.Extension[x509.ExtensionType]"], dns_name: str) -> None:
    asked = {str(attribute.value) for attribute in subject}
    for extension in extensions:
        if not isinstance(extension.value, x509.SubjectAlternativeName):
            what = extension.oid.dotted_string
            raise InvalidArgument(
                f"the certificate request asks for the extension {what}; only a name may be asked for"
            )
        asked |= {str(name.value) for name in extension.value}
    if asked - {dns_name}:
        others = ", ".join(sorted(asked - {dns_name}))[:200]
        raise InvalidArgument(f"the certificate request asks for {others}; only {dns_name} may be asked for")


def _strong(key: object) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    kind = "EC" if isinstance(key, ec.EllipticCurvePublicKey) else "RSA"
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise InvalidArgument("the certificate request's key is neither ECDSA nor RSA")
    if key.key_size < LEAST_BITS[kind]:
        raise InvalidArgument(
            f"the certificate request's {kind} key has {key.key_size} bits; at least {LEAST_BITS[kind]} are wanted"
        )
    return key


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    starts: datetime.datetime,
    ends: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts)
        .not_valid_after(ends)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()

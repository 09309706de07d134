"""What the CA signs, and what it refuses to."""

import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from driver.kube import certificates
from driver.model.errors import FailedPrecondition, InvalidArgument

NOW = datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
NAME = "a.node.holdall.csi.dev"
CA = certificates.make("holdall.csi.dev", NOW - DAY)
Asked = x509.ExtensionType


def request(key: Any, *extensions: Asked, subject: str = "", digest: hashes.HashAlgorithm | None = None) -> str:
    words = [x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)] if subject else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(words))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    chosen = None if isinstance(key, ed25519.Ed25519PrivateKey) else digest or hashes.SHA256()
    made = builder.sign(key, chosen)
    return made.public_bytes(serialization.Encoding.PEM).decode()


def names(*found: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.DNSName(name) for name in found])


def leaf(name: str = NAME, seconds: float = 86400.0) -> x509.Certificate:
    made = certificates.sign(CA, certificates.new_key().public_key(), name, NOW, seconds)
    return x509.load_pem_x509_certificate(made.encode())


def test_a_ca_lives_ten_years_and_signs_no_further_ca() -> None:
    """Its key is ECDSA P-256."""
    basic = CA.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    assert round((CA.ends - NOW).days / 365.25) == 10
    assert isinstance(CA.key, ec.EllipticCurvePrivateKey)
    assert CA.key.curve.name == "secp256r1"


def test_a_certificate_names_one_node_for_both_directions() -> None:
    """Server and client at once, a day from now, five minutes old when it is made; no CA."""
    found = leaf()
    assert found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == names(NAME)
    usages = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert {usage.dotted_string for usage in usages} == {"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"}
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert (found.not_valid_before_utc, found.not_valid_after_utc) == (NOW - certificates.BACKDATED, NOW + DAY)
    found.verify_directly_issued_by(CA.certificate)


def test_no_certificate_outlives_its_ca() -> None:
    """Nor is one made by a CA that ended."""
    assert leaf(seconds=1e9).not_valid_after_utc == CA.ends
    with pytest.raises(FailedPrecondition, match="expired at 2036"):
        certificates.sign(CA, certificates.new_key().public_key(), NAME, CA.ends, 1.0)


@pytest.mark.parametrize("name", ["*.node.x", "", "a b", "a..b", "-a.b", "a" * 254, "a\nb", "a-.b", "A.B", "*"])
def test_what_is_no_dns_name_is_not_certified(name: str) -> None:
    """Above all no wildcard: it would be every node at once."""
    with pytest.raises(InvalidArgument, match="is no DNS name"):
        leaf(name)


@pytest.mark.parametrize(
    "key",
    [certificates.new_key(), ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)],
    ids=["P-256", "P-384", "RSA 2048"],
)
def test_a_request_for_its_own_name_is_taken(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    """With the name asked for, or none: the controller knows it by itself."""
    for asked in (request(key, names(NAME)), request(key), request(key, subject=NAME)):
        found = certificates.requested_key(asked, NAME)
        assert certificates.public_bytes(found) == certificates.public_bytes(key.public_key())


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (request(certificates.new_key(), names("b.node.holdall.csi.dev")), "asks for b.node.holdall.csi.dev; only"),
        (request(certificates.new_key(), names(NAME, "controller.holdall.csi.dev")), "asks for controller"),
        (request(certificates.new_key(), names("*.node.holdall.csi.dev")), r"asks for \*\.node"),
        (request(certificates.new_key(), subject="controller.holdall.csi.dev"), "asks for controller"),
        (
            request(certificates.new_key(), x509.BasicConstraints(ca=True, path_length=None)),
            r"asks for the extension 2\.5\.29\.19",
        ),
        (request(ec.generate_private_key(ec.SECP224R1())), "EC key has 224 bits; at least 256"),
        (request(rsa.generate_private_key(65537, 1024)), "RSA key has 1024 bits; at least 2048"),
        (request(ed25519.Ed25519PrivateKey.generate()), "neither ECDSA nor RSA"),
        ("", "no PEM PKCS#10 request"),
        ("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "no PEM PKCS#10 request"),
        (CA.certificate_pem, "no PEM PKCS#10 request"),
        ("ü", "no PEM PKCS#10 request"),
    ],
)
def test_a_request_for_anything_else_is_refused(asked: str, words: str) -> None:
    """Other names, other powers, weak keys, no request at all."""
    with pytest.raises(InvalidArgument, match=words):
        certificates.requested_key(asked, NAME)


def test_a_request_that_its_key_did_not_sign_is_refused() -> None:
    """Else somebody could have another's key certified under his own name."""
    text = request(certificates.new_key(), names(NAME))
    raw = bytearray(x509.load_pem_x509_csr(text.encode()).public_bytes(serialization.Encoding.DER))
    raw[60] ^= 1
    try:
        broken = x509.load_der_x509_csr(bytes(raw)).public_bytes(serialization.Encoding.PEM).decode()
    except ValueError:
        pytest.fail("the byte changed is not one of the key")
    with pytest.raises(InvalidArgument, match=r"is not signed by the key it holds|no PEM PKCS#10"):
        certificates.requested_key(broken, NAME)


def test_a_bundle_leaves_out_what_ended_what_is_double_and_what_is_rubbish() -> None:
    """The CA of today comes first."""
    old = certificates.make("old", NOW - certificates.YEARS - DAY)
    other = certificates.make("other", NOW - DAY)
    found = certificates.bundle(
        CA.certificate_pem, [other.certificate_pem + CA.certificate_pem, old.certificate_pem, "rubbish", ""], NOW
    )
    assert found == CA.certificate_pem + other.certificate_pem


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        (CA.certificate_pem, certificates.make("b", NOW).key_pem, "tls.key is not the key of tls.crt"),
        ("", CA.key_pem, "not a PEM certificate"),
        (CA.certificate_pem, "", "not a PEM certificate and its unencrypted PEM key"),
        (CA.certificate_pem, CA.certificate_pem, "unencrypted PEM key"),
        (
            certificates.sign(CA, certificates.new_key().public_key(), NAME, NOW, 60.0),
            CA.key_pem,
            "basic constraints say CA:FALSE",
        ),
    ],
)
def test_a_secret_that_holds_no_ca_is_refused_without_quoting_it(certificate: str, key: str, words: str) -> None:
    """The sentence says what is wrong with it."""
    with pytest.raises(InvalidArgument, match=words) as refused:
        certificates.load(certificate.encode(), key.encode())
    assert "BEGIN" not in refused.value.message


def test_a_ca_reads_back_as_it_was_written() -> None:
    """What a Secret keeps is all there is."""
    again = certificates.load(CA.certificate_pem.encode(), CA.key_pem.encode())
    assert (again.certificate, again.certificate_pem) == (CA.certificate, CA.certificate_pem)

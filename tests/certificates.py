"""Real certificates of a CA of a test's own, laid out as both sides of a TLS port want them."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from driver.kube import certificates
from driver.model.identity import controller_name, node_name
from driver.rpc import tls

DRIVER = "holdall.csi.dev"
CONTROLLER = controller_name(DRIVER)


class Authority:
    """One CA; what it signs lies in directories below ``root``. Implements the Enrolment service's Authority."""

    def __init__(self, root: Path, name: str = "the CA") -> None:
        self.root = root
        self.ca = certificates.make(name, now())

    @property
    def pem(self) -> str:
        return self.ca.certificate_pem

    def material(self, directory: str, name: str, *, ended: bool = False, bundle: str = "") -> tls.Material:
        """``directory`` holds a new certificate for ``name``, written over what was there as a renewal does."""
        key = certificates.new_key()
        lived = datetime.timedelta(minutes=2) if ended else datetime.timedelta()
        made = certificates.sign(self.ca, key.public_key(), name, now() - lived, 60.0 if ended else 3600.0)
        place = self.root / directory
        place.mkdir(exist_ok=True)
        for file, text in (
            ("tls.key", certificates.private_pem(key)),
            ("tls.crt", made),
            ("ca.crt", bundle or self.pem),
        ):
            (place / f"{file}.new").write_text(text)
            (place / f"{file}.new").rename(place / file)
        return tls.Material(place)

    def node(self, name: str) -> tls.Material:
        """What node ``name`` serves with."""
        return self.material(name, node_name(name, DRIVER))

    def controller(self, directory: str = "controller") -> tls.Material:
        return self.material(directory, CONTROLLER)

    async def sign(self, request_pem: str, dns_name: str, seconds: float) -> tuple[str, str]:
        key = certificates.requested_key(request_pem, dns_name)
        return certificates.sign(self.ca, key, dns_name, now(), seconds), self.pem


def expected_node(name: str, material: tls.Source) -> tls.Expected:
    """What the controller that has ``material`` wants of node ``name``."""
    return tls.Expected(node_name(name, DRIVER), material)


def intermediate(root: certificates.CertificateAuthority) -> certificates.CertificateAuthority:
    """A CA that ``root`` signed."""
    return somebodys(datetime.timedelta(days=30), root)


def somebodys(
    lives: datetime.timedelta,
    root: certificates.CertificateAuthority | None = None,
    at: datetime.datetime | None = None,
) -> certificates.CertificateAuthority:
    """A CA as cert-manager makes them: signed by itself, or by ``root``; good from an hour before ``at`` (now)."""
    key, at = certificates.new_key(), at or now()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, DRIVER)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(root.certificate.subject if root else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - datetime.timedelta(hours=1))
        .not_valid_after(at + lives)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(root.key if root else key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    return certificates.load(pem, certificates.private_pem(key).encode())


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)

"""The CA over its life: made once, published, replaced; and this controller's own certificate."""

import asyncio
import base64
import datetime
from pathlib import Path

import pytest
from cryptography import x509

from driver.kube import authority as module
from driver.kube import certificates
from driver.kube.authority import Authority
from driver.kube.core import encoded
from driver.model.errors import FailedPrecondition, InvalidArgument, Unavailable
from tests.certificates import somebodys

from .objects import Memory
from .test_certificates import NAME, names, request

DRIVER = "holdall.csi.dev"
SECRET, BUNDLE = ("secrets", "holdall-ca"), ("configmaps", "holdall-ca")


class Clock:
    def __init__(self) -> None:
        self.now = datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.UTC)

    def __call__(self) -> datetime.datetime:
        return self.now

    def go_on(self, **by: float) -> None:
        self.now += datetime.timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def authority(memory: Memory, clock: Clock, tmp_path: Path) -> Authority:
    return made(memory, clock, tmp_path / "tls")


def made(memory: Memory, clock: Clock, directory: Path) -> Authority:
    return Authority(memory, "holdall-ca", "holdall-ca", DRIVER, directory, clock)


def secret(memory: Memory) -> str:
    """The PEM of the CA that the Secret has."""
    return base64.b64decode(memory.kept[SECRET]["data"]["tls.crt"]).decode()


def bundle(memory: Memory) -> str:
    text: str = memory.kept[BUNDLE]["data"]["ca.crt"]
    return text


def put(memory: Memory, ca: certificates.CertificateAuthority) -> None:
    """As cert-manager writes it."""
    data = {"tls.crt": encoded(ca.certificate_pem), "tls.key": encoded(ca.key_pem), "ca.crt": encoded("")}
    memory._keep("secrets", {"type": "kubernetes.io/tls", "data": data, "metadata": {"name": "holdall-ca"}})


def shown(authority: Authority) -> x509.Certificate:
    return x509.load_pem_x509_certificate((authority.directory / "tls.crt").read_bytes())


async def signed(authority: Authority) -> x509.Certificate:
    asked = request(certificates.new_key(), names(NAME))
    return x509.load_pem_x509_certificate((await authority.sign(asked, NAME, 3600.0))[0].encode())


def issued(certificate: x509.Certificate, ca: str) -> bool:
    return (
        certificates.left(
            certificate.public_bytes(certificates.serialization.Encoding.PEM).decode(),
            certificates.CertificateAuthority(
                x509.load_pem_x509_certificate(ca.encode()), certificates.new_key(), ca, ""
            ),
            certificate.not_valid_before_utc,
        )
        > 0
    )


async def test_the_first_controller_makes_the_ca(authority: Authority, memory: Memory) -> None:
    """Secret, ConfigMap and the controller's own certificate, which names the controller."""
    await authority.refresh()
    assert memory.kept[SECRET]["type"] == "kubernetes.io/tls"
    assert bundle(memory) == secret(memory) == (authority.directory / "ca.crt").read_text()
    found = shown(authority)
    assert found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == names(f"controller.{DRIVER}")
    assert issued(found, secret(memory))
    assert {oct(path.stat().st_mode & 0o777) for path in authority.directory.iterdir()} == {"0o600"}


async def test_controllers_that_start_at_once_have_one_ca(memory: Memory, clock: Clock, tmp_path: Path) -> None:
    """Whose Secret was first is whose CA it is."""
    both = [made(memory, clock, tmp_path / name) for name in "ab"]
    await asyncio.gather(*(one.refresh() for one in both))
    assert all(issued(shown(one), secret(memory)) for one in both)
    assert bundle(memory) == secret(memory)


async def test_a_second_look_changes_nothing(authority: Authority, memory: Memory) -> None:
    """No version moves, and the certificate stays."""
    await authority.refresh()
    before, certificate = dict(memory.kept), shown(authority)
    await authority.refresh()
    assert (memory.kept, shown(authority)) == (before, certificate)


async def test_our_certificate_is_renewed_with_a_third_of_its_life_left(authority: Authority, clock: Clock) -> None:
    """Sixteen hours of twenty-four."""
    await authority.refresh()
    first = shown(authority)
    clock.go_on(hours=15.9)
    await authority.refresh()
    assert shown(authority) == first
    clock.go_on(hours=0.2)
    await authority.refresh()
    assert shown(authority) != first


async def test_a_ca_of_somebody_elses_is_taken(authority: Authority, memory: Memory, clock: Clock) -> None:
    """cert-manager's, by the same names; nothing is written into its Secret, even when it is about to end."""
    put(memory, somebodys(datetime.timedelta(days=2), at=clock.now))
    before = memory.kept[SECRET]
    await authority.refresh()
    assert memory.kept[SECRET] is before
    assert issued(await signed(authority), secret(memory))


async def test_a_secret_that_becomes_somebody_elses_is_left_to_them(
    authority: Authority, memory: Memory, clock: Clock
) -> None:
    """cert-manager takes over what we made, at the same name; renewals of a few weeks are no reason to take it back."""
    await authority.refresh()
    for _ in range(3):
        put(memory, somebodys(datetime.timedelta(days=60), at=clock.now))
        theirs = memory.kept[SECRET]
        await authority.refresh()
        clock.go_on(days=40)
        await authority.refresh()
        assert memory.kept[SECRET] is theirs
        assert issued(shown(authority), secret(memory))


async def test_an_empty_secret_is_filled(authority: Authority, memory: Memory) -> None:
    """One that a chart made, so that nobody needs the right to create Secrets."""
    memory._keep(
        "secrets",
        {"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}, "metadata": {"name": "holdall-ca"}},
    )
    await authority.refresh()
    assert issued(shown(authority), secret(memory))


@pytest.mark.parametrize("data", [{"tls.crt": "AAAA", "tls.key": "AAAA"}, {"tls.crt": "?"}, {"tls.key": encoded("k")}])
async def test_a_secret_that_holds_no_ca_is_left_alone(
    data: dict[str, str], authority: Authority, memory: Memory
) -> None:
    """Named, with what is wrong; and a CA that was known before goes on signing."""
    await authority.refresh()
    memory._keep("secrets", {"data": data, "metadata": {"name": "holdall-ca"}})
    with pytest.raises(FailedPrecondition, match="Secret holdall/holdall-ca holds no CA"):
        await authority.refresh()
    assert memory.kept[SECRET]["data"] == data
    assert issued(await signed(authority), bundle(memory))


async def test_a_new_ca_is_trusted_before_it_signs(authority: Authority, memory: Memory, clock: Clock) -> None:
    """At first the bundle has both and the old one signs; once every node must have the bundle, the new one does."""
    await authority.refresh()
    old = secret(memory)
    clock.go_on(hours=1)
    put(memory, certificates.make("new", clock.now))
    new = secret(memory)
    await authority.refresh()
    assert bundle(memory) == new + old == (authority.directory / "ca.crt").read_text()
    assert issued(shown(authority), old)
    assert issued(await signed(authority), old)
    clock.go_on(seconds=module.SETTLE)
    await authority.refresh()
    assert issued(shown(authority), new)
    assert issued(await signed(authority), new)
    assert bundle(memory) == new + old


async def test_a_ca_whose_bundle_cannot_be_published_signs_nothing(
    authority: Authority, memory: Memory, clock: Clock
) -> None:
    """The time that a bundle takes to the nodes begins when it is there to be had."""
    await authority.refresh()
    old = secret(memory)
    put(memory, somebodys(datetime.timedelta(days=60), at=clock.now))
    memory.locked.add("configmaps")
    for _ in range(3):
        with pytest.raises(Unavailable):
            await authority.refresh()
        assert issued(await signed(authority), old)
        clock.go_on(seconds=module.SETTLE)
    memory.locked.clear()
    await authority.refresh()
    assert issued(await signed(authority), old)
    clock.go_on(seconds=module.SETTLE)
    await authority.refresh()
    assert issued(await signed(authority), secret(memory))


async def test_an_old_ca_leaves_the_bundle_when_it_ended_or_is_taken_out(
    authority: Authority, memory: Memory, clock: Clock
) -> None:
    """By its own date; or by deleting the ConfigMap, which is made anew with what signs now."""
    put(memory, somebodys(datetime.timedelta(hours=2), at=clock.now))
    await authority.refresh()
    put(memory, certificates.make("new", clock.now))
    await authority.refresh()
    assert bundle(memory).count("BEGIN") == 2
    clock.go_on(hours=3)
    await authority.refresh()
    assert bundle(memory) == secret(memory)
    put(memory, certificates.make("newest", clock.now))
    await authority.refresh()
    clock.go_on(seconds=module.SETTLE)
    await authority.refresh()
    del memory.kept[BUNDLE]
    await authority.refresh()
    assert bundle(memory) == secret(memory)


async def test_a_deleted_secret_means_a_new_ca(authority: Authority, memory: Memory) -> None:
    """The way to replace it: what the old one signed is good all the same."""
    await authority.refresh()
    old = secret(memory)
    del memory.kept[SECRET]
    await authority.refresh()
    assert secret(memory) != old
    assert bundle(memory) == secret(memory) + old


async def test_a_ca_of_ours_is_replaced_a_year_before_it_ends(
    authority: Authority, memory: Memory, clock: Clock, tmp_path: Path
) -> None:
    """By one of the controllers; the other takes that one."""
    other = made(memory, clock, tmp_path / "other")
    await authority.refresh()
    await other.refresh()
    old = secret(memory)
    clock.go_on(days=365.25 * 9 + 10)
    begun_now = made(memory, clock, tmp_path / "begun now")
    await asyncio.gather(begun_now.refresh(), authority.refresh(), other.refresh())
    assert secret(memory) != old
    assert bundle(memory) == secret(memory) + old
    assert all(issued(shown(one), old) for one in (authority, other))


async def test_nothing_is_signed_before_there_is_a_ca(authority: Authority) -> None:
    """A node tries again."""
    with pytest.raises(Unavailable, match="no certificate authority yet"):
        await authority.sign("", NAME, 60.0)


async def test_a_wrong_request_is_refused(authority: Authority) -> None:
    """What may be asked for is decided beside the key that signs."""
    await authority.refresh()
    with pytest.raises(InvalidArgument, match=r"only a\.node\.holdall\.csi\.dev may be asked for"):
        await authority.sign(request(certificates.new_key(), names("b")), NAME, 60.0)

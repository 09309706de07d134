"""Keys and requests by openssl(1), read by another implementation, and what it says of certificates."""

import stat
import time
from pathlib import Path

import pytest

from driver.host import keys
from driver.kube import certificates
from driver.model.errors import HostFailed
from tests.certificates import Authority, intermediate

NAME = "node-1.example.org.node.holdall.csi.dev"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_a_key_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    """And is another one each time."""
    path = tmp_path / "tls.key"
    keys.make_key(str(path))
    first = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keys.make_key(str(path))
    assert path.read_text() != first
    assert list(tmp_path.iterdir()) == [path]


def test_a_request_asks_for_the_name_and_nothing_else(tmp_path: Path) -> None:
    """It is signed by its key, and strong enough: the authority takes it."""
    keys.make_key(f"{tmp_path}/tls.key")
    asked = keys.request(f"{tmp_path}/tls.key", NAME)
    assert certificates.requested_key(asked, NAME).key_size == 256


@pytest.mark.parametrize("name", ["", "a\nb", "a,DNS:b", "*.x", "a b", "x" * 254])
def test_no_name_becomes_configuration(name: str, tmp_path: Path) -> None:
    """openssl reads the name from a file of settings: what could be more than a name is refused."""
    keys.make_key(f"{tmp_path}/tls.key")
    with pytest.raises(HostFailed, match="it is no DNS name"):
        keys.request(f"{tmp_path}/tls.key", name)


def test_a_certificate_says_its_names_and_its_time(authority: Authority) -> None:
    """In Unix seconds, to the second."""
    material = authority.material("a", NAME)
    found = keys.certificate(f"{material.directory}/tls.crt")
    assert found.names == (NAME,)
    assert abs(found.ends - (time.time() + 3600)) < 5
    # Never before its CA's own beginning.
    assert abs(found.starts - (time.time() - 300)) < 5


def test_a_good_certificate_has_nothing_against_it(authority: Authority) -> None:
    """Of a CA in the bundle, with our name, not expired."""
    material = authority.material("a", NAME)
    assert keys.why_not(f"{material.directory}/tls.crt", f"{material.directory}/ca.crt", NAME) == ""


def test_a_certificate_that_is_no_good_has_a_reason(authority: Authority, tmp_path: Path) -> None:
    """In openssl's words: another CA, another name, expired, none at all."""
    other = Authority(tmp_path, "the CA").node("other")
    material = authority.material("a", NAME)
    ended = authority.material("ended", NAME, ended=True)
    crt, ca = f"{material.directory}/tls.crt", f"{material.directory}/ca.crt"
    assert keys.why_not(crt, f"{other.directory}/ca.crt", NAME) == "unable to get local issuer certificate"
    assert keys.why_not(crt, ca, "b.node.holdall.csi.dev") == "hostname mismatch"
    assert keys.why_not(f"{ended.directory}/tls.crt", ca, NAME) == "certificate has expired"
    assert "Could not" in keys.why_not(f"{tmp_path}/none", ca, NAME)


def test_an_intermediate_that_is_trusted_needs_no_root(tmp_path: Path) -> None:
    """cert-manager's CA may be another CA's: the bundle holds the one that signs, and no more is trusted."""
    authority = Authority(tmp_path)
    authority.ca = intermediate(authority.ca)
    material = authority.material("a", NAME)
    assert keys.why_not(f"{material.directory}/tls.crt", f"{material.directory}/ca.crt", NAME) == ""

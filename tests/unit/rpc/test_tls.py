"""Credentials on disk: what is taken, what is left, when they count as changed."""

import os
from pathlib import Path

import pytest

from driver.model import errors
from driver.rpc import tls
from driver.rpc.client import Client
from driver.rpc.readiness import Readiness
from driver.rpc.server import Server
from driver.telemetry.metrics import Metrics
from tests.certificates import CONTROLLER, Authority, expected_node


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_material_is_a_certificate_its_key_and_a_bundle(authority: Authority) -> None:
    """As they stand in the files."""
    material = authority.node("a")
    found = material.read()
    assert found.bundle.decode() == authority.pem
    assert b"CERTIFICATE" in found.certificate
    assert b"PRIVATE KEY" in found.key


def test_a_new_certificate_is_another_version(authority: Authority) -> None:
    """A rename is seen by the inode, whatever the clock says."""
    material = authority.node("a")
    before = material.version()
    assert material.version() == before
    authority.node("a")
    assert material.version() != before


def test_a_key_of_another_certificate_is_not_taken(authority: Authority) -> None:
    """Between the two renames of a renewal, key and certificate do not belong together."""
    material, other = authority.node("a"), authority.node("b")
    os.replace(other.directory / "tls.key", material.directory / "tls.key")
    with pytest.raises(errors.FailedPrecondition, match="holds no certificate with its key"):
        material.read()


@pytest.mark.parametrize("name", ["tls.crt", "tls.key", "ca.crt"])
@pytest.mark.parametrize("content", [b"", b"no PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused_naming_the_directory(
    name: str, content: bytes, authority: Authority
) -> None:
    """And what the file holds is not quoted: it may be half a key."""
    material = authority.node("a")
    (material.directory / name).write_bytes(content)
    with pytest.raises(errors.FailedPrecondition) as refused:
        material.read()
    assert str(material.directory) in refused.value.message
    assert "AAAA" not in refused.value.message


def test_a_missing_file_is_named(authority: Authority) -> None:
    """Not there yet, or mounted wrongly."""
    material = authority.node("a")
    (material.directory / "ca.crt").unlink()
    with pytest.raises(errors.HostFailed, match="No such file"):
        material.read()


def test_a_bundle_has_each_ca_once(authority: Authority, tmp_path: Path) -> None:
    """However often and in whatever company it was mounted and told."""
    other = Authority(tmp_path, "another")
    joined = tls.together(f"# first\n{authority.pem}".encode(), f"{other.pem}\n\n{authority.pem}".encode())
    assert joined.decode() == authority.pem + other.pem


def test_a_port_without_certificates_is_neither_served_nor_called(authority: Authority) -> None:
    """Nothing goes over TCP in plain, whoever wires it."""
    server = Server(Metrics(), Readiness())
    with pytest.raises(errors.InvalidArgument, match="nothing goes over TCP in plain"):
        server.add("tcp://127.0.0.1:9808", ())
    with pytest.raises(errors.InvalidArgument, match="nothing goes over TCP in plain"):
        Client("tcp://127.0.0.1:9808")


async def test_a_client_without_a_certificate_yet_says_so(tmp_path: Path) -> None:
    """Unavailable: the call is worth another try."""
    expected = expected_node("a", tls.Material(tmp_path / "none"))
    async with Client("tcp://127.0.0.1:9808", "node a", expected) as client:
        with pytest.raises(errors.Unavailable, match="node a cannot be called yet"):
            assert client.identity


def test_no_node_can_be_named_so_that_it_is_a_controller(authority: Authority) -> None:
    """The names differ in a label that no node's name can take away."""
    for name in ("controller", "", "x.controller", CONTROLLER):
        assert expected_node(name, authority.node("a")).name != CONTROLLER

"""Endpoints: sockets and ports, read once, as both sides and gRPC name them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver.model import errors
from driver.rpc import endpoints
from driver.rpc.endpoints import Tcp, Unix


@pytest.mark.parametrize(
    ("text", "wanted", "target"),
    [
        ("unix:///run/x.sock", Unix("/run/x.sock"), "unix:/run/x.sock"),
        ("/run/x.sock", Unix("/run/x.sock"), "unix:/run/x.sock"),
        ("tcp://10.0.0.1:9808", Tcp("10.0.0.1", 9808), "ipv4:10.0.0.1:9808"),
        ("tcp://0.0.0.0:1", Tcp("0.0.0.0", 1), "ipv4:0.0.0.0:1"),
        ("tcp://[fd00::1]:9808", Tcp("fd00::1", 9808), "ipv6:[fd00::1]:9808"),
        ("tcp://[::]:65535", Tcp("::", 65535), "ipv6:[::]:65535"),
        ("tcp://:9808", Tcp("::", 9808), "ipv6:[::]:9808"),
        ("tcp://a.b.svc:9808", Tcp("a.b.svc", 9808), "dns:///a.b.svc:9808"),
        ("tcp://node-1:9808", Tcp("node-1", 9808), "dns:///node-1:9808"),
    ],
)
def test_an_endpoint_is_a_socket_or_a_port(text: str, wanted: endpoints.Endpoint, target: str) -> None:
    """Unix sockets, IPv4, IPv6 in brackets, names; as gRPC's naming document writes them."""
    assert endpoints.parse(text) == wanted
    assert wanted.target == target


@pytest.mark.parametrize("text", ["tcp://10.0.0.1:9808", "tcp://[fd00::1]:1", "tcp://a.b:2", "unix:///run/x.sock"])
def test_an_endpoint_reads_back_as_it_was_written(text: str) -> None:
    """One form, in the ready line and in errors."""
    assert str(endpoints.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "tcp://",
        "tcp://a",
        "tcp://a:",
        "tcp://a:0",
        "tcp://a:65536",
        "tcp://a:-1",
        "tcp://a:٣",
        "tcp://fd00::1:9808",
        "tcp://[fd00::1]",
        "tcp://[a]:1",
        "tcp://[fd00::1]x:1",
        "tcp://1.2.3:1",
        "tcp://1.2.3.256:1",
        "tcp://a b:1",
        "tcp://a/b:1",
        "tcp://user@a:1",
        "tcp://-a:1",
        "tcp://a,b:1",
        f"tcp://{'a' * 254}:1",
    ],
)
def test_what_is_no_port_of_a_host_is_refused(text: str) -> None:
    """The error quotes what was given."""
    with pytest.raises(errors.InvalidArgument) as refused:
        endpoints.parse(text)
    assert text.removeprefix("tcp://") in refused.value.message


@pytest.mark.parametrize("text", ["http://a:1", "a:1", "", "dns:///a:1"])
def test_another_scheme_is_refused(text: str) -> None:
    """Only these two are ever served or called."""
    with pytest.raises(errors.InvalidArgument, match=r"unix:///PATH\.sock"):
        endpoints.parse(text)


@given(st.text(alphabet=st.sampled_from("tcpunix:/[]ab01.-_ \0ü%"), max_size=30).map(lambda text: f"tcp://{text}"))
def test_whatever_is_taken_means_the_same_once_written(text: str) -> None:
    """Either it is refused, or there is one form of it, and gRPC gets no more than host and port."""
    try:
        found = endpoints.parse(text)
    except errors.InvalidArgument:
        return
    assert endpoints.parse(str(found)) == found
    assert not set(found.target.partition(":")[2]) & set(" %\0")

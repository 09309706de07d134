"""The name server of the test cluster, without a network."""

import struct

import pytest

from tests.e2e.cluster.dns import Names, answer

A, AAAA = 1, 28


class Known(Names):
    """Knows one Service, and one that the API was away for."""

    def __init__(self) -> None:
        pass

    def addresses(self, name: str) -> list[str] | None:
        if name.startswith("lost."):
            raise OSError("no API")
        return ["10.96.1.2"] if name == "holdall.system.svc.cluster.local" else None


def asked(name: str, kind: int = A) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def code_and_records(response: bytes) -> tuple[int, int]:
    _, flags, _, records, _, _ = struct.unpack("!HHHHHH", response[:12])
    return flags & 0xF, records


def test_a_service_has_its_address_whatever_the_case() -> None:
    """RFC 4343: names are compared without regard to case."""
    response = answer(asked("Holdall.system.svc.cluster.local"), Known())
    assert code_and_records(response) == (0, 1)
    assert response.endswith(bytes([10, 96, 1, 2]))


def test_a_name_that_exists_has_no_records_of_another_kind_and_no_error() -> None:
    """RFC 2308 section 2.2: NXDOMAIN for AAAA would make resolvers forget the A record as well."""
    assert code_and_records(answer(asked("holdall.system.svc.cluster.local", AAAA), Known())) == (0, 0)


def test_an_unknown_name_does_not_exist() -> None:
    """So that a resolver goes on along its search list."""
    assert code_and_records(answer(asked("holdall.system.svc.other"), Known())) == (3, 0)


def test_without_the_api_the_server_failed() -> None:
    """SERVFAIL is tried again; NXDOMAIN would be believed."""
    assert code_and_records(answer(asked("lost.system.svc.cluster.local"), Known())) == (2, 0)


@pytest.mark.parametrize("query", [b"", asked("holdall.system.svc")[:20], b"\0" * 12 + b"\x3f" * 9])
def test_what_is_no_query_is_refused(query: bytes) -> None:
    """Instead of an exception from somewhere in the reading."""
    with pytest.raises(ValueError, match="DNS"):
        answer(query, Known())

"""Domain errors as gRPC statuses, and back."""

import grpc
import pytest

from driver.model import errors
from driver.rpc import status

Code = grpc.StatusCode

REFUSED = {Code.UNAUTHENTICATED, Code.PERMISSION_DENIED}


def every_error() -> list[type[errors.DomainError]]:
    found, waiting = [], [errors.DomainError]
    while waiting:
        cls = waiting.pop()
        found.append(cls)
        waiting += cls.__subclasses__()
    return found


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidArgument, Code.INVALID_ARGUMENT),
        (errors.NotFound, Code.NOT_FOUND),
        (errors.AlreadyExists, Code.ALREADY_EXISTS),
        (errors.FailedPrecondition, Code.FAILED_PRECONDITION),
        (errors.InUse, Code.FAILED_PRECONDITION),
        (errors.NewerSchema, Code.FAILED_PRECONDITION),
        (errors.OutOfRange, Code.OUT_OF_RANGE),
        (errors.NoSpace, Code.RESOURCE_EXHAUSTED),
        (errors.LimitReached, Code.RESOURCE_EXHAUSTED),
        (errors.Unplaceable, Code.RESOURCE_EXHAUSTED),
        (errors.Busy, Code.ABORTED),
        (errors.StaleToken, Code.ABORTED),
        (errors.Unavailable, Code.UNAVAILABLE),
        (errors.Unsupported, Code.UNIMPLEMENTED),
        (errors.Unauthenticated, Code.UNAUTHENTICATED),
        (errors.Forbidden, Code.PERMISSION_DENIED),
        (errors.HostFailed, Code.INTERNAL),
        (errors.DataDamaged, Code.DATA_LOSS),
    ],
)
def test_each_error_has_the_code_csi_gives_it(error: type[errors.DomainError], code: grpc.StatusCode) -> None:
    """CSI "Error Scheme"."""
    assert status.code_of(error("x")) is code


def test_a_subclass_nobody_listed_has_its_parents_code() -> None:
    """The table is walked along the ancestry: a new kind of refusal never falls to INTERNAL by being forgotten."""

    class Frozen(errors.InUse):
        """A further kind."""

    assert status.code_of(Frozen("x")) is Code.FAILED_PRECONDITION


@pytest.mark.parametrize("error", every_error(), ids=lambda one: one.__name__)
def test_a_message_is_never_empty(error: type[errors.DomainError]) -> None:
    """CSI: the status message MUST NOT be empty."""
    refusal = error.__new__(error)
    refusal.message = ""
    assert status.message_of(refusal) != ""


@pytest.mark.parametrize("text", ["x" * 100_000, "ü" * 100_000, "🦔" * 100_000, "\udcff" * 5000, "a\nb\0c"])
def test_a_message_is_bounded_and_valid_text(text: str) -> None:
    """It travels percent-encoded in a trailer of at most 8 KiB."""
    message = status.message_of(errors.NotFound(text))
    assert 1 <= len(message.encode("utf-8")) <= status.MAX_MESSAGE


def test_a_short_message_is_passed_on_whole() -> None:
    assert status.message_of(errors.NotFound("Volume „ü“ fehlt")) == "Volume „ü“ fehlt"


@pytest.mark.parametrize(
    "code", [Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.UNKNOWN, Code.PERMISSION_DENIED]
)
def test_no_answer_from_a_node_is_unavailable_and_names_it(code: grpc.StatusCode) -> None:
    """A lost node is UNAVAILABLE with its name, whatever the transport calls it."""
    error = status.error_of(code, "socket closed", peer="node a")
    assert type(error) is errors.Unavailable
    assert "node a" in error.message
    assert "socket closed" in error.message


def test_a_node_that_refuses_us_said_nothing_of_the_volume() -> None:
    """To a provisioner PERMISSION_DENIED is final: it would take a volume that may exist for one that does not."""
    for code in REFUSED:
        error = status.error_of(code, "who are you", peer="node a")
        assert (type(error), error.message) == (errors.Unavailable, "node a refused us: who are you")


@pytest.mark.parametrize(
    "code", sorted(set(status.CODES.values()) - {Code.UNAVAILABLE} - REFUSED, key=lambda one: one.name)
)
def test_what_a_node_answered_keeps_its_code_and_words(code: grpc.StatusCode) -> None:
    """A router repeats what the node said."""
    error = status.error_of(code, "why", peer="node a")
    assert (status.code_of(error), error.message) == (code, "why")

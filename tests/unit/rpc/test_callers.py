"""Who may call on a port, and what is said of others."""

from typing import Any

import pytest

from driver.model import errors
from driver.rpc.callers import QUIET, Callers

from .conftest import Log


class Call:
    """What a caller's certificate says: DNS names, and a URI."""

    def __init__(self, *names: str, uri: str = "") -> None:
        self._names = [name.encode() for name in names]
        self._uris = [uri.encode()] if uri else []

    def auth_context(self) -> dict[str, list[bytes]]:
        every = self._names + self._uris
        return {"x509_subject_alternative_name": every, "peer_dns": self._names} if every else {}

    def peer(self) -> str:
        return "ipv4:10.0.0.9:1"


def call(*names: str, uri: str = "") -> Any:
    return Call(*names, uri=uri)


def test_one_of_the_callers_names_has_to_be_the_expected_one() -> None:
    """DNS names know no case."""
    Callers("controller.x").check(call("other", "Controller.X"))


def test_another_name_is_forbidden_and_both_are_logged(log: Log) -> None:
    """Nearly the name is not the name."""
    for name in ("a.node.x", "*.x", "controller.x.evil", "xcontroller.x", ""):
        with pytest.raises(errors.Forbidden, match=r"only controller\.x may call here"):
            Callers("controller.x").check(call(name))
    line = log.of("caller refused")[0]
    assert (line["level"], line["wanted"], line["names"], line["peer"]) == (
        "warning",
        "controller.x",
        ["a.node.x"],
        "ipv4:10.0.0.9:1",
    )


def test_a_name_of_another_kind_is_none() -> None:
    """A URI or address that reads like the name was given out by other rules."""
    with pytest.raises(errors.Forbidden, match="not controller"):
        Callers("controller.x").check(call(uri="controller.x"))


def test_no_certificate_proves_nothing() -> None:
    """Unauthenticated, should a port ever be served without asking for one."""
    with pytest.raises(errors.Unauthenticated, match="has no certificate"):
        Callers("controller.x").check(call())


def test_a_caller_that_insists_does_not_fill_the_log(log: Log) -> None:
    """A line in ten seconds, which says how many it stands for."""
    now = 0.0
    callers = Callers("controller.x", lambda: now)
    for _ in range(5):
        with pytest.raises(errors.Forbidden):
            callers.check(call("a"))
    now = QUIET
    with pytest.raises(errors.Forbidden):
        callers.check(call("a"))
    assert [line["others_since_the_last_line"] for line in log.of("caller refused")] == [0, 4]

"""Whose a token is, by what the API server says of it (tests/kube asks a real one)."""

from typing import Any

import pytest

from driver.kube.core import Object
from driver.kube.tokens import NODE, POD, Tokens
from driver.model.errors import Forbidden, Unauthenticated
from driver.model.identity import NodeIdentity

DRIVER = "holdall.csi.dev"
ACCOUNT = "system:serviceaccount:holdall:holdall-node"


class Said:
    """One answer, to whatever token."""

    def __init__(self, **status: Any) -> None:
        self._status = status

    async def review(self, token: str, audience: str) -> Object:
        return self._status


def user(name: str = ACCOUNT, **extra: list[str]) -> dict[str, Any]:
    return {"username": name, "extra": {NODE: extra.get("node", ["a"]), POD: extra.get("pod", ["holdall-node-x"])}}


def tokens(**status: Any) -> Tokens:
    return Tokens(Said(**status), DRIVER, "holdall", "holdall-node")


async def test_a_nodes_token_says_its_node_and_pod() -> None:
    """Of the right account, for this driver."""
    found = await tokens(authenticated=True, audiences=[DRIVER], user=user()).verify("t")
    assert found == NodeIdentity("a", "holdall-node-x")


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"authenticated": False, "error": "token has expired"},
        {"authenticated": True, "user": user()},
        {"authenticated": True, "audiences": [], "user": user()},
        {"authenticated": True, "audiences": ["another"], "user": user()},
    ],
)
async def test_a_token_that_is_not_good_for_us_proves_nothing(status: dict[str, Any]) -> None:
    """Expired, foreign, or reviewed by a server that knows no audiences."""
    with pytest.raises(Unauthenticated, match=r"not valid for audience holdall\.csi\.dev"):
        await tokens(**status).verify("t")


async def test_the_token_is_not_in_the_refusal() -> None:
    """Should the API server ever quote it."""
    with pytest.raises(Unauthenticated) as refused:
        await tokens(error="bad token abc.def.ghi").verify("abc.def.ghi")
    assert "abc.def.ghi" not in refused.value.message


@pytest.mark.parametrize(
    "name", ["system:serviceaccount:other:holdall-node", "system:serviceaccount:holdall:other", "a"]
)
async def test_another_account_is_forbidden(name: str) -> None:
    """A pod of anybody's on the node is not the node."""
    with pytest.raises(Forbidden, match=f"of {name}, and only {ACCOUNT} may enrol"):
        await tokens(authenticated=True, audiences=[DRIVER], user=user(name)).verify("t")


@pytest.mark.parametrize("node", [[], [""], ["a", "b"]])
async def test_a_token_that_is_bound_to_no_node_is_forbidden(node: list[str]) -> None:
    """One made by hand for the account, without a pod."""
    with pytest.raises(Forbidden, match="bound to no node"):
        await tokens(authenticated=True, audiences=[DRIVER], user=user(node=node)).verify("t")

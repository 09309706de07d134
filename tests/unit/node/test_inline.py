"""What a pod may say of its inline volume."""

import pytest

from driver.model import errors
from driver.model.capability import Capability
from driver.model.sizes import MIB, SizeRange
from driver.node import inline

MOUNT = Capability("mount")


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("True", True), ("false", False), ("", False)])
def test_a_volume_is_inline_when_kubelet_says_so(value: str, expected: bool) -> None:
    """csi.storage.k8s.io/ephemeral is set by kubelet for podInfoOnMount drivers, also to false."""
    assert inline.is_inline({inline.EPHEMERAL: value}) is expected
    assert not inline.is_inline({})


def test_known_keys_become_parameters_and_kubelets_own_are_left_out() -> None:
    """Pod names and tokens are no parameters, and must not end up in a record."""
    context = {
        inline.EPHEMERAL: "true",
        "csi.storage.k8s.io/pod.name": "web-0",
        "csi.storage.k8s.io/serviceAccount.tokens": "secret",
        "size": "64Mi",
        "pool": "ssd",
        "fsType": "xfs",
    }
    request = inline.request_of("csi-abc", MOUNT, context)
    assert request.name == "inline-csi-abc"
    assert request.size == SizeRange(required=64 * MIB)
    assert request.parameters == {inline.EPHEMERAL: "true", "pool": "ssd", "fsType": "xfs"}


def test_an_unknown_key_is_refused_by_name() -> None:
    """A misspelt key would otherwise silently give another volume than meant."""
    with pytest.raises(errors.InvalidArgument, match="'sise'"):
        inline.request_of("csi-abc", MOUNT, {inline.EPHEMERAL: "true", "sise": "1Gi"})


def test_a_size_that_is_none_is_refused() -> None:
    """INVALID_ARGUMENT naming the text."""
    with pytest.raises(errors.InvalidArgument, match="plenty"):
        inline.request_of("csi-abc", MOUNT, {inline.EPHEMERAL: "true", "size": "plenty"})

"""Bad input: the claim's event names cause and cure at the first try."""

import pytest

from .space import Space


@pytest.mark.parametrize(
    ("parameters", "size", "words"),
    [
        ({"backend": "image", "colour": "blue"}, "64Mi", ("'colour'",)),
        ({"pool": "gold"}, "64Mi", ("'gold' names no pool", "fast", "sub", "plain")),
        ({"backend": "tape"}, "64Mi", ("'tape' is not known", "image", "btrfs", "directory")),
        ({"backend": "image"}, "900Gi", ("pool fast", "left to promise", "900 GiB were asked for")),
        ({"backend": "image", "csi.storage.k8s.io/fstype": "ntfs"}, "64Mi", ("ntfs", "ext4")),
    ],
    ids=["parameter", "pool", "backend", "size", "filesystem"],
)
def test_a_claim_that_cannot_be_made_says_why(
    space: Space, parameters: dict[str, str], size: str, words: tuple[str, ...]
) -> None:
    """The provisioner's event carries the driver's sentence: what was asked for, and what there is."""
    name = space.storage_class("wrong", parameters, volumeBindingMode="Immediate")
    space.claim("data", size, storageClassName=name)
    message = space.said("data", "rpc error")
    assert [word for word in words if word not in message] == []


def test_a_missing_secret_is_named(space: Space) -> None:
    """The class names a secret that is not there; the sidecars may read the secrets of this namespace."""
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "secrets"},
        "rules": rules,
    }
    account = {"kind": "ServiceAccount", "name": "holdall-controller", "namespace": "holdall"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "secrets"}
    space.apply(role, {**role, "kind": "RoleBinding", "rules": None, "subjects": [account], "roleRef": reference})
    names = {
        "csi.storage.k8s.io/provisioner-secret-name": "absent",
        "csi.storage.k8s.io/provisioner-secret-namespace": space.name,
    }
    name = space.storage_class("secret", {"backend": "image", **names}, volumeBindingMode="Immediate")
    space.claim("data", storageClassName=name)
    assert "not found" in space.said("data", "absent")
    space.kubectl("create", "secret", "generic", "absent", "--from-literal=key=value")
    space.bound("data")

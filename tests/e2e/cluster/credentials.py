"""Who may speak to the API: users as client certificates, written as kubeconfig files."""

import json
from collections.abc import Sequence
from pathlib import Path

from .pki import Authority

_USERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "admin": ("admin", ("system:masters",)),
    "kube-controller-manager": ("system:kube-controller-manager", ()),
    "kube-scheduler": ("system:kube-scheduler", ()),
    "kube-proxy": ("system:kube-proxy", ()),
    # Its rights are a part of its own manifests, which are no module: it is not what is tested here.
    "snapshot-controller": ("snapshot-controller", ("system:masters",)),
}
"""The users of the cluster's own programs, with the groups RBAC's built-in bindings expect."""


def kubeconfig(directory: Path, url: str, name: str) -> Path:
    """``directory/NAME.kubeconfig`` for one of the cluster's own programs, or for ``kubelet-NODE``."""
    if name.startswith("kubelet-"):
        node = name.removeprefix("kubelet-")
        return kubeconfig_of(directory, url, name, f"system:node:{node}", ("system:nodes",))
    return kubeconfig_of(directory, url, name, *_USERS[name])


def kubeconfig_of(directory: Path, url: str, name: str, user: str, groups: Sequence[str] = ()) -> Path:
    """``directory/NAME.kubeconfig`` for any user; the authority is the one in ``directory/pki``."""
    authority = Authority(directory / "pki")
    certificate, key = authority.issue(f"user-{name}", user, groups)
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "test", "cluster": {"server": url, "certificate-authority": str(authority.certificate)}},
        ],
        "users": [{"name": name, "user": {"client-certificate": str(certificate), "client-key": str(key)}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
        "current-context": "test",
    }
    path = directory / f"{name}.kubeconfig"
    path.touch(mode=0o600)
    # JSON is YAML, and needs no library.
    path.write_text(json.dumps(document, indent=1))
    return path

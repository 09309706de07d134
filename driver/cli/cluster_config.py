"""``[kubernetes]`` of the configuration file: what its types alone do not say."""

import re

from ..model.config import KubernetesConfig
from ..model.errors import InvalidArgument
from ..rpc import endpoints

_OBJECT = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")


def check(found: KubernetesConfig, has_nodes: bool, place: str) -> None:
    """InvalidArgument, naming the key below ``place``, for what cannot be. ``has_nodes``: there are ``[[node]]`` tables."""
    if has_nodes:
        raise InvalidArgument(
            f"{place}: the nodes are the cluster's then, and [[node]] tables name others; take one out"
        )
    for key in ("namespace", "node_account", "ca_secret", "ca_config_map", "state_config_map"):
        if not _OBJECT.fullmatch(getattr(found, key)):
            raise InvalidArgument(f"{place}.{key}: {getattr(found, key)!r} is not the name of a Kubernetes object")
    if not 0 < found.node_port < 65536:
        raise InvalidArgument(f"{place}.node_port: {found.node_port} is not a port from 1 to 65535")
    try:
        endpoints.tcp(found.enrolment_address)
    except InvalidArgument as error:
        raise InvalidArgument(f"{place}.enrolment_address: {error.message}") from None
    if found.kubeconfig and not found.kubeconfig.startswith("/"):
        raise InvalidArgument(f"{place}.kubeconfig: {found.kubeconfig!r} is not an absolute path")

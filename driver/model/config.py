"""The configuration file, as read from TOML. Unknown keys and wrong types are refused with their path in the file."""

from typing import Any

import msgspec

from .pool import PoolConfig

DRIVER_NAME = "holdall.csi.dev"


class NodeEndpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ``[[node]]`` of a controller: where a node offers its Controller services."""

    name: str
    endpoint: str


class EnrolmentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[enrolment]`` of a node: how it gets the certificate that its ``controller_endpoint`` is served with over TCP."""

    controller: str
    """HOST:PORT of the controllers' enrolment service."""
    ca: str
    """PEM bundle of the CAs that a controller's certificate may be of."""
    token: str
    """Holds the pod's ServiceAccount token; read anew for every enrolment."""


class KubernetesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[kubernetes]`` of a controller: its nodes are the cluster's, and what it notes are objects there."""

    namespace: str
    """Of the driver's own pods, Secret and ConfigMaps."""
    node_selector: str = "app.kubernetes.io/component=node"
    """Labels of the node pods."""
    node_port: int = 9808
    """Of every node's ``controller_endpoint``."""
    node_account: str = "holdall-node"
    """The ServiceAccount of the node pods; no other may enrol."""
    enrolment_address: str = ":9809"
    """HOST:PORT where nodes get their certificates."""
    ca_secret: str = "holdall-ca"
    ca_config_map: str = "holdall-ca"
    state_config_map: str = "holdall-state"
    """What the controllers remember together of the nodes."""
    kubeconfig: str = ""
    """For a controller outside the cluster; empty: the pod's own account."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a role is started with, from file, options and environment together. Times in seconds."""

    driver_name: str = DRIVER_NAME
    node_id: str = ""
    state_dir: str = ""
    endpoint: str = ""
    controller_endpoint: str = ""
    registration_dir: str = ""
    """Kubelet's directory of registration sockets; empty: kubelet does not depend on this process."""
    kubelet_endpoint: str = ""
    """``endpoint`` as the host sees it; empty: the same."""
    metrics_address: str = ""
    log_level: str = "info"
    max_volumes_per_node: int = 128
    pools: tuple[PoolConfig, ...] = ()
    nodes: tuple[NodeEndpoint, ...] = ()
    enrolment: EnrolmentConfig | None = None
    kubernetes: KubernetesConfig | None = None
    default_pool: dict[str, Any] = {}
    freeze_deadline: float = 10.0
    pool_threads: int = 8
    pool_patience: float = 20.0
    """How long a read waits for a pool whose threads are all stuck, before UNAVAILABLE."""

    @property
    def topology_key(self) -> str:
        return f"{self.driver_name}/node"

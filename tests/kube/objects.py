"""Objects as the cluster's own parts make them: the chart's CRDs, Nodes, node pods."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from driver.kube.api import Api, Conflict, Object

CRDS = Path(__file__).parents[2] / "deploy" / "chart" / "crds"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
LABELS = {"app.kubernetes.io/component": "node"}


async def define(api: Api, name: str) -> None:
    """The chart's ``crds/NAME.yaml`` is served."""
    definition: Object = yaml.safe_load((CRDS / f"{name}.yaml").read_text())
    try:
        await api.request("POST", DEFINITIONS, definition)
    except Conflict:
        return
    path = f"{DEFINITIONS}/{definition['metadata']['name']}"

    async def established() -> bool:
        conditions = (await api.request("GET", path)).get("status", {}).get("conditions") or []
        return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)

    while not await established():
        await asyncio.sleep(0.05)


async def make_node(api: Api, name: str) -> None:
    await api.request("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})


async def make_pod(api: Api, namespace: str, name: str, node: str, address: str, phase: str = "Running") -> None:
    """A node pod, as its DaemonSet and kubelet make it."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    spec = {"nodeName": node, "containers": [{"name": "holdall", "image": "holdall"}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": LABELS}, "spec": spec}
    await api.request("POST", path, body)
    status = {"phase": phase, "podIP": address, "podIPs": [{"ip": address}]} if address else {"phase": phase}
    await api.request("PATCH", f"{path}/{name}/status", {"status": status})


async def remove_pod(api: Api, namespace: str, name: str) -> None:
    """At once: no kubelet is here to end it."""
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
    await api.request("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}", options)


async def until(true: Callable[[], Any], patience: float = 20.0) -> None:
    async with asyncio.timeout(patience):
        while not true():
            await asyncio.sleep(0.02)

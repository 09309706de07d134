"""Holdall's own pods in a cluster: asked, looked into, killed and stopped."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .cluster.cluster import Cluster
from .installation import DRIVER, NAMESPACE

PROVISIONER = "holdall-csi-dev"
"""The Lease of csi-provisioner, whose holder makes the volumes."""

Pod = Mapping[str, Any]


class Driver:
    """Holdall as it is installed in ``cluster``. A pod is the API's object."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def controllers(self) -> list[Pod]:
        return self._pods("controller")

    def node_pod(self, node: str) -> Pod:
        """RuntimeError when the node has none, or an old one beside the new one."""
        found = [pod for pod in self._pods("node") if pod["spec"]["nodeName"] == node]
        if len(found) != 1:
            raise RuntimeError(f"{node} has {len(found)} pods of Holdall, not one")
        return found[0]

    def controller_on(self, node: str) -> Pod:
        """RuntimeError when no controller runs there."""
        for pod in self.controllers():
            if pod["spec"]["nodeName"] == node:
                return pod
        raise RuntimeError(f"no controller runs on {node}")

    def holder(self, lease: str = PROVISIONER) -> str:
        """The pod that holds the Lease."""
        found: Any = self.cluster.get("-n", NAMESPACE, "lease", lease)
        return str(found["spec"]["holderIdentity"]).partition("_")[0]

    def ready(self, patience: int = 120) -> None:
        """Every pod of Holdall is ready and of the newest template."""
        for workload in ("daemonset/holdall-node", "deployment/holdall-controller"):
            self.cluster.kubectl(
                *("-n", NAMESPACE, "rollout", "status", workload, f"--timeout={patience}s"), timeout=patience + 30.0
            )

    def kill(self, pod: Pod) -> bool:
        """Holdall's own process in the pod had SIGKILL, its sidecars did not. False when there is none just now."""
        return _signal([pid for pid, command in _processes(pod) if _is_holdall(command)], signal.SIGKILL)

    def signal_all(self, pod: Pod, number: signal.Signals) -> bool:
        """Every process of the pod had the signal; the pod's own, which holds its namespaces, did not."""
        return _signal([pid for pid, command in _processes(pod) if "sleep" not in command], number)

    def memory(self, pod: Pod) -> int:
        """Bytes of Holdall's own process in the pod, resident (proc(5), VmRSS)."""
        for pid, command in _processes(pod):
            if _is_holdall(command):
                said = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
                return int(said[1]) * 1024 if said else 0
        raise RuntimeError(f"no process of Holdall runs in {pod['metadata']['name']}")

    def say(self, *arguments: str, pod: Pod | None = None) -> str:
        """What the command ``holdall`` printed in a controller's pod. RuntimeError with what it said when it fails."""
        where = f"pod/{pod['metadata']['name']}" if pod else "deploy/holdall-controller"
        return self.cluster.kubectl("-n", NAMESPACE, "exec", where, "-c", "holdall", "--", "holdall", *arguments)

    def refusal(self, *arguments: str, pod: Pod | None = None) -> str:
        """Why the command ``holdall`` failed. AssertionError when it did not."""
        try:
            said = self.say(*arguments, pod=pod)
        except RuntimeError as error:
            return str(error)
        raise AssertionError(f"holdall {' '.join(arguments)} did not fail: {said}")

    def volumes(self, pod: Pod | None = None) -> list[dict[str, Any]]:
        """What `holdall volume list` knows, of all nodes."""
        found: list[dict[str, Any]] = json.loads(self.say("volume", "list", "--json", pod=pod))
        return found

    def placements(self) -> dict[str, str]:
        """Which node each name went to: the part of an id after its pool, and the node's name."""
        found: Any = self.cluster.get("placements.holdall.csi.dev")
        return {one["metadata"]["name"].removesuffix(f".{DRIVER}"): one["spec"]["node"] for one in found["items"]}

    def check_nothing_doubled(self, patience: float = 150.0) -> None:
        """RuntimeError or AssertionError unless the nodes have exactly the volumes and snapshots that the API's objects
        name, each name is placed on the node that has it, and the doctor finds nothing.

        A placement may be left of what a controller deleted that was killed before it could drop it (docs/design.md).
        """
        ends = time.monotonic() + patience
        while (found := self._known(wanted := self._wanted())) != wanted:
            if time.monotonic() > ends:
                assert found == wanted
            time.sleep(1.0)
        self.check_healthy()

    def check_healthy(self) -> None:
        """AssertionError with what the doctor found, if it does not find everything as it should be."""
        said = self.cluster.kubectl(
            *("-n", NAMESPACE, "exec", "deploy/holdall-controller", "-c", "holdall", "--"),
            *("sh", "-c", "holdall doctor --json || :"),
        )
        assert said == ""

    def _known(self, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
        """What Holdall has, and of the placements those that are ``wanted``."""
        return {
            "volumes": {one["id"]: one["topology"][f"{DRIVER}/node"] for one in self.volumes()},
            "snapshots": {one["id"]: one["source_id"] for one in json.loads(self.say("snapshot", "list", "--json"))},
            "placements": {name: node for name, node in self.placements().items() if name in wanted["placements"]},
        }

    def _wanted(self) -> dict[str, Mapping[str, str]]:
        """What it should have: one volume for each PersistentVolume, one snapshot for each content."""
        volumes = {
            pv["spec"]["csi"]["volumeHandle"]: _place(pv)
            for pv in self._objects("persistentvolumes")
            if pv["spec"].get("csi", {}).get("driver") == DRIVER
        }
        snapshots = {
            one["status"]["snapshotHandle"]: one["spec"]["source"]["volumeHandle"]
            for one in self._objects("volumesnapshotcontents")
            if one["spec"]["driver"] == DRIVER and "snapshotHandle" in one.get("status", {})
        }
        places = volumes | {snapshot: volumes.get(source, "unknown") for snapshot, source in snapshots.items()}
        placements = {object_id.partition(".")[2]: node for object_id, node in places.items()}
        return {"volumes": volumes, "snapshots": snapshots, "placements": placements}

    def _objects(self, kind: str) -> list[Any]:
        found: Any = self.cluster.get(kind)
        return list(found["items"])

    def _pods(self, component: str) -> list[Pod]:
        found: Any = self.cluster.get("-n", NAMESPACE, "pods", f"--selector=app.kubernetes.io/component={component}")
        return [pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]


def _place(volume: Mapping[str, Any]) -> str:
    """The node that a PersistentVolume's affinity names."""
    (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    (wanted,) = [one for one in term["matchExpressions"] if one["key"] == f"{DRIVER}/node"]
    (node,) = wanted["values"]
    return str(node)


def _is_holdall(command: str) -> bool:
    return command.startswith("/opt/holdall/bin/python3 ")


def _processes(pod: Pod) -> Iterator[tuple[int, str]]:
    """Id, as this machine numbers it, and command line of what runs in the pod: its control group names the pod's uid."""
    uid = pod["metadata"]["uid"]
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if f"/pod{uid}/" in (place / "cgroup").read_text():
                yield int(place.name), (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue


def _signal(pids: Sequence[int], number: signal.Signals) -> bool:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
    return bool(pids)

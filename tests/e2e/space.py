"""A namespace of a test's own, and what a test does in it."""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .cluster import images
from .cluster.cluster import ROOT, Cluster
from .installation import DRIVER, NAMESPACE

QUICK = {"terminationGracePeriodSeconds": 1}
SLEEP = "trap 'exit 0' TERM; while :; do sleep 1; done"
_OF_THE_CLUSTER = ("storageclass.", "volumeattributesclass.", "volumesnapshotclass.", "persistentvolume/")
"""Objects of tests and examples that do not go with a namespace, as ``kubectl --output=name`` begins them."""


def container(places: Mapping[str, str], *, block: bool = False, **more: Any) -> dict[str, Any]:
    """A container that sleeps, with each volume (path to name) at its path; ``block``: as a device there."""
    at = "devicePath" if block else "mountPath"
    found = [{"name": volume, at: path} for path, volume in places.items()]
    what = "volumeDevices" if block else "volumeMounts"
    return {"name": "main", "image": images.BUSYBOX, "command": ["sh", "-c", SLEEP], what: found, **more}


def only(*nodes: str) -> list[dict[str, Any]]:
    """A StorageClass's allowedTopologies: these nodes."""
    return [{"matchLabelExpressions": [{"key": f"{DRIVER}/node", "values": list(nodes)}]}]


class Space:
    """Objects in it are gone, and their volumes deleted, after ``close``."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.name = f"t-{uuid.uuid4().hex[:8]}"
        self._applied: list[str] = []
        cluster.kubectl("create", "namespace", self.name)
        cluster.wait_for(
            lambda: "default" in cluster.kubectl("-n", self.name, "get", "serviceaccounts", "--output=name"),
            "the namespace's account",
        )

    def close(self) -> None:
        """Nothing of it is left but the empty namespace, which goes by itself: pods, claims, snapshots and their volumes,
        retained ones too, and the classes that were applied."""
        for volume in self.volumes():
            if volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain":
                self.cluster.kubectl(
                    *("patch", "pv", volume["metadata"]["name"]),
                    '--patch={"spec":{"persistentVolumeReclaimPolicy":"Delete"}}',
                )
        # In two steps: a snapshot whose deletion finds a claim still waiting to be restored from it is not looked at again
        # by the snapshot-controller for a quarter of an hour.
        for kinds in ("pods,persistentvolumeclaims", "volumesnapshots,volumegroupsnapshots"):
            self.kubectl("delete", kinds, "--all", "--grace-period=1", "--timeout=120s", timeout=150.0)
        self.cluster.wait_for(lambda: not self.volumes() and not self._contents(), "the end of volumes and snapshots")
        self.cluster.kubectl("delete", "namespace", self.name, "--wait=false")
        if self._applied:
            self.cluster.kubectl("delete", "--ignore-not-found", "--timeout=60s", *self._applied)

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120.0) -> str:
        """`Cluster.kubectl` in this namespace."""
        return self.cluster.kubectl("-n", self.name, *arguments, stdin=stdin, timeout=timeout)

    def get(self, *arguments: str) -> dict[str, Any]:
        return self.cluster.get("-n", self.name, *arguments)

    def apply(self, *objects: str | Mapping[str, Any]) -> None:
        """As `Cluster.apply`, into this namespace."""
        for one in objects:
            text = one if isinstance(one, str) else json.dumps(one)
            names = self.kubectl("apply", "--output=name", "--filename=-", stdin=text).split()
            self._applied += [name for name in names if name.startswith(_OF_THE_CLUSTER)]

    def example(self, name: str) -> None:
        """deploy/examples/NAME.yaml is applied as it is, but for the image's name."""
        text = (ROOT / "deploy" / "examples" / f"{name}.yaml").read_text()
        self.apply(text.replace("image: busybox", f"image: {images.BUSYBOX}"))

    def storage_class(self, name: str, parameters: Mapping[str, str], **more: Any) -> str:
        """A StorageClass of this space's own with late binding, ext4 unless ``parameters`` say otherwise: its name."""
        whole = f"{self.name}-{name}"
        self.apply(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": whole},
                "provisioner": DRIVER,
                "volumeBindingMode": "WaitForFirstConsumer",
                "allowVolumeExpansion": True,
                "parameters": {"csi.storage.k8s.io/fstype": "ext4", **parameters},
                **more,
            }
        )
        return whole

    def claim(self, name: str, size: str = "64Mi", **spec: Any) -> None:
        """A claim of StorageClass ``holdall``, ReadWriteOnce; ``spec`` adds to it or says otherwise."""
        whole = {
            "storageClassName": "holdall",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
            **spec,
        }
        kind = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}}
        self.apply({**kind, "spec": whole})

    def pod(
        self, name: str, claims: Mapping[str, str], *, block: bool = False, ready: bool = True, **spec: Any
    ) -> None:
        """A pod that sleeps, with each claim at its path; ``block``: as a device there. ``spec`` adds to the pod's."""
        volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims.values()]
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name},
                "spec": {**QUICK, "containers": [container(claims, block=block)], "volumes": volumes, **spec},
            }
        )
        if ready:
            self.ready(name)

    def grow(self, claim: str, size: str) -> None:
        """The claim asks for ``size``; `grown` waits until it has it."""
        self.kubectl(
            "patch", "pvc", claim, "--patch", json.dumps({"spec": {"resources": {"requests": {"storage": size}}}})
        )

    def grown(self, claim: str, size: str, patience: float = 120.0) -> None:
        """The claim's capacity is ``size``, filesystem included. RuntimeError when it does not become so."""
        self.cluster.wait_for(
            lambda: self.get("pvc", claim)["status"]["capacity"]["storage"] == size, f"{claim} of {size}", patience
        )

    def ready(self, *pods: str, patience: int = 120) -> None:
        """Each pod is Ready. RuntimeError with the namespace's warnings when one is not."""
        try:
            names = [f"pod/{pod}" for pod in pods]
            self.kubectl("wait", "--for=condition=Ready", f"--timeout={patience}s", *names, timeout=patience + 30.0)
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{self.warnings()}") from error

    def sh(self, pod: str, script: str, timeout: float = 120.0) -> str:
        """What ``script`` printed in the pod's container. RuntimeError when it fails."""
        return self.kubectl("exec", pod, "--", "sh", "-ec", script, timeout=timeout)

    def delete(self, *names: str, patience: int = 120) -> None:
        """The objects (``pod/x``) are gone, finalizers included."""
        self.kubectl("delete", *names, f"--timeout={patience}s", timeout=patience + 30.0)

    def snapshot(self, name: str, claim: str) -> None:
        """A VolumeSnapshot of the claim, ready to use."""
        self.apply(
            {
                "apiVersion": "snapshot.storage.k8s.io/v1",
                "kind": "VolumeSnapshot",
                "metadata": {"name": name},
                "spec": {"volumeSnapshotClassName": "holdall", "source": {"persistentVolumeClaimName": claim}},
            }
        )
        self.cut(f"volumesnapshot/{name}")

    def cut(self, *names: str) -> None:
        """Each snapshot or group snapshot (``volumesnapshot/x``) is ready to use."""
        self.kubectl("wait", "--for=jsonpath={.status.readyToUse}=true", "--timeout=60s", *names)

    def bound(self, *claims: str) -> None:
        """Each claim is bound."""
        names = [f"pvc/{claim}" for claim in claims]
        self.kubectl("wait", "--for=jsonpath={.status.phase}=Bound", "--timeout=60s", *names)

    def patch(self, name: str, spec: Mapping[str, Any]) -> None:
        """The object's (``pvc/x``) spec is merged with ``spec``."""
        self.kubectl("patch", name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")

    def said(self, name: str, *words: str, patience: float = 60.0) -> str:
        """The first event about an object of that name whose message has all ``words``, waited for."""
        found: list[str] = []

        def look() -> bool:
            events = self.get("events", f"--field-selector=involvedObject.name={name}")["items"]
            messages = [str(event.get("message") or event.get("note")) for event in events]
            found[:] = [message for message in messages if all(word in message for word in words)] or messages
            return any(all(word in message for word in words) for message in messages)

        try:
            self.cluster.wait_for(look, f"an event about {name} with {words}", patience)
        except RuntimeError as error:
            raise RuntimeError(f"{error}; there were:\n{chr(10).join(found)}") from error
        return found[0]

    def warnings(self) -> str:
        """The namespace's warning events, a line each."""
        return self.kubectl("get", "events", "--field-selector=type=Warning", "--sort-by=.lastTimestamp")

    def node_of(self, pod: str) -> str:
        return str(self.get("pod", pod)["spec"]["nodeName"])

    def volume_of(self, claim: str) -> dict[str, Any]:
        """The PersistentVolume that the claim is bound to."""
        return self.cluster.get("pv", str(self.get("pvc", claim)["spec"]["volumeName"]))

    def volumes(self) -> list[dict[str, Any]]:
        """The PersistentVolumes whose claims are in this namespace."""
        found: Any = self.cluster.get("pv")["items"]
        return [one for one in found if one["spec"].get("claimRef", {}).get("namespace") == self.name]

    def content_of(self, snapshot: str) -> dict[str, Any]:
        """The VolumeSnapshotContent that the snapshot is bound to."""
        return self.cluster.get(
            "volumesnapshotcontent", self.get("volumesnapshot", snapshot)["status"]["boundVolumeSnapshotContentName"]
        )

    def _contents(self) -> list[str]:
        """The VolumeSnapshotContents whose snapshots are in this namespace."""
        found: Any = self.cluster.get("volumesnapshotcontents")["items"]
        named = [(one["metadata"]["name"], one["spec"]["volumeSnapshotRef"].get("namespace")) for one in found]
        return [name for name, namespace in named if namespace == self.name]

    def handle_of(self, claim: str) -> str:
        """The volume's id at the driver."""
        return str(self.volume_of(claim)["spec"]["csi"]["volumeHandle"])

    def pool_has(self, node: str, object_id: str) -> list[Path]:
        """What a pool on that node has on its disk under the id's own part: files of an image pool, directories of others."""
        own = object_id.partition(".")[2] or object_id
        stores = self.cluster.node(node).root / "var/lib/holdall"
        return [path for path in stores.rglob(f"*{own}*") if "ledger" not in path.name]

    def holdall(self, *arguments: str) -> str:
        """What the command printed, run in a controller's pod as ``kubectl exec`` does."""
        return self.cluster.kubectl(
            *("-n", NAMESPACE, "exec", "deploy/holdall-controller", "-c", "holdall", "--", "holdall", *arguments)
        )

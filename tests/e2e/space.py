"""A namespace of a test's own, and what a test does in it."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from .cluster import images
from .cluster.cluster import ROOT, Cluster
from .installation import NAMESPACE

QUICK = {"terminationGracePeriodSeconds": 1}


class Space:
    """Objects in it are gone, and their volumes deleted, after ``close``."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.name = f"t-{uuid.uuid4().hex[:8]}"
        cluster.kubectl("create", "namespace", self.name)
        cluster.wait_for(
            lambda: "default" in cluster.kubectl("-n", self.name, "get", "serviceaccounts", "--output=name"),
            "the namespace's account",
        )

    def close(self) -> None:
        """The namespace is gone, with every volume that was made for it and is not retained."""
        volumes = self.volumes()
        self.kubectl("delete", "pods", "--all", "--grace-period=1", "--timeout=120s", timeout=150.0)
        self.cluster.kubectl("delete", "namespace", self.name, "--timeout=180s", timeout=200.0)
        for volume in volumes:
            if volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete":
                self.cluster.kubectl(
                    "wait", "--for=delete", "--timeout=120s", f"pv/{volume['metadata']['name']}", timeout=150.0
                )

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120.0) -> str:
        return self.cluster.kubectl("-n", self.name, *arguments, stdin=stdin, timeout=timeout)

    def get(self, *arguments: str) -> dict[str, Any]:
        return self.cluster.get("-n", self.name, *arguments)

    def apply(self, *objects: str | Mapping[str, Any]) -> None:
        """As `Cluster.apply`, into this namespace."""
        for one in objects:
            self.kubectl("apply", "--filename=-", stdin=one if isinstance(one, str) else json.dumps(one))

    def example(self, name: str) -> None:
        """deploy/examples/NAME.yaml is applied as it is, but for the image's name."""
        text = (ROOT / "deploy" / "examples" / f"{name}.yaml").read_text()
        self.apply(text.replace("image: busybox", f"image: {images.BUSYBOX}"))

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
        at = "devicePath" if block else "mountPath"
        main = {
            "name": "main",
            "image": images.BUSYBOX,
            "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"],
            ("volumeDevices" if block else "volumeMounts"): [
                {"name": claim, at: path} for path, claim in claims.items()
            ],
        }
        volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims.values()]
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name},
                "spec": {**QUICK, "containers": [main], "volumes": volumes, **spec},
            }
        )
        if ready:
            self.ready(name)

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
        found: Sequence[dict[str, Any]] = self.cluster.get("pv")["items"]  # type: ignore[assignment]
        return [one for one in found if one["spec"].get("claimRef", {}).get("namespace") == self.name]

    def holdall(self, *arguments: str) -> str:
        """What the command printed, run in a controller's pod as ``kubectl exec`` does."""
        return self.cluster.kubectl(
            *("-n", NAMESPACE, "exec", "deploy/holdall-controller", "-c", "holdall", "--", "holdall", *arguments)
        )

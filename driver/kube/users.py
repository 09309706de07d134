"""Who uses a PersistentVolume."""

from ..model import errors
from .api import Api, Object

ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"
_OVER = ("Succeeded", "Failed")


async def check_unused(api: Api, name: str, claim: Object) -> None:
    """FailedPrecondition, naming who uses the PersistentVolume ``name``, which is bound to ``claim`` (empty: to none).

    A pod that waits for a node uses nothing yet, and will go where the volume is then.
    """
    async for one in api.items(ATTACHMENTS):
        if one["spec"]["source"].get("persistentVolumeName") == name:
            raise errors.FailedPrecondition(
                f"PersistentVolume {name} is attached to node {one['spec']['nodeName']} (VolumeAttachment "
                f"{one['metadata']['name']}); delete the pods that use it, and that object too if the node is gone"
            )
    if not claim:
        return
    async for pod in api.items(f"/api/v1/namespaces/{claim['namespace']}/pods"):
        if _is_using(pod, str(claim["name"])):
            raise errors.FailedPrecondition(
                f"PersistentVolume {name} is used by pod {claim['namespace']}/{pod['metadata']['name']} on node "
                f"{pod['spec']['nodeName']}; delete the pod, with --force if that node is gone"
            )


def _is_using(pod: Object, claim: str) -> bool:
    if (pod.get("status") or {}).get("phase") in _OVER or not pod["spec"].get("nodeName"):
        return False
    for one in pod["spec"].get("volumes") or []:
        if (one.get("persistentVolumeClaim") or {}).get("claimName") == claim:
            return True
        if "ephemeral" in one and f"{pod['metadata']['name']}-{one['name']}" == claim:
            return True
    return False

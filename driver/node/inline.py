"""Inline ephemeral volumes (CSIDriver volumeLifecycleModes Ephemeral): made by NodePublishVolume, gone with
NodeUnpublishVolume, staged privately in the state directory.

kubelet invents their ids. The volume's name, and so its id, follow from kubelet's: a publish that is tried again finds
the volume of the first try, and an unpublish finds it in whatever state a crash left it, without any note. That a
volume is an inline one is said by its own record; one that only has such a name is never touched.
"""

import contextlib
from collections.abc import Mapping

from ..engine.engine import Engine
from ..host import files
from ..model import errors, ids, sizes
from ..model.capability import Capability
from ..model.sizes import SizeRange
from ..model.volume import Volume, VolumeRequest
from . import paths
from .publish import Publish
from .stage import Stage

EPHEMERAL = "csi.storage.k8s.io/ephemeral"
KUBERNETES = ("csi.storage.k8s.io/", "storage.kubernetes.io/")
PARAMETERS = ("backend", "compression", "deviceType", "fsType", "pool", "provisioning", "wipe")
SIZE = "size"
NAME = "inline-"


def is_inline(volume_context: Mapping[str, str]) -> bool:
    """Whether kubelet asks for a volume that lives as long as its pod."""
    return volume_context.get(EPHEMERAL, "").lower() == "true"


def request_of(foreign_id: str, capability: Capability, volume_context: Mapping[str, str]) -> VolumeRequest:
    """The volume that a pod's ``volumeAttributes`` describe. Pure. InvalidArgument for a key or size that is none."""
    parameters = {EPHEMERAL: "true"}
    size = SizeRange()
    for key, value in volume_context.items():
        if key == SIZE:
            size = SizeRange(required=sizes.parse(value))
        elif key in PARAMETERS:
            parameters[key] = value
        elif not key.startswith(KUBERNETES):
            raise errors.InvalidArgument(
                f"volumeAttributes key {key!r} of inline volume {foreign_id[:100]} is not known; known are "
                f"{', '.join(sorted((*PARAMETERS, SIZE)))}"
            )
    return VolumeRequest(name=NAME + foreign_id, capabilities=(capability,), size=size, parameters=parameters)


class Inline:
    """The inline volumes of this node, by kubelet's ids."""

    def __init__(self, engine: Engine, stage: Stage, publish: Publish, state_dir: str) -> None:
        self._engine = engine
        self._stage = stage
        self._publish = publish
        self._home = f"{state_dir}/inline"

    async def publish(
        self,
        foreign_id: str,
        target_path: str,
        capability: Capability,
        readonly: bool,
        volume_context: Mapping[str, str],
    ) -> None:
        """The volume exists and is at the target path. As Volumes.create, Stage.stage and Publish.publish raise."""
        if not foreign_id:
            raise errors.InvalidArgument("volume_id is empty; it is required")
        request = request_of(foreign_id, capability, volume_context)
        await self._engine.inflight.run(
            f"inline {foreign_id}",
            ("publish", target_path, request, readonly),
            lambda: self._publish_new(foreign_id, request, target_path, readonly),
        )

    async def _publish_new(self, foreign_id: str, request: VolumeRequest, target_path: str, readonly: bool) -> None:
        known = await self._find(foreign_id)
        volume = await self._engine.volumes.create(request)
        capability = request.capabilities[0]
        try:
            staging = self._staging_path(volume.id)
            files.make_dir(self._home)
            files.make_dir(staging)
            await self._stage.stage(volume.id, staging, capability, inline=True)
            await self._publish.publish(volume.id, target_path, staging, capability, readonly)
        except errors.DomainError:
            if known is None:
                # kubelet does not unpublish what it never got published: nobody would ever ask for this one again.
                with contextlib.suppress(errors.DomainError):
                    await self._discard(volume.id)
            raise

    async def unpublish(self, foreign_id: str, target_path: str) -> None:
        """Neither mount nor volume is left; nothing to do when there was none."""
        if not foreign_id:
            raise errors.InvalidArgument("volume_id is empty; it is required")
        paths.checked(target_path, "target_path")
        await self._engine.inflight.run(
            f"inline {foreign_id}", ("unpublish", target_path), lambda: self._unpublish(foreign_id, target_path)
        )

    async def _unpublish(self, foreign_id: str, target_path: str) -> None:
        volume = await self._find(foreign_id)
        if volume is None:
            return
        await self._publish.unpublish(volume.id, target_path)
        use = self._engine.uses.of(volume.id)
        if use is None or not use.targets:
            await self._discard(volume.id)

    async def _discard(self, volume_id: str) -> None:
        staging = self._staging_path(volume_id)
        await self._stage.unstage(volume_id, staging)
        files.remove_dir(staging)
        await self._engine.volumes.delete(volume_id)

    async def id_of(self, foreign_id: str) -> str:
        """The id that the volume has here; the given one when it is no inline volume."""
        volume = None if ids.split(foreign_id) else await self._find(foreign_id)
        return foreign_id if volume is None else volume.id

    async def _find(self, foreign_id: str) -> Volume | None:
        try:
            ids.checked_name(NAME + foreign_id, "the inline volume")
        except errors.InvalidArgument:
            return None
        found = await self._engine.pools.find(ids.VOLUME, NAME + foreign_id, {})
        if found is None:
            return None
        volume = found[1]
        assert isinstance(volume, Volume)
        return volume if volume.asked.get(EPHEMERAL) == "true" else None

    def _staging_path(self, volume_id: str) -> str:
        return f"{self._home}/{volume_id}"

"""What every part of the demonstration uses: the driver, the client, and what was made so far."""

import asyncio
from pathlib import Path

from csi.v1 import csi_pb2 as csi

from ...host import mounts
from ...rpc.client import Client
from .process import Driver
from .telling import Telling

TIMEOUT = 60.0


class Scene:
    """Calls CSI as an orchestrator does, and remembers what has to be undone, in the order it was done."""

    def __init__(self, tell: Telling, directory: Path) -> None:
        self.tell = tell
        self.directory = directory
        self.driver = Driver(directory)
        self.client = Client(self.driver.endpoint, peer="the driver")
        self.volumes: dict[str, str] = {}
        self.snapshots: dict[str, str] = {}
        self.groups: dict[str, csi.VolumeGroupSnapshot] = {}
        self.places: dict[str, Path] = {}
        """Where each volume is published, by its name."""

    # -- volumes -----------------------------------------------------------------------------------------------------

    async def create(
        self, name: str, size: int, *, fs_type: str = "", source: csi.VolumeContentSource | None = None, words: str = ""
    ) -> csi.Volume:
        """A volume of that name; ``fs_type`` empty: a raw block device."""
        request = csi.CreateVolumeRequest(
            name=name,
            capacity_range=csi.CapacityRange(required_bytes=size),
            volume_capabilities=[capability(fs_type)],
            volume_content_source=source,
        )
        answer = await self.tell.call(
            words or f"CreateVolume {name}",
            self.client.ask(self.client.controller.CreateVolume, request, timeout=TIMEOUT),
        )
        self.volumes[name] = answer.volume.volume_id
        return answer.volume

    async def mount(self, name: str, *, fs_type: str = "") -> Path:
        """The volume staged and published; where it is then."""
        staging, target = self._staging(name), self.directory / "pods" / name
        staging.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(exist_ok=True)
        volume_id, wanted = self.volumes[name], capability(fs_type)
        await self.tell.call(
            f"NodeStageVolume {name}",
            self.client.ask(
                self.client.node.NodeStageVolume,
                csi.NodeStageVolumeRequest(
                    volume_id=volume_id, staging_target_path=str(staging), volume_capability=wanted
                ),
                timeout=TIMEOUT,
            ),
        )
        await self.tell.call(
            f"NodePublishVolume {name}",
            self.client.ask(
                self.client.node.NodePublishVolume,
                csi.NodePublishVolumeRequest(
                    volume_id=volume_id,
                    staging_target_path=str(staging),
                    target_path=str(target),
                    volume_capability=wanted,
                ),
                timeout=TIMEOUT,
            ),
        )
        self.places[name] = target
        return target

    async def unmount(self, name: str) -> None:
        """Unpublished and unstaged."""
        volume_id, staging, node = self.volumes[name], self._staging(name), self.client.node
        await self.client.ask(
            node.NodeUnpublishVolume,
            csi.NodeUnpublishVolumeRequest(volume_id=volume_id, target_path=str(self.places[name])),
            timeout=TIMEOUT,
        )
        await self.client.ask(
            node.NodeUnstageVolume,
            csi.NodeUnstageVolumeRequest(volume_id=volume_id, staging_target_path=str(staging)),
            timeout=TIMEOUT,
        )
        staging.rmdir()
        del self.places[name]

    def is_mounted(self, name: str) -> bool:
        """Whether something is mounted where the volume was published."""
        seen = mounts.look(str(self.places[name]))
        return seen is not None and seen.is_root

    async def moment(self) -> None:
        """Others go on for a moment."""
        await asyncio.sleep(0.005)

    def _staging(self, name: str) -> Path:
        return self.directory / "staging" / name

    # -- snapshots ---------------------------------------------------------------------------------------------------

    async def snapshot(self, name: str, volume: str) -> csi.Snapshot:
        """A snapshot of the volume of that name."""
        request = csi.CreateSnapshotRequest(name=name, source_volume_id=self.volumes[volume])
        answer = await self.tell.call(
            f"CreateSnapshot {name}",
            self.client.ask(self.client.controller.CreateSnapshot, request, timeout=TIMEOUT),
        )
        self.snapshots[name] = answer.snapshot.snapshot_id
        return answer.snapshot


def capability(fs_type: str) -> csi.VolumeCapability:
    """As ReadWriteOnce is asked for: a filesystem, or a raw block device for an empty ``fs_type``."""
    mode = csi.VolumeCapability.AccessMode(mode=csi.VolumeCapability.AccessMode.SINGLE_NODE_MULTI_WRITER)
    if not fs_type:
        return csi.VolumeCapability(access_mode=mode, block=csi.VolumeCapability.BlockVolume())
    return csi.VolumeCapability(access_mode=mode, mount=csi.VolumeCapability.MountVolume(fs_type=fs_type))


def from_snapshot(snapshot_id: str) -> csi.VolumeContentSource:
    return csi.VolumeContentSource(snapshot=csi.VolumeContentSource.SnapshotSource(snapshot_id=snapshot_id))


def from_volume(volume_id: str) -> csi.VolumeContentSource:
    return csi.VolumeContentSource(volume=csi.VolumeContentSource.VolumeSource(volume_id=volume_id))

"""A driver under measurement: ours, or a peer given by its program; both are spoken to through the same stubs."""

import os
import subprocess
import time
from pathlib import Path

import grpc

from csi.v1 import csi_pb2
from tests.daemon import Daemon, Stubs

MIB = 1 << 20
PATIENCE = 120.0


def capability(access: str = "mount") -> csi_pb2.VolumeCapability:
    made = csi_pb2.VolumeCapability()
    (made.block if access == "block" else made.mount).SetInParent()
    made.access_mode.mode = csi_pb2.VolumeCapability.AccessMode.SINGLE_NODE_MULTI_WRITER
    return made


class Subject:
    """What both sides share: every CSI call as a method."""

    name: str
    stubs: Stubs
    directory: Path
    pid: int

    def create(
        self, name: str, size: int = MIB, access: str = "mount", source: csi_pb2.VolumeContentSource | None = None
    ) -> str:
        request = csi_pb2.CreateVolumeRequest(
            name=name, volume_capabilities=[capability(access)], volume_content_source=source
        )
        request.capacity_range.required_bytes = size
        return str(self.stubs.controller.CreateVolume(request, timeout=PATIENCE).volume.volume_id)

    def delete(self, volume_id: str) -> None:
        self.stubs.controller.DeleteVolume(csi_pb2.DeleteVolumeRequest(volume_id=volume_id), timeout=PATIENCE)

    def snapshot(self, name: str, volume_id: str) -> str:
        request = csi_pb2.CreateSnapshotRequest(name=name, source_volume_id=volume_id)
        return str(self.stubs.controller.CreateSnapshot(request, timeout=PATIENCE).snapshot.snapshot_id)

    def delete_snapshot(self, snapshot_id: str) -> None:
        self.stubs.controller.DeleteSnapshot(csi_pb2.DeleteSnapshotRequest(snapshot_id=snapshot_id), timeout=PATIENCE)

    def clone(self, name: str, volume_id: str, size: int) -> str:
        source = csi_pb2.VolumeContentSource()
        source.volume.volume_id = volume_id
        return self.create(name, size, source=source)

    def walk(self, page: int) -> int:
        """Volumes listed, ``page`` at a time."""
        count, token = 0, ""
        while True:
            request = csi_pb2.ListVolumesRequest(max_entries=page, starting_token=token)
            answer = self.stubs.controller.ListVolumes(request, timeout=PATIENCE)
            count += len(answer.entries)
            token = answer.next_token
            if not token:
                return count

    def probe(self) -> None:
        self.stubs.identity.Probe(csi_pb2.ProbeRequest(), timeout=PATIENCE)

    def staging(self, volume_id: str) -> Path:
        return self.directory / "staging" / volume_id[-24:]

    def target(self, volume_id: str, number: int = 0) -> Path:
        return self.directory / "targets" / f"{volume_id[-24:]}-{number}"

    def stage(self, volume_id: str) -> None:
        path = self.staging(volume_id)
        path.mkdir(parents=True, exist_ok=True)
        request = csi_pb2.NodeStageVolumeRequest(
            volume_id=volume_id, staging_target_path=str(path), volume_capability=capability()
        )
        self.stubs.node.NodeStageVolume(request, timeout=PATIENCE)

    def unstage(self, volume_id: str) -> None:
        request = csi_pb2.NodeUnstageVolumeRequest(
            volume_id=volume_id, staging_target_path=str(self.staging(volume_id))
        )
        self.stubs.node.NodeUnstageVolume(request, timeout=PATIENCE)

    def publish(self, volume_id: str, number: int = 0) -> None:
        request = csi_pb2.NodePublishVolumeRequest(
            volume_id=volume_id,
            staging_target_path=str(self.staging(volume_id)),
            target_path=str(self.target(volume_id, number)),
            volume_capability=capability(),
        )
        self.stubs.node.NodePublishVolume(request, timeout=PATIENCE)

    def unpublish(self, volume_id: str, number: int = 0) -> None:
        request = csi_pb2.NodeUnpublishVolumeRequest(
            volume_id=volume_id, target_path=str(self.target(volume_id, number))
        )
        self.stubs.node.NodeUnpublishVolume(request, timeout=PATIENCE)

    def stats(self, volume_id: str, number: int = 0) -> None:
        request = csi_pb2.NodeGetVolumeStatsRequest(
            volume_id=volume_id, volume_path=str(self.target(volume_id, number))
        )
        self.stubs.node.NodeGetVolumeStats(request, timeout=PATIENCE)

    def memory(self) -> int:
        """Resident bytes of the driver's process."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def end(self) -> None:
        raise AssertionError("a subject knows how to end")


class Ours(Subject):
    """``holdall all`` with one pool at ``pool``."""

    def __init__(self, directory: Path, pool: Path, *, backend: str = "image", thin_factor: float = 1000.0) -> None:
        self.name = "holdall"
        self.directory = directory
        (directory / "targets").mkdir(parents=True, exist_ok=True)
        pool.mkdir(exist_ok=True)
        config = (
            "max_volumes_per_node = 100000\n"
            f'[[pool]]\nname = "bench"\nbackend = "{backend}"\npath = "{pool}"\nthin_factor = {thin_factor}\n'
        )
        self.daemon = Daemon(directory, config=config)
        self.begin()

    def begin(self) -> float:
        """Seconds from exec to ready."""
        started = time.perf_counter()
        self.daemon.start(120.0)
        seconds = time.perf_counter() - started
        self.pid = self.daemon.pid
        self.stubs = Stubs(self.daemon.endpoint)
        return seconds

    def end(self) -> None:
        self.stubs.channel.close()
        self.daemon.stop(60.0)


class Peer(Subject):
    """A driver with csi-driver-host-path's flags. None of it is part of this project."""

    def __init__(self, directory: Path, program: str) -> None:
        self.name = Path(program).name
        self.directory = directory
        (directory / "targets").mkdir(parents=True, exist_ok=True)
        state = directory / "state"
        state.mkdir(exist_ok=True)
        endpoint = f"unix://{directory}/csi.sock"
        flags = [f"--endpoint={endpoint}", "--nodeid=node-a", f"--statedir={state}", "--drivername=peer.csi.k8s.io"]
        with (directory / "log").open("wb") as log:
            self._process = subprocess.Popen([program, *flags], stdout=log, stderr=log)
        self.pid = self._process.pid
        self.stubs = Stubs(endpoint)
        until = time.monotonic() + 30
        while True:
            try:
                self.probe()
                return
            except grpc.RpcError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def end(self) -> None:
        self.stubs.channel.close()
        self._process.terminate()
        self._process.wait(30)

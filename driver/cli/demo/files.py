"""The life of a volume with files in it: made, written, snapshotted, damaged, restored, cloned, grown, measured."""

import os

from csi.holdall.v1 import holdall_pb2 as holdall
from csi.v1 import csi_pb2 as csi

from ...model.sizes import MIB, show
from . import data
from .scene import TIMEOUT, Scene, from_snapshot, from_volume

XFS = "xfs"
SMALL, LARGE = 320 * MIB, 640 * MIB


async def start(scene: Scene) -> None:
    """The driver serves, and has a pool that nobody configured."""
    tell, client = scene.tell, scene.client
    tell.step("The driver starts: one process, one socket, no configuration, no Kubernetes")
    tell.did("holdall all, from exec to ready", scene.driver.start())
    info = await tell.call(
        "GetPluginInfo", client.ask(client.identity.GetPluginInfo, csi.GetPluginInfoRequest(), timeout=TIMEOUT)
    )
    pools = await tell.call(
        "ListPools", client.ask(client.holdall.ListPools, holdall.ListPoolsRequest(), timeout=TIMEOUT)
    )
    pool = pools.pools[0]
    tell.say(f"{info.name} {info.vendor_version}, {show(scene.driver.resident())} of memory")
    tell.say(f"pool {pool.name!r}: backend {pool.backend}, {show(pool.available_bytes)} available")
    tell.check(pool.state == "ready", "the pool it made for itself is ready")
    tell.check("snapshots" in pool.abilities, "it can cut snapshots in constant time")


async def write(scene: Scene) -> dict[str, str]:
    """A volume with files; their checksums."""
    tell = scene.tell
    tell.step("A volume is created, staged, published, and filled with files")
    volume = await scene.create("photos", SMALL, fs_type=XFS)
    path = await scene.mount("photos", fs_type=XFS)
    room = os.statvfs(path)
    tell.check(volume.capacity_bytes == SMALL, f"the volume has exactly {show(SMALL)}")
    tell.check(scene.is_mounted("photos"), f"it is mounted, {show(room.f_bavail * room.f_frsize)} free in it")
    wanted = data.write_files(path)
    missing, changed = data.differences(path, wanted)
    tell.check(not missing and not changed, f"{len(wanted)} files of {show(data.SIZE)} are written and read back")
    return wanted


async def snapshot(scene: Scene) -> int:
    """A snapshot of the volume, cut while it is written to; how many journal lines were there when it was asked for."""
    tell = scene.tell
    tell.step("A snapshot is cut while somebody writes without a pause")
    with data.Journal(scene.places["photos"] / "journal.txt") as journal:
        while journal.lines < 200 and journal.error is None:
            await scene.moment()
        before = journal.lines
        cut = await scene.snapshot("photos-monday", "photos")
        after = journal.lines
        while journal.lines < after + 200 and journal.error is None:
            await scene.moment()
    tell.check(cut.ready_to_use, "it is ready at once: it shares its blocks with the volume, nothing was copied")
    tell.check(journal.error is None, f"the writer noticed nothing and went on to line {journal.lines}")
    return before


async def restore(scene: Scene, wanted: dict[str, str], before: int) -> None:
    """What was damaged is whole again in a volume made of the snapshot."""
    tell = scene.tell
    tell.step("An accident: half of the files are deleted, a quarter overwritten")
    gone, overwritten = data.damage(scene.places["photos"], sorted(wanted))
    missing, changed = data.differences(scene.places["photos"], wanted)
    tell.check(
        (len(missing), len(changed)) == (gone, overwritten), f"{gone} files are lost and {overwritten} are ruined"
    )

    tell.step("The snapshot is restored as a new volume, beside the damaged one")
    await scene.create("photos-restored", 0, fs_type=XFS, source=from_snapshot(scene.snapshots["photos-monday"]))
    path = await scene.mount("photos-restored", fs_type=XFS)
    missing, changed = data.differences(path, wanted)
    tell.check(not missing and not changed, f"all {len(wanted)} files are back, every checksum is the same")
    lines = data.whole_lines(path / "journal.txt")
    tell.check(lines >= before, f"the journal is whole up to line {lines}, the moment of the cut", f"{lines}, {before}")


async def clone(scene: Scene, wanted: dict[str, str]) -> None:
    """A clone starts out equal and goes its own way."""
    tell = scene.tell
    tell.step("The restored volume is cloned, in use as it is")
    await scene.create("photos-clone", 0, fs_type=XFS, source=from_volume(scene.volumes["photos-restored"]))
    path = await scene.mount("photos-clone", fs_type=XFS)
    missing, changed = data.differences(path, wanted)
    tell.check(not missing and not changed, "the clone has every file, and both are mounted at the same time")
    data.damage(path, sorted(wanted))
    missing, changed = data.differences(scene.places["photos-restored"], wanted)
    tell.check(not missing and not changed, "what is done to the clone does not touch its source")


async def grow(scene: Scene, wanted: dict[str, str]) -> None:
    """The volume is larger, without being unmounted."""
    tell, client = scene.tell, scene.client
    tell.step("The restored volume grows while it is mounted and a file in it is open")
    path = scene.places["photos-restored"]
    before = os.statvfs(path)
    volume_id, size = scene.volumes["photos-restored"], csi.CapacityRange(required_bytes=LARGE)
    with (path / "journal.txt").open("ab") as held:
        answer = await tell.call(
            "ControllerExpandVolume",
            client.ask(
                client.controller.ControllerExpandVolume,
                csi.ControllerExpandVolumeRequest(volume_id=volume_id, capacity_range=size),
                timeout=TIMEOUT,
            ),
        )
        await tell.call(
            "NodeExpandVolume",
            client.ask(
                client.node.NodeExpandVolume,
                csi.NodeExpandVolumeRequest(volume_id=volume_id, volume_path=str(path), capacity_range=size),
                timeout=TIMEOUT,
            ),
        )
        held.write(b"still open\n")
    after = os.statvfs(path)
    grown = (after.f_blocks - before.f_blocks) * after.f_frsize
    tell.check(answer.capacity_bytes == LARGE, f"the device has {show(LARGE)}")
    sizes = f"df: {show(before.f_blocks * before.f_frsize)} before, {show(after.f_blocks * after.f_frsize)} now"
    tell.check(grown > (LARGE - SMALL) * 0.9, sizes)
    missing, changed = data.differences(path, wanted)
    tell.check(not missing and not changed, "and every checksum is the same")


async def measure(scene: Scene) -> None:
    """What is said of the volume agrees with what its filesystem says."""
    tell, client = scene.tell, scene.client
    tell.step("It is measured, and asked how it does")
    path, volume_id = scene.places["photos-restored"], scene.volumes["photos-restored"]
    stats = await tell.call(
        "NodeGetVolumeStats",
        client.ask(
            client.node.NodeGetVolumeStats,
            csi.NodeGetVolumeStatsRequest(volume_id=volume_id, volume_path=str(path)),
            timeout=TIMEOUT,
        ),
    )
    health = await tell.call(
        "NodeGetVolumeHealth",
        client.ask(
            client.node.NodeGetVolumeHealth,
            csi.NodeGetVolumeHealthRequest(volume_id=volume_id, volume_publish_path=str(path)),
            timeout=TIMEOUT,
        ),
    )
    usage = {csi.VolumeUsage.Unit.Name(row.unit): row for row in stats.usage}
    room = os.statvfs(path)
    size = usage["BYTES"]
    inodes = usage["INODES"].used
    tell.check(
        size.total == room.f_blocks * room.f_frsize, f"{show(size.used)} of {show(size.total)} used, {inodes} inodes"
    )
    tell.check(not health.volume_health.health_statuses, "the volume is healthy")

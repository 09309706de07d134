"""The driver is killed at the worst moment and comes back; and in the end everything is deleted."""

import asyncio
import contextlib
import re
import time

from rich.table import Table

from csi.holdall.v1 import holdall_pb2 as holdall
from csi.v1 import csi_pb2 as csi

from ...model import errors
from ...model.sizes import MIB, show
from . import data
from .scene import TIMEOUT, Scene, capability
from .sweep import left_in
from .telling import Telling, shown

BATCH = 12
EMPTIED = 15.0
_SAMPLE = re.compile(r'(\w+)\{(?:.*,)?method="(\w+)".*\} ([\d.e+-]+)')


async def kill(scene: Scene, wanted: dict[str, str]) -> None:
    """Everything acknowledged is there, nothing is there twice, and who used a volume did not notice."""
    tell, driver = scene.tell, scene.driver
    tell.step("kill -9 while it creates volumes")
    calls = [asyncio.ensure_future(_create(scene, number)) for number in range(BATCH)]
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    driver.kill()
    await asyncio.wait(calls)
    acknowledged = {call.result() for call in calls if call.exception() is None}
    for call in calls:
        with contextlib.suppress(errors.DomainError):
            call.result()
    tell.say(f"killed after {len(acknowledged)} of {BATCH} creates were acknowledged")
    path = scene.places["photos-restored"]
    missing, changed = data.differences(path, wanted)
    (path / "meanwhile.txt").write_text("nobody is serving, and nobody needs to be\n")
    tell.check(not missing and not changed, "the mounted volumes are read and written as if nothing had happened")
    tell.did("started again, from exec to ready", driver.start())
    listed = await _listed(scene)
    tell.check(acknowledged <= listed, "every volume that was acknowledged is there")
    tell.check(set(scene.volumes.values()) <= listed, f"and so are the {len(scene.volumes)} from before")
    began = time.perf_counter()
    again = [await _create(scene, number) for number in range(BATCH)]
    tell.did(f"the {BATCH} creates, repeated", time.perf_counter() - began)
    listed = await _listed(scene)
    tell.check(acknowledged <= set(again), "the repeated calls got the same volumes")
    tell.check(len(listed) == len(scene.volumes) + BATCH, "none is there twice, none is missing")
    scene.volumes |= {f"batch-{number}": volume_id for number, volume_id in enumerate(again)}
    await healthy(scene, "the doctor compared records, files, mounts and devices, and has nothing to say")


async def healthy(scene: Scene, claim: str) -> None:
    """The doctor has nothing to say."""
    findings: list[holdall.Finding] = []

    async def read() -> None:
        async for one in scene.client.stream(scene.client.holdall.Doctor, holdall.DoctorRequest(), timeout=TIMEOUT):
            findings.append(one)

    await scene.tell.call("Doctor", read())
    scene.tell.check(not findings, claim, "; ".join(one.explanation for one in findings))


async def delete(scene: Scene) -> None:
    """Nothing is left in the pool."""
    tell, client = scene.tell, scene.client
    tell.step("Everything is deleted")
    began = time.perf_counter()
    for name in list(scene.places):
        await scene.unmount(name)
    tell.did("all volumes unpublished and unstaged", time.perf_counter() - began)
    began = time.perf_counter()
    controller = client.controller
    for group in scene.groups.values():
        request = csi.DeleteVolumeGroupSnapshotRequest(
            group_snapshot_id=group.group_snapshot_id, snapshot_ids=[one.snapshot_id for one in group.snapshots]
        )
        await client.ask(client.group.DeleteVolumeGroupSnapshot, request, timeout=TIMEOUT)
    for snapshot_id in scene.snapshots.values():
        await client.ask(controller.DeleteSnapshot, csi.DeleteSnapshotRequest(snapshot_id=snapshot_id), timeout=TIMEOUT)
    for volume_id in scene.volumes.values():
        await client.ask(controller.DeleteVolume, csi.DeleteVolumeRequest(volume_id=volume_id), timeout=TIMEOUT)
    count = len(scene.volumes) + len(scene.snapshots) + len(scene.groups)
    tell.did(f"{len(scene.volumes)} volumes, {len(scene.snapshots)} snapshots and a group", time.perf_counter() - began)
    snapshots = await client.ask(controller.ListSnapshots, csi.ListSnapshotsRequest(), timeout=TIMEOUT)
    tell.check(not await _listed(scene) and not snapshots.entries, f"all {count} are gone from the lists")
    began = time.perf_counter()
    pool = await _pool(scene)
    while pool.reserved_bytes and time.perf_counter() - began < EMPTIED:
        await asyncio.sleep(0.05)
        pool = await _pool(scene)
    tell.did("their space is given back in the background", time.perf_counter() - began)
    tell.check(not pool.reserved_bytes, f"the pool has {show(pool.available_bytes)} available again")
    await healthy(scene, "the doctor finds nothing left behind")


def end(scene: Scene) -> None:
    """The driver ends when it is told to, and leaves nothing on the machine but its state directory."""
    scene.tell.step("The driver is told to end")
    began = time.perf_counter()
    code = scene.driver.stop()
    scene.tell.did("from SIGTERM to its end", time.perf_counter() - began)
    scene.tell.check(code == 0, "it ended by itself, with exit code 0", f"exit code {code}")
    mounted, devices = left_in(scene.directory)
    scene.tell.check(not mounted and not devices, "no mount and no loop device is left", ", ".join(mounted))


def metrics(scene: Scene) -> None:
    """What Prometheus reads of the RPCs so far."""
    text = scene.driver.metrics()
    scene.tell.step("What Prometheus reads of all this")
    count, seconds = (
        _samples(text, "holdall_rpc_duration_seconds_count"),
        _samples(text, "holdall_rpc_duration_seconds_sum"),
    )
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column(" " * 5 + "RPC")
    table.add_column("calls", justify="right")
    table.add_column("mean", justify="right")
    for method, calls in sorted(count.items(), key=lambda item: -item[1])[:10]:
        table.add_row(" " * 5 + method, f"{calls:.0f}", shown(seconds.get(method, 0.0) / calls))
    scene.tell.table(table)
    _volume_metrics(scene.tell, text, scene.volumes["photos-restored"])


def _volume_metrics(tell: Telling, text: str, volume_id: str) -> None:
    written = re.search(rf'holdall_volume_written_bytes_total\{{.*volume_id="{re.escape(volume_id)}".*\}} (\S+)', text)
    tell.console.print()
    tell.check(
        written is not None and float(written[1]) > 0,
        f"photos-restored: {show(int(float(written[1])) if written else 0)} written through its device",
    )


def _samples(text: str, name: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in text.splitlines():
        if (match := _SAMPLE.fullmatch(line)) and match[1] == name and float(match[3]):
            found[match[2]] = found.get(match[2], 0.0) + float(match[3])
    return found


async def _create(scene: Scene, number: int) -> str:
    request = csi.CreateVolumeRequest(
        name=f"batch-{number}",
        capacity_range=csi.CapacityRange(required_bytes=4 * MIB),
        volume_capabilities=[capability("")],
    )
    answer = await scene.client.ask(scene.client.controller.CreateVolume, request, timeout=TIMEOUT)
    return answer.volume.volume_id


async def _listed(scene: Scene) -> set[str]:
    answer = await scene.client.ask(scene.client.controller.ListVolumes, csi.ListVolumesRequest(), timeout=TIMEOUT)
    return {entry.volume.volume_id for entry in answer.entries}


async def _pool(scene: Scene) -> holdall.Pool:
    answer = await scene.client.ask(scene.client.holdall.ListPools, holdall.ListPoolsRequest(), timeout=TIMEOUT)
    return answer.pools[0]

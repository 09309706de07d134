"""Raw block volumes, what changed between two snapshots of one, and several volumes snapshotted at one moment."""

import os
import stat

from csi.v1 import csi_pb2 as csi

from ...model.sizes import MIB, show
from . import data
from .scene import TIMEOUT, Scene, from_snapshot

SIZE = 64 * MIB
RECORDS = "ext4"


async def raw(scene: Scene) -> None:
    """A block device of exactly the size asked for."""
    tell = scene.tell
    tell.step("A raw block volume, as a database or a virtual machine wants it")
    await scene.create("disk", SIZE)
    path = await scene.mount("disk")
    tell.check(stat.S_ISBLK(path.stat().st_mode), "there is a block device at the target path")
    with path.open("rb") as device:
        size = device.seek(0, os.SEEK_END)
    tell.check(size == SIZE, f"it has exactly {show(SIZE)}")
    content = os.urandom(MIB)
    data.write_at(path, 8 * MIB, content)
    with path.open("rb") as device:
        device.seek(8 * MIB)
        tell.check(device.read(MIB) == content, "what is written to it is read back")


async def changes(scene: Scene) -> None:
    """One snapshot and the delta to the next are the next one."""
    tell, client = scene.tell, scene.client
    tell.step("Two snapshots of it, and only what changed between them")
    path = scene.places["disk"]
    await scene.snapshot("disk-1", "disk")
    for offset in (0, 20 * MIB, SIZE - MIB // 4):
        data.write_at(path, offset, os.urandom(MIB // 4))
    cut = await scene.snapshot("disk-2", "disk")
    request = csi.GetMetadataDeltaRequest(
        base_snapshot_id=scene.snapshots["disk-1"], target_snapshot_id=scene.snapshots["disk-2"]
    )
    extents: list[csi.BlockMetadata] = []

    async def read() -> None:
        async for part in client.stream(client.metadata.GetMetadataDelta, request, timeout=TIMEOUT):
            extents.extend(part.block_metadata)

    await tell.call("GetMetadataDelta disk-1 disk-2", read())
    changed = sum(one.size_bytes for one in extents)
    tell.check(0 < changed <= 2 * MIB, f"{show(changed)} of {show(SIZE)} changed, in {len(extents)} extents")
    await scene.create("disk-older", SIZE, source=from_snapshot(scene.snapshots["disk-1"]))
    await scene.create("disk-newer", SIZE, source=from_snapshot(cut.snapshot_id))
    older, newer = await scene.mount("disk-older"), await scene.mount("disk-newer")
    tell.check(data.digest(older, SIZE) != data.digest(newer, SIZE), "the two snapshots differ")
    with newer.open("rb") as source:
        for one in extents:
            source.seek(one.byte_offset)
            data.write_at(older, one.byte_offset, source.read(one.size_bytes))
    tell.check(data.digest(older, SIZE) == data.digest(newer, SIZE), "the first plus the delta is exactly the second")


async def group(scene: Scene) -> None:
    """Two volumes in step are in step in their snapshots."""
    tell, client = scene.tell, scene.client
    tell.step("Two volumes that belong together are snapshotted at one moment")
    for name in ("orders", "invoices"):
        await scene.create(name, SIZE, fs_type=RECORDS)
        await scene.mount(name, fs_type=RECORDS)
    paths = [scene.places[name] / "journal.txt" for name in ("orders", "invoices")]
    request = csi.CreateVolumeGroupSnapshotRequest(
        name="shop", source_volume_ids=[scene.volumes["orders"], scene.volumes["invoices"]]
    )
    with data.Journal(*paths) as journal:
        while journal.lines < 100 and journal.error is None:
            await scene.moment()
        before = journal.lines
        answer = await tell.call(
            "CreateVolumeGroupSnapshot shop",
            client.ask(client.group.CreateVolumeGroupSnapshot, request, timeout=TIMEOUT),
        )
        while journal.lines < before + 100 and journal.error is None:
            await scene.moment()
    scene.groups["shop"] = answer.group_snapshot
    tell.check(
        journal.error is None, f"every order was followed by its invoice, {journal.lines} times, without a pause"
    )
    found = {}
    for cut in answer.group_snapshot.snapshots:
        name = "orders" if cut.source_volume_id == scene.volumes["orders"] else "invoices"
        copy = f"{name}-then"
        await scene.create(copy, 0, fs_type=RECORDS, source=from_snapshot(cut.snapshot_id))
        found[name] = data.whole_lines(await scene.mount(copy, fs_type=RECORDS) / "journal.txt")
    orders, invoices = found["orders"], found["invoices"]
    tell.check(
        invoices >= before and 0 <= orders - invoices <= 1,
        f"in the snapshots there are {orders} orders and {invoices} invoices: one moment",
        f"{before} before the cut",
    )

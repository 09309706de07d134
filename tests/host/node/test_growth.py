"""NodeExpandVolume, and what stage makes good of expansions that were never finished."""

import os
import subprocess
from pathlib import Path

import pytest

from driver.backends import base
from driver.host import filesystem
from driver.model import errors
from driver.model.capability import AccessMode, Capability
from driver.model.health import Status
from driver.model.sizes import GIB, MIB, SizeRange
from driver.model.snapshot import SnapshotRequest
from driver.model.volume import Source

from . import rig

MORE = 32 * MIB
XFS = rig.KINDS[1]
MAY_GROW_EXT4 = bool(int(Path("/proc/self/status").read_text().split("CapEff:")[1].split()[0], 16) & 1 << 24)
"""CAP_SYS_RESOURCE: without it the kernel does not grow a mounted ext4, and the driver has to do it unmounted."""


def _fills(path: str, size: int) -> bool:
    """Whether a user finds about ``size`` bytes there: what is missing is the filesystem's own tables."""
    seen = os.statvfs(path)
    return seen.f_blocks * seen.f_frsize > size * 0.75


async def test_a_staged_volume_grows_in_place(node: rig.Node, kind: rig.Kind) -> None:
    """NodeExpandVolume by the staging path; again and again is OK, also when it is larger than asked already."""
    volume = await node.create("grow", kind)
    staging = node.staging("s")
    await node.plugin.stage(volume.id, staging, kind.capability)
    for size in (SizeRange(), SizeRange(required=kind.size), SizeRange(limit=kind.size)):
        assert await node.plugin.expand(volume.id, staging, staging, size) == kind.size
    await node.engine.volumes.expand(volume.id, SizeRange(required=2 * kind.size))
    for size in (SizeRange(required=2 * kind.size), SizeRange(), SizeRange(required=kind.size)):
        assert await node.plugin.expand(volume.id, staging, staging, size, kind.capability) == 2 * kind.size
    if volume.fs_type and kind.backend == "image":
        assert _fills(staging, 2 * kind.size)
    assert not (await node.engine.volumes.get(volume.id)).grow


async def test_a_published_volume_grows_in_place_where_the_kernel_can(node: rig.Node, kind: rig.Kind) -> None:
    """NodeExpandVolume by the target path, under a user's open file; where it cannot, it says what to do, and that works."""
    volume = await node.create("grow", kind)
    staging, target = node.staging("s"), node.target("t")
    await node.plugin.stage(volume.id, staging, kind.capability)
    await node.plugin.publish(volume.id, target, staging, kind.capability)
    rig.write(target, "kept", block=kind.is_block)
    await node.engine.volumes.expand(volume.id, SizeRange(required=2 * kind.size))
    if kind == rig.IMAGE_EXT4 and not MAY_GROW_EXT4:
        with pytest.raises(errors.FailedPrecondition, match="unpublish"):
            await node.plugin.expand(volume.id, target, staging, SizeRange())
        ailments = await node.plugin.health(volume.id)
        assert [(one.status, one.reason) for one in ailments] == [(Status.DEGRADED, "FilesystemSmallerThanVolume")]
        await node.plugin.unpublish(volume.id, target)
        await node.plugin.unstage(volume.id, staging)
        await node.plugin.stage(volume.id, staging, kind.capability)
        await node.plugin.publish(volume.id, target, staging, kind.capability)
    assert await node.plugin.expand(volume.id, target, staging, SizeRange()) == 2 * kind.size
    assert rig.read(target, block=kind.is_block) == "kept"
    assert await node.plugin.health(volume.id) == []
    if kind.is_block:
        with open(target, "rb") as device:
            assert device.seek(0, os.SEEK_END) == 2 * kind.size
    elif kind.backend == "image":
        assert _fills(target, 2 * kind.size)


@pytest.mark.parametrize("mode", [rig.WRITER, AccessMode.SINGLE_NODE_READER_ONLY])
async def test_an_expansion_nobody_finished_is_finished_at_the_next_stage(
    node: rig.Node, kind: rig.Kind, mode: AccessMode
) -> None:
    """Expanded offline: the filesystem grows when the volume comes up, also for readers, who could not grow it later."""
    volume = await node.create("grow", kind)
    staging = node.staging("s")
    await node.plugin.stage(volume.id, staging, kind.capability)
    await node.plugin.unstage(volume.id, staging)
    await node.engine.volumes.expand(volume.id, SizeRange(required=2 * kind.size))
    capability = Capability(kind.capability.access, mode, kind.capability.fs_type)
    await node.plugin.stage(volume.id, staging, capability)
    if kind.backend == "image" and not kind.is_block:
        assert _fills(staging, 2 * kind.size)
    assert await node.plugin.expand(volume.id, staging, staging, SizeRange()) == 2 * kind.size


@pytest.mark.parametrize("kind", rig.KINDS[:4], ids=lambda kind: kind.name)
async def test_a_clone_into_a_larger_volume_has_a_filesystem_that_large(node: rig.Node, kind: rig.Kind) -> None:
    """capacity_range counts for restores: the published filesystem is as big as the volume, and is another one than its
    source's."""
    source = await node.create("source", kind)
    staging = node.staging("source")
    await node.plugin.stage(source.id, staging, kind.capability)
    target = node.target("source")
    await node.plugin.publish(source.id, target, staging, kind.capability)
    rig.write(target, "from the source", block=kind.is_block)
    snapshot = await node.engine.snapshots.create(SnapshotRequest("snap", source.id))
    clone = await node.create("clone", kind, size=2 * kind.size, source=Source("snapshot", snapshot.id))
    copied = node.staging("clone"), node.target("clone")
    await node.plugin.stage(clone.id, copied[0], kind.capability)
    await node.plugin.publish(clone.id, copied[1], copied[0], kind.capability)
    assert rig.read(copied[1], block=kind.is_block) == "from the source"
    rig.write(copied[1], "from the clone", block=kind.is_block)
    assert rig.read(target, block=kind.is_block) == "from the source"
    record = await node.engine.volumes.get(clone.id)
    assert not record.grow
    assert not record.fresh_uuid
    if not kind.is_block:
        assert _fills(copied[1], 2 * kind.size)


async def test_a_volume_that_is_too_small_for_the_request_is_out_of_range(image_node: rig.Node) -> None:
    """The device grows in ControllerExpandVolume; the node does not promise more than it has."""
    kind = rig.IMAGE_EXT4
    volume = await image_node.create("grow", kind)
    staging = image_node.staging("s")
    await image_node.plugin.stage(volume.id, staging, kind.capability)
    with pytest.raises(errors.OutOfRange, match="ControllerExpandVolume comes first"):
        await image_node.plugin.expand(volume.id, staging, staging, SizeRange(required=GIB))
    with pytest.raises(errors.OutOfRange, match="limit_bytes"):
        await image_node.plugin.expand(volume.id, staging, staging, SizeRange(limit=kind.size - 4096))


async def test_only_a_staged_volume_is_expanded_and_only_where_it_is(image_node: rig.Node) -> None:
    """NodeExpandVolume MUST be called after NodeStageVolume; a path the volume is not at is NOT_FOUND."""
    kind = rig.IMAGE_EXT4
    volume = await image_node.create("grow", kind)
    staging = image_node.staging("s")
    with pytest.raises(errors.FailedPrecondition, match="not staged"):
        await image_node.plugin.expand(volume.id, staging, staging, SizeRange())
    await image_node.plugin.stage(volume.id, staging, kind.capability)
    with pytest.raises(errors.NotFound, match="is not at"):
        await image_node.plugin.expand(volume.id, image_node.target("t"), staging, SizeRange())
    with pytest.raises(errors.InvalidArgument, match="absolute"):
        await image_node.plugin.expand(volume.id, "some/path", staging, SizeRange())


async def test_a_volume_that_cannot_grow_its_filesystem_stays_usable(image_node: rig.Node) -> None:
    """The kernel does not resize btrfs below 256 MiB: the volume is staged as it is, and its health says what it lacks."""
    kind = rig.KINDS[2]
    volume = await image_node.create("small", kind, size=128 * MIB)
    staging = image_node.staging("s")
    await image_node.plugin.stage(volume.id, staging, kind.capability)
    await image_node.engine.volumes.expand(volume.id, SizeRange(required=160 * MIB))
    with pytest.raises(errors.FailedPrecondition, match="268435456 bytes or more"):
        await image_node.plugin.expand(volume.id, staging, staging, SizeRange())
    await image_node.plugin.unstage(volume.id, staging)
    await image_node.plugin.stage(volume.id, staging, kind.capability)
    assert [one.reason for one in await image_node.plugin.health(volume.id)] == ["FilesystemSmallerThanVolume"]
    await image_node.engine.volumes.expand(volume.id, SizeRange(required=256 * MIB))
    assert await image_node.plugin.expand(volume.id, staging, staging, SizeRange()) == 256 * MIB
    assert await image_node.plugin.health(volume.id) == []


async def test_a_mount_left_by_a_death_while_growing_for_readers_is_replaced(image_node: rig.Node) -> None:
    """The passing writable mount of a read-only stage is never what readers get."""
    volume = await image_node.create("grow", XFS)
    staging = image_node.staging("s")
    await image_node.plugin.stage(volume.id, staging, XFS.capability)
    await image_node.plugin.unstage(volume.id, staging)
    await image_node.engine.volumes.expand(volume.id, SizeRange(required=2 * XFS.size))
    pool = image_node.engine.pools.of(volume.id)
    record = await image_node.engine.volumes.get(volume.id)
    assert isinstance(pool.backend, base.Devices)
    device = pool.backend.attach(record)
    subprocess.run(["mount", device, staging], check=True)
    assert not filesystem.fills(staging, device, "xfs")
    await image_node.plugin.stage(volume.id, staging, Capability("mount", AccessMode.SINGLE_NODE_READER_ONLY, "xfs"))
    assert os.statvfs(staging).f_flag & os.ST_RDONLY
    assert _fills(staging, 2 * XFS.size)

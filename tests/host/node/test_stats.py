"""NodeGetVolumeStats and NodeGetVolumeHealth."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from driver.host.freeze import sync_filesystem
from driver.model import errors
from driver.model.health import Status
from driver.model.sizes import MIB

from . import rig

EXT4, XFS = rig.KINDS[0], rig.KINDS[1]


async def _published(node: rig.Node, kind: rig.Kind) -> tuple[str, str, str]:
    volume = await node.create("volume", kind)
    staging, target = node.staging("s"), node.target("t")
    await node.plugin.stage(volume.id, staging, kind.capability)
    await node.plugin.publish(volume.id, target, staging, kind.capability)
    return volume.id, staging, target


async def test_stats_tell_what_the_user_sees(node: rig.Node, kind: rig.Kind) -> None:
    """The same by staging and target path; bytes and, where there are any, inodes; block tells its size alone."""
    volume_id, staging, target = await _published(node, kind)
    if not kind.is_block:
        with open(f"{target}/data", "wb") as file:
            file.write(b"x" * (8 * MIB))
        sync_filesystem(target)  # btrfs counts when it commits
    rows = {row.unit: row for row in await node.plugin.stats(volume_id, target, staging)}
    assert [row.total for row in await node.plugin.stats(volume_id, staging)] == [row.total for row in rows.values()]
    if kind.is_block:
        assert [(row.unit, row.total, row.used, row.available) for row in rows.values()] == [
            ("bytes", kind.size, None, None)
        ]
        return
    row = rows["bytes"]
    assert row.used is not None
    assert row.available is not None
    assert 8 * MIB <= row.used <= row.total
    assert 0 < row.available < row.total
    if kind.backend == "image":
        assert kind.size * 0.75 < row.total <= kind.size
    if kind.capability.fs_type in ("ext4", "xfs"):
        assert rows["inodes"].total > 0
        assert rows["inodes"].used


async def test_a_limit_that_holds_is_the_total(node: rig.Node, kind: rig.Kind) -> None:
    """Where a quota keeps a directory volume below its size, df of the pool would be a lie."""
    volume_id, _, target = await _published(node, kind)
    total = (await node.plugin.stats(volume_id, target))[0].total
    if kind.name == "btrfs":
        assert total == kind.size
    elif kind.name == "directory":
        assert total > 4 * kind.size


async def test_stats_of_a_path_where_the_volume_is_not_are_not_found(image_node: rig.Node) -> None:
    """NOT_FOUND for another path, for one that the volume had, and for a relative one, where nothing can be."""
    volume_id, _, target = await _published(image_node, EXT4)
    with pytest.raises(errors.NotFound, match="is not at"):
        await image_node.plugin.stats(volume_id, image_node.target("other"))
    with pytest.raises(errors.NotFound, match="absolute"):
        await image_node.plugin.stats(volume_id, "some/path")
    subprocess.run(["umount", target], check=True)
    with pytest.raises(errors.NotFound, match="not mounted"):
        await image_node.plugin.stats(volume_id, target)


async def test_a_volume_in_order_has_no_ailment(node: rig.Node, kind: rig.Kind) -> None:
    """An empty list means healthy, in use or not."""
    volume = await node.create("idle", kind)
    assert await node.plugin.health(volume.id) == []
    volume_id, staging, target = await _published(node, kind)
    assert await node.plugin.health(volume_id, target, staging) == []
    with pytest.raises(errors.NotFound, match="is not at"):
        await node.plugin.health(volume_id, node.target("other"))


async def _reasons(node: rig.Node, volume_id: str) -> dict[str, Status]:
    return {one.reason: one.status for one in await node.plugin.health(volume_id)}


async def test_mounts_that_vanished_are_told_until_they_are_back(node: rig.Node, kind: rig.Kind) -> None:
    """INACCESSIBLE with a reason for each, gone when mended."""
    volume_id, staging, target = await _published(node, kind)
    subprocess.run(["umount", target], check=True)
    assert await _reasons(node, volume_id) == {"TargetMountMissing": Status.INACCESSIBLE}
    if not kind.is_block:
        subprocess.run(["umount", staging], check=True)
        assert await _reasons(node, volume_id) == dict.fromkeys(
            ["StagingMountMissing", "TargetMountMissing"], Status.INACCESSIBLE
        )
        await node.plugin.stage(volume_id, staging, kind.capability)
    await node.plugin.publish(volume_id, target, staging, kind.capability)
    assert await _reasons(node, volume_id) == {}


async def test_a_filesystem_gone_read_only_is_told_until_it_is_writable(image_node: rig.Node) -> None:
    """errors=remount-ro, and a person's remount: readers go on, writers cannot."""
    volume_id, staging, _ = await _published(image_node, EXT4)
    subprocess.run(["mount", "-o", "remount,ro", staging], check=True)
    assert await _reasons(image_node, volume_id) == {"FilesystemReadOnly": Status.INACCESSIBLE}
    subprocess.run(["mount", "-o", "remount,rw", staging], check=True)
    assert await _reasons(image_node, volume_id) == {}


async def test_errors_the_kernel_met_are_told_until_the_filesystem_is_checked(image_node: rig.Node) -> None:
    """ext4 counts them (errors_count); unstage and stage runs e2fsck over what is marked, and the count is gone."""
    volume_id, staging, target = await _published(image_node, EXT4)
    use = image_node.engine.uses.of(volume_id)
    assert use is not None
    trigger = Path("/sys/fs/ext4") / os.path.basename(use.device) / "trigger_fs_error"
    trigger.write_text("a test")
    for _ in range(50):  # the kernel counts a moment later
        if found := await _reasons(image_node, volume_id):
            break
        await asyncio.sleep(0.1)
    assert found == {"FilesystemErrors": Status.DEGRADED}
    await image_node.plugin.unpublish(volume_id, target)
    await image_node.plugin.unstage(volume_id, staging)
    await image_node.plugin.stage(volume_id, staging, EXT4.capability)
    assert await _reasons(image_node, volume_id) == {}


async def test_a_filesystem_that_shut_down_is_told(image_node: rig.Node) -> None:
    """xfs after a fatal error answers EIO to everything; unstage and stage bring it back."""
    volume_id, staging, target = await _published(image_node, XFS)
    subprocess.run(["xfs_io", "-x", "-c", "shutdown -f", staging], check=True)
    assert await _reasons(image_node, volume_id) == {"FilesystemUnreachable": Status.INACCESSIBLE}
    await image_node.plugin.unpublish(volume_id, target)
    await image_node.plugin.unstage(volume_id, staging)
    await image_node.plugin.stage(volume_id, staging, XFS.capability)
    await image_node.plugin.publish(volume_id, target, staging, XFS.capability)
    assert await _reasons(image_node, volume_id) == {}


async def test_an_image_that_vanished_is_told_until_it_is_back(image_node: rig.Node) -> None:
    """The kernel still has the file open; at the next stage it would be gone."""
    volume_id, _, _ = await _published(image_node, EXT4)
    image = next(Path(image_node.pool).rglob(f"{volume_id}*.img"))
    image.rename(f"{image}.away")
    assert "ImageMissing" in await _reasons(image_node, volume_id)
    Path(f"{image}.away").rename(image)
    assert await _reasons(image_node, volume_id) == {}


async def test_the_pools_ailments_are_the_nodes_storage_health(image_node: rig.Node) -> None:
    """NodeGetStorageHealth: every pool, with an empty list for a healthy one."""
    assert [(view.name, ailments) for view, ailments in await image_node.plugin.storage_health()] == [("pool", [])]


async def test_the_node_says_who_it_is_and_how_much_it_takes(image_node: rig.Node) -> None:
    """NodeGetInfo: one topology key, whose value never changes."""
    info = image_node.plugin.info()
    assert info.node_id == "node-a"
    assert info.max_volumes == 128
    assert info.topology == {"holdall.csi.dev/node": "node-a"}

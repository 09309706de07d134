"""Restarts, reboots, lost notes, and what a dead process left frozen."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from driver.host import loop
from driver.model import errors
from driver.model.capability import AccessMode, Capability

from . import rig

EXT4 = rig.IMAGE_EXT4


async def _published(node: rig.Node, kind: rig.Kind) -> tuple[str, str, str]:
    volume = await node.create("volume", kind)
    staging, target = node.staging("s"), node.target("t")
    await node.plugin.stage(volume.id, staging, kind.capability)
    await node.plugin.publish(volume.id, target, staging, kind.capability)
    rig.write(target, "precious", block=kind.is_block)
    return volume.id, staging, target


async def _back(node: rig.Node, volume_id: str, staging: str, target: str) -> None:
    await node.plugin.unpublish(volume_id, target)
    await node.plugin.unstage(volume_id, staging)
    assert not os.path.lexists(target)
    assert not os.path.ismount(staging)
    assert node.engine.uses.of(volume_id) is None
    assert not [one for one in loop.all_devices() if one.backing_path.startswith(f"{node.pool}/")]


async def test_a_restarted_driver_knows_what_is_in_use(node: rig.Node, kind: rig.Kind) -> None:
    """An upgrade breaks no mount: rules, statistics and the way back work as before."""
    volume_id, staging, target = await _published(node, kind)
    await node.restart()
    await node.plugin.stage(volume_id, staging, kind.capability)
    await node.plugin.publish(volume_id, target, staging, kind.capability)
    with pytest.raises(errors.AlreadyExists):
        await node.plugin.publish(volume_id, target, staging, kind.capability, readonly=True)
    assert await node.plugin.stats(volume_id, target)
    with pytest.raises(errors.InUse):
        await node.engine.volumes.delete(volume_id)
    await _back(node, volume_id, staging, target)


async def test_after_a_reboot_the_volume_comes_up_again(node: rig.Node, kind: rig.Kind) -> None:
    """Mounts and loop devices are gone, notes and directories are not: nothing is believed that is not there."""
    volume_id, staging, target = await _published(node, kind)
    await node.reboot()
    assert node.engine.uses.of(volume_id) is None
    with pytest.raises(errors.FailedPrecondition, match="stage it first"):
        await node.plugin.publish(volume_id, target, staging, kind.capability)
    await node.plugin.stage(volume_id, staging, kind.capability)
    await node.plugin.publish(volume_id, target, staging, kind.capability)
    assert rig.read(target, block=kind.is_block) == "precious"
    await _back(node, volume_id, staging, target)


async def test_after_a_reboot_the_way_back_is_open(node: rig.Node, kind: rig.Kind) -> None:
    """kubelet unpublishes and unstages what it had before the reboot; the empty target is taken away."""
    volume_id, staging, target = await _published(node, kind)
    await node.reboot()
    await _back(node, volume_id, staging, target)


async def test_lost_notes_are_made_good_from_what_is_mounted(node: rig.Node, kind: rig.Kind) -> None:
    """The notes are not synced and may be lost: publish recognizes a staged volume, and so does the way back."""
    volume_id, staging, target = await _published(node, kind)
    node.forget()
    await node.restart()
    second = node.target("t2")
    await node.plugin.publish(volume_id, second, staging, kind.capability)
    assert rig.read(second, block=kind.is_block) == "precious"
    await node.plugin.publish(volume_id, target, staging, kind.capability)
    node.forget()
    await node.plugin.unpublish(volume_id, second)
    await _back(node, volume_id, staging, target)


async def test_lost_notes_do_not_change_how_a_target_is_published(image_node: rig.Node) -> None:
    """A writable target is not passed off as a read-only one."""
    volume_id, staging, target = await _published(image_node, EXT4)
    image_node.forget()
    with pytest.raises(errors.FailedPrecondition, match="where it was to be ro"):
        await image_node.plugin.publish(volume_id, target, staging, EXT4.capability, readonly=True)
    await image_node.plugin.publish(volume_id, target, staging, EXT4.capability)


async def test_a_note_that_cannot_be_read_stops_nobody(image_node: rig.Node) -> None:
    """Half a note after a power cut is no note."""
    volume_id, staging, target = await _published(image_node, EXT4)
    notes = [path for path in (image_node.root / "state" / "uses").rglob("*") if path.is_file()]
    for path in notes:
        path.write_bytes(path.read_bytes()[:20])
    await image_node.restart()
    await _back(image_node, volume_id, staging, target)


async def test_one_target_stays_one_target_over_a_restart(image_node: rig.Node) -> None:
    """The T1/T2 table does not forget with the process."""
    capability = Capability("mount", AccessMode.SINGLE_NODE_SINGLE_WRITER, "ext4")
    volume = await image_node.create("volume", EXT4)
    staging = image_node.staging("s")
    await image_node.plugin.stage(volume.id, staging, capability)
    await image_node.plugin.publish(volume.id, image_node.target("t1"), staging, capability)
    await image_node.restart()
    with pytest.raises(errors.FailedPrecondition, match="SINGLE_NODE_SINGLE_WRITER"):
        await image_node.plugin.publish(volume.id, image_node.target("t2"), staging, capability)


@pytest.mark.parametrize("kind", rig.KINDS[:3], ids=lambda kind: kind.name)
async def test_a_filesystem_left_frozen_is_thawed_at_start(image_node: rig.Node, kind: rig.Kind) -> None:
    """At start FITHAW goes to every volume mount: a death over a snapshot stops no pod for good."""
    volume_id, staging, target = await _published(image_node, kind)
    subprocess.run(["fsfreeze", "--freeze", staging], check=True)
    await image_node.stop()
    started = time.monotonic()
    await image_node.start()
    assert time.monotonic() - started < 5
    writer = subprocess.Popen(["touch", f"{target}/file2"])
    assert writer.wait(5) == 0
    await _back(image_node, volume_id, staging, target)


async def test_staging_paths_behind_a_link_are_found_again(image_node: rig.Node, tmp_path: Path) -> None:
    """/var/lib/kubelet may be a link: the mount table words the paths in another way than the caller does."""
    real = tmp_path / "real"
    real.mkdir()
    (image_node.root / "kubelet").symlink_to(real)
    volume_id, staging, target = await _published(image_node, EXT4)
    await image_node.restart()
    assert image_node.engine.uses.of(volume_id) is not None
    await _back(image_node, volume_id, staging, target)


async def test_a_volume_unmounted_by_a_driver_that_died_is_mounted_again(image_node: rig.Node) -> None:
    """The device is still there, so no reboot took the mount: the caller believes the volume staged."""
    volume = await image_node.create("volume", EXT4)
    staging = image_node.staging("s")
    await image_node.plugin.stage(volume.id, staging, EXT4.capability)
    rig.write(staging, "precious")
    await image_node.stop()
    subprocess.run(["umount", staging], check=True)
    await image_node.start()
    await image_node.plugin.publish(volume.id, image_node.target("t"), staging, EXT4.capability)
    assert rig.read(image_node.target("t")) == "precious"


@contextmanager
def _dead_fuse(path: str) -> Iterator[None]:
    """A FUSE filesystem at ``path`` whose process is gone: every look at it is ENOTCONN."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    subprocess.run(["mount", "-i", "-t", "fuse", "-o", options, "dead", path], check=True, pass_fds=(device,))
    os.close(device)
    yield


async def test_a_dead_fuse_mount_at_the_target_is_replaced(image_node: rig.Node) -> None:
    """umount before stat: a target whose filesystem died (ENOTCONN) is in nobody's way."""
    volume = await image_node.create("volume", EXT4)
    staging, target = image_node.staging("s"), image_node.target("t")
    await image_node.plugin.stage(volume.id, staging, EXT4.capability)
    os.mkdir(target)
    with _dead_fuse(target):
        await image_node.plugin.publish(volume.id, target, staging, EXT4.capability)
        rig.write(target, "alive")
        await image_node.plugin.unpublish(volume.id, target)
    assert not os.path.lexists(target)


async def test_a_container_being_started_does_not_fail_an_unstage(image_node: rig.Node) -> None:
    """runc copies the host's mounts for a moment, and with them keeps an unmounted volume's device busy."""
    volume = await image_node.create("volume", EXT4)
    staging = image_node.staging("s")
    await image_node.plugin.stage(volume.id, staging, EXT4.capability)
    starting = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", "echo; exec sleep 0.3"], stdout=subprocess.PIPE, text=True
    )
    with starting:
        assert starting.stdout is not None
        starting.stdout.readline()
        await image_node.plugin.unstage(volume.id, staging)
        assert image_node.engine.uses.of(volume.id) is None

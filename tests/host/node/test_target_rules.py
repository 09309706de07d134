"""What NodePublishVolume and NodeStageVolume allow at which paths, with real mounts behind them."""

import os
import subprocess
from pathlib import Path

import pytest

from driver.model import errors
from driver.model.capability import AccessMode, Capability

from . import rig

EXT4 = rig.IMAGE_EXT4


def _mode(kind: rig.Kind, mode: AccessMode, *flags: str) -> Capability:
    return Capability(kind.capability.access, mode, kind.capability.fs_type, flags)


async def _staged(node: rig.Node, kind: rig.Kind, capability: Capability | None = None) -> tuple[str, str]:
    volume = await node.create("volume", kind)
    staging = node.staging("s")
    await node.plugin.stage(volume.id, staging, capability or kind.capability)
    return volume.id, staging


@pytest.mark.parametrize("mode", [AccessMode.SINGLE_NODE_WRITER, AccessMode.SINGLE_NODE_SINGLE_WRITER])
async def test_second_target_of_a_single_writer_is_failed_precondition(
    node: rig.Node, kind: rig.Kind, mode: AccessMode
) -> None:
    """T1!=T2 for SINGLE_NODE_SINGLE_WRITER and Non MULTI_NODE; free again once T1 is unpublished."""
    capability = _mode(kind, mode)
    volume_id, staging = await _staged(node, kind, capability)
    first, second = node.target("t1"), node.target("t2")
    await node.plugin.publish(volume_id, first, staging, capability)
    with pytest.raises(errors.FailedPrecondition, match=f"published at {first}"):
        await node.plugin.publish(volume_id, second, staging, capability)
    assert not os.path.lexists(second)
    await node.plugin.unpublish(volume_id, first)
    await node.plugin.publish(volume_id, second, staging, capability)


async def test_many_targets_of_a_multi_writer_see_one_volume(node: rig.Node, kind: rig.Kind) -> None:
    """T1!=T2 is OK for SINGLE_NODE_MULTI_WRITER, also when the other arguments differ."""
    volume_id, staging = await _staged(node, kind)
    paths = [node.target(f"t{number}") for number in range(3)]
    for path in paths:
        await node.plugin.publish(volume_id, path, staging, kind.capability, readonly=path == paths[2])
    rig.write(paths[0], "shared", block=kind.is_block)
    assert [rig.read(path, block=kind.is_block) for path in paths] == ["shared"] * 3
    for path in paths:
        await node.plugin.unpublish(volume_id, path)


async def test_same_target_with_other_arguments_is_already_exists(node: rig.Node, kind: rig.Kind) -> None:
    """T1=T2, P1!=P2: ALREADY_EXISTS, and what is there stays as it is."""
    volume_id, staging = await _staged(node, kind)
    target = node.target("t")
    await node.plugin.publish(volume_id, target, staging, kind.capability)
    with pytest.raises(errors.AlreadyExists, match="unpublish it first"):
        await node.plugin.publish(volume_id, target, staging, kind.capability, readonly=True)
    with pytest.raises(errors.AlreadyExists, match="unpublish it first"):
        await node.plugin.publish(volume_id, target, staging, _mode(kind, AccessMode.SINGLE_NODE_WRITER))
    rig.write(target, "still writable", block=kind.is_block)


async def test_a_target_nobody_has_mounted_any_more_is_in_nobodys_way(image_node: rig.Node) -> None:
    """A note alone is no publication: unmounted behind our back, the path and the place are free."""
    capability = _mode(EXT4, AccessMode.SINGLE_NODE_SINGLE_WRITER)
    volume_id, staging = await _staged(image_node, EXT4, capability)
    first, second = image_node.target("t1"), image_node.target("t2")
    await image_node.plugin.publish(volume_id, first, staging, capability)
    subprocess.run(["umount", first], check=True)
    await image_node.plugin.publish(volume_id, first, staging, capability, readonly=True)
    subprocess.run(["umount", first], check=True)
    await image_node.plugin.publish(volume_id, second, staging, capability)
    use = image_node.engine.uses.of(volume_id)
    assert use is not None
    assert list(use.targets) == [second]


async def test_a_target_unmounted_behind_our_back_is_mounted_again(node: rig.Node, kind: rig.Kind) -> None:
    """Idempotent means: afterwards it is published."""
    volume_id, staging = await _staged(node, kind)
    target = node.target("t")
    await node.plugin.publish(volume_id, target, staging, kind.capability)
    rig.write(target, "back", block=kind.is_block)
    subprocess.run(["umount", target], check=True)
    await node.plugin.publish(volume_id, target, staging, kind.capability)
    assert rig.read(target, block=kind.is_block) == "back"


async def test_readonly_holds_for_its_target_alone(node: rig.Node, kind: rig.Kind) -> None:
    """The readonly flag is per target: a reader beside a writer reads what the writer writes, and cannot write."""
    if kind.is_block:
        return  # one device, one switch: see the next test
    volume_id, staging = await _staged(node, kind)
    reader, writer = node.target("r"), node.target("w")
    await node.plugin.publish(volume_id, reader, staging, kind.capability, readonly=True)
    with pytest.raises(OSError, match="Read-only"):
        rig.write(reader, "no")
    await node.plugin.publish(volume_id, writer, staging, kind.capability)
    rig.write(writer, "yes")
    assert rig.read(reader) == "yes"
    with pytest.raises(OSError, match="Read-only"):
        rig.write(reader, "no")


async def test_a_block_volume_with_readers_only_refuses_writes(image_node: rig.Node) -> None:
    """A read-only bind mount does not keep anybody from writing to a device: the device itself refuses."""
    kind = next(one for one in rig.KINDS if one.is_block)
    volume_id, staging = await _staged(image_node, kind)
    reader, writer = image_node.target("r"), image_node.target("w")
    await image_node.plugin.publish(volume_id, reader, staging, kind.capability, readonly=True)
    with pytest.raises(OSError):
        rig.write(reader, "no", block=True)
    await image_node.plugin.publish(volume_id, writer, staging, kind.capability)
    rig.write(writer, "yes", block=True)
    assert rig.read(reader, block=True) == "yes"
    await image_node.plugin.unpublish(volume_id, writer)
    with pytest.raises(OSError):
        rig.write(reader, "no", block=True)
    await image_node.plugin.unpublish(volume_id, reader)
    await image_node.plugin.unstage(volume_id, staging)
    await image_node.plugin.stage(volume_id, staging, kind.capability)
    await image_node.plugin.publish(volume_id, writer, staging, kind.capability)
    rig.write(writer, "again", block=True)


@pytest.mark.parametrize("mode", [AccessMode.SINGLE_NODE_READER_ONLY, AccessMode.MULTI_NODE_READER_ONLY])
async def test_a_reader_only_mode_is_read_only_without_the_flag(
    node: rig.Node, kind: rig.Kind, mode: AccessMode
) -> None:
    """READER_ONLY: the volume can be published as readonly only."""
    capability = _mode(kind, mode)
    volume_id, staging = await _staged(node, kind, capability)
    target = node.target("t")
    await node.plugin.publish(volume_id, target, staging, capability)
    with pytest.raises(OSError):
        rig.write(target, "no", block=kind.is_block)
    with pytest.raises(errors.FailedPrecondition, match="staged read-only"):
        await node.plugin.publish(volume_id, node.target("w"), staging, kind.capability)
    await node.plugin.unpublish(volume_id, target)
    await node.plugin.unstage(volume_id, staging)


async def test_mount_options_are_in_force_at_the_target(image_node: rig.Node) -> None:
    """mount_flags of the capability; one only for this target is added there alone."""
    capability = _mode(EXT4, rig.WRITER, "noatime", "nodev", "data=ordered")
    volume_id, staging = await _staged(image_node, EXT4, capability)
    plain, strict = image_node.target("plain"), image_node.target("strict")
    await image_node.plugin.publish(volume_id, plain, staging, capability)
    await image_node.plugin.publish(volume_id, strict, staging, _mode(EXT4, rig.WRITER, "noexec"))
    seen = {path: os.statvfs(path).f_flag for path in (plain, strict)}
    assert seen[plain] & os.ST_NOATIME
    assert seen[plain] & os.ST_NODEV
    assert not seen[plain] & os.ST_NOEXEC
    assert seen[strict] & os.ST_NOEXEC


@pytest.mark.parametrize("flag", ["bind", "remount", "no-such-option", "loop"])
async def test_a_mount_option_that_is_none_is_invalid(image_node: rig.Node, flag: str) -> None:
    """INVALID_ARGUMENT naming the option, and nothing is left staged."""
    volume = await image_node.create("volume", EXT4)
    with pytest.raises(errors.InvalidArgument, match=flag):
        await image_node.plugin.stage(volume.id, image_node.staging("s"), _mode(EXT4, rig.WRITER, flag))
    assert image_node.engine.uses.of(volume.id) is None
    await image_node.plugin.stage(volume.id, image_node.staging("s"), EXT4.capability)


async def test_stage_again_in_another_way_is_already_exists(node: rig.Node, kind: rig.Kind) -> None:
    """Volume published but incompatible: ALREADY_EXISTS; another writer mode is the same stage."""
    volume_id, staging = await _staged(node, kind)
    with pytest.raises(errors.AlreadyExists, match="in another way"):
        await node.plugin.stage(volume_id, staging, _mode(kind, AccessMode.SINGLE_NODE_READER_ONLY))
    await node.plugin.stage(volume_id, staging, _mode(kind, AccessMode.SINGLE_NODE_WRITER))


async def test_publish_before_stage_is_failed_precondition(node: rig.Node, kind: rig.Kind) -> None:
    """Staging target path not set, or nothing staged there: FAILED_PRECONDITION."""
    volume = await node.create("volume", kind)
    staging, target = node.staging("s"), node.target("t")
    for path in ("", staging):
        with pytest.raises(errors.FailedPrecondition, match=r"stage"):
            await node.plugin.publish(volume.id, target, path, kind.capability)
    await node.plugin.stage(volume.id, staging, kind.capability)
    with pytest.raises(errors.FailedPrecondition, match="not at"):
        await node.plugin.publish(volume.id, target, node.staging("other"), kind.capability)
    assert not os.path.lexists(target)


async def test_a_staging_mount_that_vanished_is_not_published_from(image_node: rig.Node) -> None:
    """Binding the bare staging directory would let a pod write to the host's own disk."""
    volume_id, staging = await _staged(image_node, EXT4)
    subprocess.run(["umount", staging], check=True)
    target = image_node.target("t")
    with pytest.raises(errors.FailedPrecondition, match="stage it again"):
        await image_node.plugin.publish(volume_id, target, staging, EXT4.capability)
    assert not os.path.lexists(target)
    await image_node.plugin.stage(volume_id, staging, EXT4.capability)
    await image_node.plugin.publish(volume_id, target, staging, EXT4.capability)


async def test_unstage_of_a_published_volume_is_refused(node: rig.Node, kind: rig.Kind) -> None:
    """All NodeUnpublishVolume come first; the mounts stay usable."""
    volume_id, staging = await _staged(node, kind)
    target = node.target("t")
    await node.plugin.publish(volume_id, target, staging, kind.capability)
    with pytest.raises(errors.InUse, match=f"published at {target}"):
        await node.plugin.unstage(volume_id, staging)
    rig.write(target, "alive", block=kind.is_block)


async def test_stage_elsewhere_is_refused_while_staged(image_node: rig.Node) -> None:
    """There is only one staging_target_path per volume; unstage of another path leaves it alone."""
    volume_id, staging = await _staged(image_node, EXT4)
    with pytest.raises(errors.FailedPrecondition, match=f"staged at {staging}"):
        await image_node.plugin.stage(volume_id, image_node.staging("other"), EXT4.capability)
    await image_node.plugin.unstage(volume_id, image_node.staging("other"))
    assert os.path.ismount(staging)


async def test_a_stranger_mounted_at_the_staging_path_is_not_covered(image_node: rig.Node) -> None:
    """Laying a device over a stale mount loses whatever is written to the lower one."""
    volume = await image_node.create("volume", EXT4)
    staging = image_node.staging("s")
    subprocess.run(["mount", "-t", "tmpfs", "stranger", staging], check=True)
    with pytest.raises(errors.FailedPrecondition, match="stranger"):
        await image_node.plugin.stage(volume.id, staging, EXT4.capability)
    assert image_node.engine.uses.of(volume.id) is None
    await image_node.plugin.unstage(volume.id, staging)
    assert os.path.ismount(staging)


@pytest.mark.parametrize("what", ["link", "file", "full directory", "stranger"])
async def test_what_lies_at_the_target_is_neither_followed_nor_hidden_nor_removed(
    node: rig.Node, kind: rig.Kind, what: str, tmp_path: Path
) -> None:
    """A hostile or foreign thing at the target path stays as it is; nothing outside is touched."""
    volume_id, staging = await _staged(node, kind)
    target = Path(node.target("t"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if what == "link":
        target.symlink_to(elsewhere)
    elif what == "file":
        target.write_text("precious")
    else:
        target.mkdir()
        if what == "stranger":
            subprocess.run(["mount", "-t", "tmpfs", "stranger", str(target)], check=True)
        (target / "precious").touch()
    with pytest.raises(errors.FailedPrecondition):
        await node.plugin.publish(volume_id, str(target), staging, kind.capability)
    use = node.engine.uses.of(volume_id)
    assert use is not None
    assert not use.targets
    try:
        await node.plugin.unpublish(volume_id, str(target))
    except errors.FailedPrecondition:
        assert what == "stranger"
    assert os.path.lexists(target)
    assert list(elsewhere.iterdir()) == []
    assert not os.path.ismount(elsewhere)
    if target.is_dir() and what != "link":
        assert (target / "precious").exists()


async def test_a_link_put_in_place_of_a_published_target_is_kept(image_node: rig.Node, tmp_path: Path) -> None:
    """unpublish unmounts and removes what it made, never what a link points to."""
    volume_id, staging = await _staged(image_node, EXT4)
    target = image_node.target("t")
    await image_node.plugin.publish(volume_id, target, staging, EXT4.capability)
    subprocess.run(["umount", target], check=True)
    os.rmdir(target)
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "stranger", str(other)], check=True)
    os.symlink(other, target)
    with pytest.raises(errors.FailedPrecondition, match="symbolic link"):
        await image_node.plugin.unpublish(volume_id, target)
    assert os.path.ismount(other)
    assert os.path.islink(target)


async def test_a_missing_parent_or_staging_path_is_the_callers_fault(image_node: rig.Node, tmp_path: Path) -> None:
    """The CO makes the staging path and the target's parent."""
    volume = await image_node.create("volume", EXT4)
    with pytest.raises(errors.FailedPrecondition, match="does not exist"):
        await image_node.plugin.stage(volume.id, str(tmp_path / "nowhere"), EXT4.capability)
    staging = image_node.staging("s")
    await image_node.plugin.stage(volume.id, staging, EXT4.capability)
    with pytest.raises(errors.FailedPrecondition, match="parent directory"):
        await image_node.plugin.publish(volume.id, str(tmp_path / "no" / "where"), staging, EXT4.capability)


async def test_a_busy_target_is_in_use_and_stays(image_node: rig.Node) -> None:
    """A process that has a file open keeps its volume; unpublish says so and works once it is closed."""
    volume_id, staging = await _staged(image_node, EXT4)
    target = image_node.target("t")
    await image_node.plugin.publish(volume_id, target, staging, EXT4.capability)
    with open(f"{target}/open", "w") as file:
        with pytest.raises(errors.InUse, match="busy"):
            await image_node.plugin.unpublish(volume_id, target)
        file.write("still here")
    await image_node.plugin.unpublish(volume_id, target)
    assert not os.path.lexists(target)

"""The life of every kind of volume on a node, and every verb of it said three times."""

import asyncio
import os

import pytest

from driver.model import errors
from driver.model.capability import Capability
from driver.model.sizes import SizeRange

from . import rig


async def test_what_is_written_is_there_again_after_unstage_and_stage(node: rig.Node, kind: rig.Kind) -> None:
    """Stage, publish, write, go all the way back, and come again at other paths."""
    volume = await node.create("life", kind)
    for number in range(2):
        staging, target = node.staging(f"s{number}"), node.target(f"t{number}")
        await node.plugin.stage(volume.id, staging, kind.capability)
        await node.plugin.publish(volume.id, target, staging, kind.capability)
        if number == 0:
            rig.write(target, "precious", block=kind.is_block)
        assert rig.read(target, block=kind.is_block) == "precious"
        await node.plugin.unpublish(volume.id, target)
        assert not os.path.lexists(target)
        await node.plugin.unstage(volume.id, staging)
        assert not os.path.ismount(staging)
        assert os.listdir(staging) == []
    assert node.engine.uses.of(volume.id) is None
    await node.engine.volumes.delete(volume.id)


async def test_every_verb_may_be_said_three_times(node: rig.Node, kind: rig.Kind) -> None:
    """CSI: every Node RPC MUST be idempotent."""
    volume = await node.create("thrice", kind)
    staging, target = node.staging("s"), node.target("t")
    for _ in range(3):
        await node.plugin.stage(volume.id, staging, kind.capability)
    for _ in range(3):
        await node.plugin.publish(volume.id, target, staging, kind.capability)
    rig.write(target, "once", block=kind.is_block)
    assert rig.read(target, block=kind.is_block) == "once"
    for _ in range(3):
        await node.plugin.unpublish(volume.id, target)
    for _ in range(3):
        await node.plugin.unstage(volume.id, staging)
    assert node.engine.uses.of(volume.id) is None


async def test_two_volumes_at_one_staging_path_do_not_stack(image_node: rig.Node) -> None:
    """Rule: one of them is there, the other is refused; a second mount would hide the first."""
    kind, staging = rig.IMAGE_EXT4, image_node.staging("s")
    one, two = await image_node.create("one", kind), await image_node.create("two", kind)
    stages = (image_node.plugin.stage(volume.id, staging, kind.capability) for volume in (one, two))
    ends = await asyncio.gather(*stages, return_exceptions=True)
    assert [type(end) for end in ends] == [type(None), errors.Busy]
    with pytest.raises(errors.FailedPrecondition):
        await image_node.plugin.stage(two.id, staging, kind.capability)
    await image_node.plugin.unstage(one.id, staging)
    assert not os.path.ismount(staging)
    await image_node.plugin.stage(two.id, staging, kind.capability)
    await image_node.plugin.unstage(two.id, staging)


async def test_a_volume_in_use_is_not_deleted(node: rig.Node, kind: rig.Kind) -> None:
    """DeleteVolume: in use is FAILED_PRECONDITION, and alters nothing."""
    volume = await node.create("held", kind)
    staging = node.staging("s")
    await node.plugin.stage(volume.id, staging, kind.capability)
    with pytest.raises(errors.InUse, match="staged at"):
        await node.engine.volumes.delete(volume.id)
    await node.plugin.unstage(volume.id, staging)
    await node.engine.volumes.delete(volume.id)


async def test_a_volume_is_not_had_in_a_way_it_is_not(node: rig.Node, kind: rig.Kind) -> None:
    """NodeStageVolume, exceeds capabilities: FAILED_PRECONDITION; NodeExpandVolume says INVALID_ARGUMENT."""
    volume = await node.create("kind", kind)
    other = Capability("mount" if kind.is_block else "block", rig.WRITER)
    with pytest.raises(errors.FailedPrecondition, match=f"is a {volume.kind} volume"):
        await node.plugin.stage(volume.id, node.staging("s"), other)
    with pytest.raises(errors.InvalidArgument, match=f"is a {volume.kind} volume"):
        await node.plugin.expand(volume.id, node.staging("s"), "", SizeRange(), other)


async def test_an_unknown_volume_is_not_found(node: rig.Node, kind: rig.Kind) -> None:
    """NOT_FOUND where the volume is needed, OK where only its absence is; looked up before a path is judged."""
    known = await node.create("known", kind)
    staging, target = node.staging("s"), node.target("t")
    for unknown in (
        known.id[:-1] + ("0" if known.id[-1] != "0" else "1"),
        "some-volume",
        "p000000000000.v-" + "0" * 24,
    ):
        for call in (
            node.plugin.stage(unknown, staging, kind.capability),
            node.plugin.publish(unknown, target, staging, kind.capability),
            node.plugin.stats(unknown, "some/path"),
            node.plugin.expand(unknown, "some/path", "", SizeRange()),
            node.plugin.health(unknown, "some/path"),
        ):
            with pytest.raises(errors.NotFound):
                await call
        await node.plugin.unpublish(unknown, target)
        await node.plugin.unstage(unknown, staging)
    assert not os.path.lexists(target)

"""Inline ephemeral volumes: made by publish, gone with unpublish, found again whatever happens between."""

import os
from collections.abc import Sequence

import pytest

from driver.model import errors
from driver.model.capability import Capability
from driver.model.sizes import MIB
from driver.model.volume import Volume, VolumeRequest

from . import rig

POD = "csi-0f3a5c0d8e1b2a497f6e5d4c3b2a19087f6e5d4c3b2a19087f6e5d4c3b2a1908"
CONTEXT = {
    "csi.storage.k8s.io/ephemeral": "true",
    "csi.storage.k8s.io/pod.name": "web-0",
    "size": "16Mi",
}
MOUNT = Capability("mount", rig.WRITER)


async def _publish(node: rig.Node, target: str, *, readonly: bool = False, **context: str) -> None:
    await node.plugin.publish(POD, target, "", MOUNT, readonly, {**CONTEXT, **context})


async def _volumes(node: rig.Node) -> Sequence[Volume]:
    return [entry.volume for entry in (await node.engine.volumes.page("", 0)).entries]


async def test_an_inline_volume_lives_from_publish_to_unpublish(node: rig.Node, kind: rig.Kind) -> None:
    """Three times publish is one volume; unpublish takes all of it away; three times unpublish is fine."""
    target = node.target("t")
    for _ in range(3):
        await _publish(node, target)
    rig.write(target, "scratch")
    assert len(await _volumes(node)) == 1
    assert (await node.plugin.stats(POD, target))[0].unit == "bytes"
    assert await node.plugin.health(POD, target) == []
    for _ in range(3):
        await node.plugin.unpublish(POD, target)
    assert await _volumes(node) == []
    assert not os.path.lexists(target)
    assert list((node.root / "state" / "inline").iterdir()) == []


async def test_size_and_filesystem_are_as_the_pod_says(image_node: rig.Node) -> None:
    """volumeAttributes size and fsType; kubelet's own keys do not end up in the record."""
    await _publish(image_node, image_node.target("t"), size="300Mi", fsType="xfs")
    (volume,) = await _volumes(image_node)
    assert volume.fs_type == "xfs"
    assert volume.size == 300 * MIB
    assert "csi.storage.k8s.io/pod.name" not in volume.asked


async def test_a_restart_loses_no_inline_volume(image_node: rig.Node) -> None:
    """After a restart, a reboot or without notes, publish finds its volume and unpublish removes it."""
    target = image_node.target("t")
    await _publish(image_node, target)
    rig.write(target, "scratch")
    await image_node.restart()
    await _publish(image_node, target)
    assert rig.read(target) == "scratch"
    await image_node.reboot()
    await _publish(image_node, target)
    assert rig.read(target) == "scratch"
    image_node.forget()
    await image_node.plugin.unpublish(POD, target)
    assert await _volumes(image_node) == []
    assert not os.path.lexists(target)


async def test_an_inline_volume_that_cannot_be_published_is_not_left_behind(image_node: rig.Node) -> None:
    """kubelet never unpublishes what was never published."""
    target = image_node.target("t")
    os.symlink("/", target)
    with pytest.raises(errors.FailedPrecondition):
        await _publish(image_node, target)
    assert await _volumes(image_node) == []
    assert list(image_node.engine.uses.all()) == []
    with pytest.raises(errors.InvalidArgument, match="sise"):
        await _publish(image_node, target, sise="1Gi")


async def test_a_failed_publish_keeps_an_inline_volume_that_was_there(image_node: rig.Node) -> None:
    """Only what this call made is taken back."""
    target = image_node.target("t")
    await _publish(image_node, target)
    rig.write(target, "scratch")
    with pytest.raises(errors.AlreadyExists):
        await _publish(image_node, target, readonly=True)
    with pytest.raises(errors.AlreadyExists):
        await _publish(image_node, target, size="32Mi")
    assert rig.read(target) == "scratch"


async def test_a_volume_that_only_has_such_a_name_is_nobodys_inline_volume(image_node: rig.Node) -> None:
    """What a person made and named like an inline volume is neither published nor deleted as one."""
    volume = await image_node.engine.volumes.create(VolumeRequest(f"inline-{POD}", (MOUNT,)))
    target = image_node.target("t")
    await image_node.plugin.unpublish(POD, target)
    with pytest.raises(errors.AlreadyExists):
        await _publish(image_node, target)
    with pytest.raises(errors.NotFound):
        await image_node.plugin.stats(POD, target)
    assert [one.id for one in await _volumes(image_node)] == [volume.id]


async def test_a_read_only_inline_volume_is_read_only(image_node: rig.Node) -> None:
    """readonly of the pod's volume source."""
    target = image_node.target("t")
    await _publish(image_node, target, readonly=True)
    with pytest.raises(OSError, match="Read-only"):
        rig.write(target, "no")
    await image_node.plugin.unpublish(POD, target)
    assert await _volumes(image_node) == []

"""The driver dies after any call to the host, a new one starts, and the same call is made again.

Nothing may be lost, left over or formatted twice; a kubelet that gives up instead of trying again must find the way back
as open as the way on.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest

from driver.host import effect, loop
from driver.model.sizes import MIB, SizeRange
from driver.model.snapshot import SnapshotRequest
from driver.model.volume import Source

from ...states import death
from . import rig
from .conftest import MakeNode

Verb = Callable[[rig.Node, rig.Kind, str], Awaitable[None]]


class Count:
    """Counts effects."""

    def __init__(self) -> None:
        self.number = 0

    def before(self, name: str, args: tuple[object, ...]) -> None:
        pass

    def after(self, name: str, args: tuple[object, ...]) -> None:
        self.number += 1


@asynccontextmanager
async def _running(node: rig.Node) -> AsyncIterator[rig.Node]:
    await node.start()
    try:
        yield node
    finally:
        effect.uninstall()
        await node.stop()


async def _nothing(node: rig.Node, kind: rig.Kind, volume_id: str) -> None:
    pass


async def _stage(node: rig.Node, kind: rig.Kind, volume_id: str) -> None:
    await node.plugin.stage(volume_id, node.staging(volume_id), kind.capability)


async def _publish(node: rig.Node, kind: rig.Kind, volume_id: str) -> None:
    await node.plugin.publish(volume_id, node.target(volume_id), node.staging(volume_id), kind.capability)


async def _unpublish(node: rig.Node, kind: rig.Kind, volume_id: str) -> None:
    await node.plugin.unpublish(volume_id, node.target(volume_id))


async def _unstage(node: rig.Node, kind: rig.Kind, volume_id: str) -> None:
    await node.plugin.unstage(volume_id, node.staging(volume_id))


async def _expand(node: rig.Node, kind: rig.Kind, volume_id: str) -> None:
    await node.plugin.expand(volume_id, node.staging(volume_id), node.staging(volume_id), SizeRange())


async def _used_once(node: rig.Node, kind: rig.Kind, volume_id: str) -> None:
    await _stage(node, kind, volume_id)
    await _publish(node, kind, volume_id)
    rig.write(node.target(volume_id), "precious", block=kind.is_block)
    await _unpublish(node, kind, volume_id)


async def _used_and_away(node: rig.Node, kind: rig.Kind, volume_id: str) -> None:
    await _used_once(node, kind, volume_id)
    await _unstage(node, kind, volume_id)


async def _used_and_published(node: rig.Node, kind: rig.Kind, volume_id: str) -> None:
    await _used_once(node, kind, volume_id)
    await _publish(node, kind, volume_id)


async def _enlarged(node: rig.Node, kind: rig.Kind, volume_id: str) -> None:
    await _used_once(node, kind, volume_id)
    await node.engine.volumes.expand(volume_id, SizeRange(required=2 * kind.size))


async def _enlarged_and_away(node: rig.Node, kind: rig.Kind, volume_id: str) -> None:
    await _used_and_away(node, kind, volume_id)
    await node.engine.volumes.expand(volume_id, SizeRange(required=2 * kind.size))


CASES: dict[str, tuple[Verb, Verb, bool]] = {
    "first stage": (_nothing, _stage, False),
    "later stage": (_used_and_away, _stage, True),
    "growing stage": (_enlarged_and_away, _stage, True),
    "publish": (_used_once, _publish, True),
    "unpublish": (_used_and_published, _unpublish, True),
    "unstage": (_used_once, _unstage, True),
    "expand": (_enlarged, _expand, True),
}
"""What was before, the verb that is cut off, and whether there is data to be found again."""


async def _counted(node: rig.Node, kind: rig.Kind, before: Verb, verb: Verb) -> int:
    """How many effects the verb has, undisturbed."""
    async with _running(node):
        volume = await node.create("undisturbed", kind)
        await before(node, kind, volume.id)
        count = Count()
        effect.install(count)
        await verb(node, kind, volume.id)
        effect.uninstall()
        await _back(node, kind, volume.id)
        return count.number


async def _cut_off(node: rig.Node, kind: rig.Kind, before: Verb, verb: Verb, name: str, number: int) -> str:
    """In a process of its own: everything up to the ``number``-th effect of the verb."""
    await node.start()
    volume = await node.create(name, kind)
    await before(node, kind, volume.id)
    death.arm(number)
    await verb(node, kind, volume.id)
    effect.uninstall()
    await node.stop()
    return volume.id


async def _tried_again(node: rig.Node, kind: rig.Kind, volume_id: str, verb: Verb, is_used: bool) -> None:
    """The verb again, then the whole way on, and all the way back."""
    await verb(node, kind, volume_id)
    await verb(node, kind, volume_id)
    await _stage(node, kind, volume_id)
    await _publish(node, kind, volume_id)
    assert not is_used or rig.read(node.target(volume_id), block=kind.is_block) == "precious"
    assert await node.plugin.health(volume_id) == []
    await _back(node, kind, volume_id)


async def _given_up(node: rig.Node, kind: rig.Kind, volume_id: str, is_used: bool) -> None:
    """kubelet does not try again but goes back; later the volume is wanted after all."""
    await _back(node, kind, volume_id)
    await _stage(node, kind, volume_id)
    await _publish(node, kind, volume_id)
    assert not is_used or rig.read(node.target(volume_id), block=kind.is_block) == "precious"
    await _back(node, kind, volume_id)
    await node.engine.volumes.delete(volume_id)


async def _back(node: rig.Node, kind: rig.Kind, volume_id: str) -> None:
    await _unpublish(node, kind, volume_id)
    await _unstage(node, kind, volume_id)
    assert not os.path.lexists(node.target(volume_id))
    assert not os.path.ismount(node.staging(volume_id))
    assert os.listdir(node.staging(volume_id)) == []
    assert node.engine.uses.of(volume_id) is None


async def _healed(node: rig.Node, kind: rig.Kind, case: str, cut: list[str]) -> None:
    _, verb, is_used = CASES[case]
    async with _running(node):
        for name in cut:
            volume = await node.create(name, kind)
            if name.endswith("back"):
                await _given_up(node, kind, volume.id, is_used)
            else:
                await _tried_again(node, kind, volume.id, verb, is_used)
    assert not [one for one in loop.all_devices() if one.backing_path.startswith(f"{node.pool}/")]


DEADLY = (rig.KINDS[0], rig.KINDS[3], rig.KINDS[4], rig.KINDS[5])


def _points(count: int, full: bool) -> list[int]:
    """All of them, or in a slice the first, the last and some that differ from run to run."""
    points = list(range(1, count + 1))
    if full or count <= 3:
        return points
    return sorted({1, count, *random.sample(points[1:-1], min(2, count - 2))})


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", DEADLY, ids=lambda kind: kind.name)
def test_a_death_after_any_effect_heals(make_node: MakeNode, kind: rig.Kind, case: str, full_proof: bool) -> None:
    """Every verb, cut off after each of its effects, is finished by its retry, or undone by the way back.

    All deaths come one after the other, each on a volume of its own and in what the earlier ones left.
    """
    before, verb, _ = CASES[case]
    node = make_node(kind)
    count = asyncio.run(_counted(node, kind, before, verb))
    assert count or case == "expand", "the verb had no effect at all"
    cut = []
    for number in _points(count, full_proof):
        for way in ("on", "back") if full_proof else (random.choice(("on", "back")),):
            name = f"{case}-{number}-{way}"
            code, _ = death.in_child(partial(_cut_off, node, kind, before, verb, name, number))
            assert code in (0, death.DIED)
            cut.append(name)
    asyncio.run(_healed(node, kind, case, cut))


def test_a_death_while_a_copy_is_first_staged_heals(make_node: MakeNode, full_proof: bool) -> None:
    """A clone's new UUID and its growth, cut off anywhere: the data is the source's, and both can be mounted."""
    kind = rig.KINDS[1]
    node = make_node(kind)

    async def cloned(name: str, source_id: str) -> str:
        snapshot = await node.engine.snapshots.create(SnapshotRequest(f"{name}-snap", source_id))
        clone = await node.create(name, kind, size=kind.size + 64 * MIB, source=Source("snapshot", snapshot.id))
        return clone.id

    async def prepare() -> tuple[str, int]:
        async with _running(node):
            source = await node.create("source", kind)
            await _used_and_away(node, kind, source.id)
            clone_id = await cloned("undisturbed", source.id)
            count = Count()
            effect.install(count)
            await _stage(node, kind, clone_id)
            effect.uninstall()
            await _unstage(node, kind, clone_id)
            return source.id, count.number

    async def cut_off(name: str, number: int) -> None:
        await node.start()
        clone_id = await cloned(name, source_id)
        death.arm(number)
        await _stage(node, kind, clone_id)

    async def heal(name: str) -> None:
        async with _running(node):
            await _stage(node, kind, source_id)
            await _tried_again(node, kind, await cloned(name, source_id), _stage, True)
            await _unstage(node, kind, source_id)

    source_id, count = asyncio.run(prepare())
    for number in _points(count, full_proof):
        code, _ = death.in_child(partial(cut_off, f"clone-{number}", number))
        assert code in (0, death.DIED)
        asyncio.run(heal(f"clone-{number}"))


def test_a_death_during_an_inline_volume_leaves_no_volume(make_node: MakeNode, full_proof: bool) -> None:
    """Publish cut off anywhere, perhaps tried again, then unpublish: no mount, volume, note or staging path is left."""
    kind = rig.IMAGE_EXT4
    node = make_node(kind)
    context = {"csi.storage.k8s.io/ephemeral": "true", "size": "16Mi"}

    async def publish(name: str) -> None:
        await node.plugin.publish(name, node.target(name), "", kind.capability, False, context)

    async def counted() -> int:
        async with _running(node):
            count = Count()
            effect.install(count)
            await publish("csi-undisturbed")
            effect.uninstall()
            await node.plugin.unpublish("csi-undisturbed", node.target("csi-undisturbed"))
            return count.number

    async def cut_off(name: str, number: int) -> None:
        await node.start()
        death.arm(number)
        await publish(name)

    async def heal(names: list[str]) -> None:
        async with _running(node):
            for name in names:
                if name.endswith("on"):
                    await publish(name)
                    rig.write(node.target(name), "scratch")
                for _ in range(2):
                    await node.plugin.unpublish(name, node.target(name))
                assert not os.path.lexists(node.target(name))
            assert (await node.engine.volumes.page("", 0)).entries == []
            assert list(node.engine.uses.all()) == []
            assert list((node.root / "state" / "inline").glob("*")) == []

    cut = []
    for number in _points(asyncio.run(counted()), full_proof):
        for way in ("on", "back"):
            code, _ = death.in_child(partial(cut_off, f"csi-{number}-{way}", number))
            assert code in (0, death.DIED)
            cut.append(f"csi-{number}-{way}")
    asyncio.run(heal(cut))

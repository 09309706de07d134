"""ChangedBlocks (CSI SnapshotMetadata): proven by rebuilding one snapshot from another plus the delta."""

import os
import random
from collections.abc import Iterable

import pytest

from driver.backends import base
from driver.backends.base import Extent
from driver.model.snapshot import Snapshot
from driver.model.volume import Volume

from ..conftest import PROOF
from .world import MIB, World, discard, pattern

ABILITY = base.ChangedBlocks
BLOCK = 4096
ROUNDS = 12 if PROOF == "full" else 3
SIZE = 16 * MIB


def tracker(world: World) -> base.ChangedBlocks:
    assert isinstance(world.backend, base.ChangedBlocks)
    return world.backend


def content(world: World, snapshot: Snapshot, name: str) -> bytes:
    """All bytes of a snapshot."""
    volume = world.volume(name, snapshot.size)
    world.fill(volume, snapshot)
    data = world.read(volume, snapshot.size)
    world.idle(volume)
    world.purge(volume, f"content-{name}")
    return data


def check(extents: Iterable[Extent], size: int, start: int = 0) -> list[Extent]:
    """They strictly increase, do not overlap, are whole blocks inside the snapshot, and reach beyond ``start``."""
    found = list(extents)
    position = 0
    for extent in found:
        assert extent.offset >= position
        assert extent.length > 0
        assert extent.offset % BLOCK == extent.length % BLOCK == 0
        position = extent.offset + extent.length
    assert position <= size
    assert not found or found[0].offset + found[0].length > start
    return found


def scribble(world: World, volume: Volume, chance: random.Random) -> None:
    """Random writes of whole and broken blocks, and random holes."""
    path = world.backend.attach(volume) if isinstance(world.backend, base.Devices) else ""
    fd = os.open(path, os.O_RDWR)
    try:
        for _ in range(chance.randrange(1, 30)):
            offset = chance.randrange(0, SIZE - 1)
            length = min(chance.choice((1, 512, BLOCK, 3 * BLOCK + 7, 200_000)), SIZE - offset)
            os.pwrite(fd, chance.randbytes(length), offset)
        for _ in range(chance.randrange(0, 5)):
            offset = chance.randrange(0, SIZE // BLOCK) * BLOCK
            length = min(chance.randrange(1, 64) * BLOCK, SIZE - offset)
            discard(fd, offset, length)
        os.fsync(fd)
    finally:
        os.close(fd)


def test_the_block_size_is_that_of_volumes(world: World) -> None:
    """``block_size``: 4096, of which every volume size is a multiple."""
    assert tracker(world).block_size() == BLOCK


@pytest.mark.parametrize("provisioning", ["thin", "thick"])
def test_base_plus_delta_is_target(world: World, provisioning: str) -> None:
    """``changed_extents``: base plus these bytes of target is target, over random writes, holes and rounds."""
    chance = random.Random(f"{world.kind.name}-{provisioning}")
    volume = world.create(size=SIZE, provisioning=provisioning)
    snapshots = [world.cut(volume, "s0")]
    for number in range(1, ROUNDS + 1):
        if provisioning == "thin":
            scribble(world, volume, chance)
        else:
            world.write(volume, chance.randbytes(70_000), chance.randrange(0, SIZE - 70_000))
        world.idle(volume)
        snapshots.append(world.cut(volume, f"s{number}"))
    contents = [content(world, snapshot, f"c{number}") for number, snapshot in enumerate(snapshots)]
    for old in range(len(snapshots)):
        for new in range(old, len(snapshots)):
            rebuilt = bytearray(contents[old])
            for extent in check(tracker(world).changed_extents(snapshots[old], snapshots[new], 0), SIZE):
                end = extent.offset + extent.length
                rebuilt[extent.offset : end] = contents[new][extent.offset : end]
            assert rebuilt == contents[new]


def test_allocated_covers_all_data(world: World) -> None:
    """``allocated_extents``: whatever is not in them is zeros."""
    volume = world.create(size=SIZE)
    scribble(world, volume, random.Random(world.kind.name))
    world.idle(volume)
    snapshot = world.cut(volume)
    data = bytearray(content(world, snapshot, "c"))
    found = check(tracker(world).allocated_extents(snapshot, 0), SIZE)
    for extent in found:
        data[extent.offset : extent.offset + extent.length] = bytes(extent.length)
    assert not any(data)


def test_an_empty_snapshot_has_no_extents(world: World) -> None:
    """Nothing was written: nothing is allocated and nothing differs, also where blocks were preallocated."""
    for name in ("thin", "thick"):
        volume = world.create(name, size=SIZE, provisioning=name)
        one, two = world.cut(volume, f"{name}1"), world.cut(volume, f"{name}2")
        assert list(tracker(world).allocated_extents(one, 0)) == []
        assert list(tracker(world).changed_extents(one, two, 0)) == []


def test_only_what_was_written_differs(world: World) -> None:
    """A delta is small after a small change: one block written is not told as the whole volume."""
    volume = world.create(size=SIZE)
    world.write(volume, pattern("a", 8 * MIB))
    one = world.cut(volume, "one")
    world.write(volume, pattern("b", BLOCK), offset=4 * MIB)
    world.idle(volume)
    two = world.cut(volume, "two")
    found = check(tracker(world).changed_extents(one, two, 0), SIZE)
    assert sum(extent.length for extent in found) <= 64 * 1024
    assert any(extent.offset <= 4 * MIB < extent.offset + extent.length for extent in found)


def test_a_snapshot_does_not_differ_from_itself(world: World) -> None:
    """Nothing is told twice, and nothing that is the same."""
    volume = world.create(size=SIZE)
    scribble(world, volume, random.Random(world.kind.name))
    world.idle(volume)
    snapshot = world.cut(volume)
    assert list(tracker(world).changed_extents(snapshot, snapshot, 0)) == []


def test_a_stream_goes_on_from_any_byte(world: World) -> None:
    """``start``: the rest of the same answer, from the block that holds the byte on."""
    volume = world.create(size=SIZE)
    one = world.cut(volume, "one")
    for offset in range(0, SIZE, 2 * MIB):
        world.write(volume, pattern(str(offset), 5 * BLOCK), offset)
    world.idle(volume)
    two = world.cut(volume, "two")
    for name, stream in (
        ("allocated", lambda start: tracker(world).allocated_extents(two, start)),
        ("changed", lambda start: tracker(world).changed_extents(one, two, start)),
    ):
        whole = covered(check(stream(0), SIZE))
        for start in (1, BLOCK, 3 * BLOCK + 5, 2 * MIB, 2 * MIB + BLOCK + 1, SIZE - 1):
            first = start // BLOCK
            assert covered(check(stream(start), SIZE, start)) == {block for block in whole if block >= first}, (
                name,
                start,
            )


def covered(extents: Iterable[Extent]) -> set[int]:
    """The numbers of the blocks in some extents."""
    return {
        number
        for extent in extents
        for number in range(extent.offset // BLOCK, (extent.offset + extent.length) // BLOCK)
    }


def test_a_grown_volume_is_told_to_its_new_end(world: World) -> None:
    """The target may be larger than the base: data beyond the base's end is changed."""
    assert isinstance(world.backend, base.Expansion)
    volume = world.create(size=SIZE)
    world.write(volume, pattern("a", MIB))
    one = world.cut(volume, "one")
    world.backend.ensure_resized(volume, SIZE + 4 * MIB)
    grown = world.volume(size=SIZE + 4 * MIB)
    world.write(grown, pattern("end", MIB), offset=SIZE + 2 * MIB)
    world.idle(grown)
    two = world.cut(grown, "two")
    found = check(tracker(world).changed_extents(one, two, 0), SIZE + 4 * MIB)
    assert covered(found) >= set(range((SIZE + 2 * MIB) // BLOCK, (SIZE + 3 * MIB) // BLOCK))
    assert 0 not in covered(found)

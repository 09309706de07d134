"""What is remembered of nodes, and when it may speak for them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from driver.fleet.memory import Memory
from driver.fleet.nodes import Description, Listed
from driver.model import errors, ids

POOL = "p000000000001"
ONE, TWO, THREE = sorted(ids.derive(POOL, "v", name) for name in ("one", "two", "three"))


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[Memory]:
    found = Memory(tmp_path)
    await found.open()
    yield found
    await found.close()


async def of(memory: Memory) -> list[str]:
    return [one.id for one in await memory.page("volumes", "a", "", 0)]


async def test_a_node_never_heard_has_no_list(memory: Memory) -> None:
    """A list from memory must not be shorter than the truth: a single entry put there is no list."""
    await memory.put("volumes", "a", Listed(ONE, b""))
    with pytest.raises(errors.Unavailable, match="node a does not answer, and its volumes are not known from before"):
        await of(memory)


async def test_hearing_a_node_out_replaces_what_was_known(memory: Memory) -> None:
    """Part by part: each is everything the node has in that range of ids."""
    await memory.learn("volumes", "a", "", [Listed(ONE, b""), Listed(THREE, b"")], at_end=True)
    assert await of(memory) == [ONE, THREE]

    await memory.learn("volumes", "a", "", [Listed(TWO, b"")], at_end=False)
    assert await of(memory) == [TWO, THREE]
    await memory.learn("volumes", "a", TWO, [], at_end=True)
    assert await of(memory) == [TWO]


async def test_pages_from_memory_go_on_after_an_id(memory: Memory) -> None:
    await memory.learn("volumes", "a", "", [Listed(one, b"") for one in (ONE, TWO, THREE)], at_end=True)
    assert [one.id for one in await memory.page("volumes", "a", ONE, 1)] == [TWO]


async def test_what_is_forgotten_is_listed_no_more(memory: Memory) -> None:
    """DeleteVolume through this controller."""
    await memory.learn("volumes", "a", "", [Listed(ONE, b"")], at_end=True)
    await memory.forget(ONE)
    assert await of(memory) == []


async def test_a_change_is_kept(memory: Memory) -> None:
    """ControllerPublishVolume adds a node to the entry; an id that is not known changes nothing."""
    await memory.learn("volumes", "a", "", [Listed(ONE, b"old")], at_end=True)
    await memory.change("volumes", ONE, lambda body: body + b" and new")
    await memory.change("volumes", TWO, lambda body: body + b" and new")
    assert await memory.page("volumes", "a", "", 0) == [Listed(ONE, b"old and new")]


async def test_a_repeated_create_does_not_undo_a_change(memory: Memory) -> None:
    """Its answer does not say where the volume is attached."""
    await memory.put("volumes", "a", Listed(ONE, b"attached"))
    await memory.add("volumes", "a", Listed(ONE, b"not attached"))
    await memory.learn("health", "a", "", [], at_end=True)
    await memory.learn("volumes", "a", ONE, [], at_end=True)
    assert (await memory.page("volumes", "a", "", 0))[0].entry == b"attached"


async def test_a_name_leads_to_the_pools_it_was_seen_in(memory: Memory) -> None:
    """A disk may have moved to another node with the volume on it."""
    parts = ids.split(ONE)
    assert parts is not None
    await memory.put("volumes", "a", Listed(ONE, b""))
    await memory.put("health", "a", Listed(ONE, b""))
    assert await memory.pools_of(parts[1]) == {POOL}
    assert await memory.pools_of("v-unknown") == set()


async def test_descriptions_outlive_a_restart(tmp_path: Path) -> None:
    """A controller that starts while a node is down still knows whose pools those were."""
    said = Description("node-a", "holdall.csi.dev", "1", ())
    first = Memory(tmp_path)
    await first.open()
    await first.describe("a", said)
    await first.close()

    second = Memory(tmp_path)
    await second.open()
    assert await second.descriptions() == {"a": said}
    await second.close()


async def test_a_damaged_memory_is_begun_anew(tmp_path: Path) -> None:
    """It holds nothing that the nodes do not have."""
    (tmp_path / "memory.db").write_bytes(b"not a database at all" * 100)
    memory = Memory(tmp_path)
    await memory.open()
    assert await memory.descriptions() == {}
    await memory.close()

"""Hearing nodes out: what others made on a node is known before the node can be lost for long."""

import asyncio
from pathlib import Path

from driver.fleet.forgotten import ForgottenFile
from driver.fleet.learning import Learning
from driver.fleet.member import Member
from driver.fleet.membership import Seat
from driver.fleet.memory import Memory
from driver.fleet.placement_file import PlacementFile

from .conftest import Store


async def test_a_node_with_other_counts_is_heard_again_soon(tmp_path: Path) -> None:
    """Another controller made a volume on it: the next look says so, and it is listed here from then on."""
    node = Store("a", "p00000000000a")
    memory, placement, forgotten = Memory(tmp_path), PlacementFile(tmp_path), ForgottenFile(tmp_path)
    for part in (memory, placement, forgotten):
        await part.open()
    learning = Learning(memory, placement, forgotten, soon=0.01)
    member = Member("a", Seat(node, True), await node.describe())
    member.problem = ""
    await learning.begin(member)
    await learning.wait_for(["a"], 10.0)
    assert await memory.page("volumes", "a", "", 0) == []
    made = await node.make("v", "by-another-controller")
    member.description = await node.describe()
    async with asyncio.timeout(10.0):
        while [one.id for one in await memory.page("volumes", "a", "", 0)] != [made]:
            await asyncio.sleep(0.01)
    await learning.stop()
    await memory.close()
    await placement.close()

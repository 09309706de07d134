"""One table of what is being done: join, refuse, never half-do."""

import asyncio

import pytest

from driver.engine.inflight import Inflight
from driver.model import errors


async def test_the_same_request_joins_the_running_one() -> None:
    """Rule: a CO's duplicate call runs nothing twice and gets the same answer."""
    table, runs, gate = Inflight(), [], asyncio.Event()

    async def body() -> str:
        runs.append(1)
        await gate.wait()
        return "made"

    calls = [asyncio.ensure_future(table.run("v-a", "request", body)) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*calls) == ["made"] * 5
    assert runs == [1]


async def test_another_request_on_the_same_object_is_busy() -> None:
    """Rule: what cannot join is ABORTED, at once."""
    table, gate = Inflight(), asyncio.Event()
    first = asyncio.ensure_future(table.run("v-a", "one", gate.wait))
    await asyncio.sleep(0)
    with pytest.raises(errors.Busy):
        await table.run("v-a", "two", gate.wait)
    gate.set()
    await first


async def test_one_name_in_two_pools_excludes_itself() -> None:
    """Rule: one lock namespace for a name, wherever it may land."""
    table, gate = Inflight(), asyncio.Event()
    suffix = "v-a-" + "0" * 24
    first = asyncio.ensure_future(table.run(f"p{'1' * 12}.{suffix}", "one", gate.wait))
    await asyncio.sleep(0)
    with pytest.raises(errors.Busy):
        await table.run(f"p{'2' * 12}.{suffix}", "two", gate.wait)
    with pytest.raises(errors.Busy):
        await table.run(suffix, "three", gate.wait)
    gate.set()
    await first


async def test_a_callers_cancellation_does_not_stop_the_work() -> None:
    """Rule: mutations are finished, whatever the caller's deadline; its retry joins."""
    table, gate, ended = Inflight(), asyncio.Event(), []

    async def body() -> str:
        await gate.wait()
        ended.append(1)
        return "made"

    first = asyncio.ensure_future(table.run("v-a", "request", body))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    retry = asyncio.ensure_future(table.run("v-a", "request", body))
    await asyncio.sleep(0)
    gate.set()
    assert await retry == "made"
    assert ended == [1]


async def test_a_refusal_nobody_waits_for_is_no_warning() -> None:
    """Rule: a caller that left does not leave an exception behind that was never retrieved."""
    table, gate = Inflight(), asyncio.Event()

    async def body() -> None:
        await gate.wait()
        raise errors.NoSpace("full")

    call = asyncio.ensure_future(table.run("v-a", "request", body))
    await asyncio.sleep(0)
    call.cancel()
    gate.set()
    await table.drain()
    assert len(table) == 0


async def test_holders_share_and_keep_exclusive_work_out() -> None:
    """Rule: many copies of one source at a time, but no delete meanwhile, and the refusal says why."""
    table = Inflight()

    async def body() -> None:
        return None

    with table.hold("v-a", "snapshot one"), table.hold("v-a", "snapshot two"):
        assert table.held("v-a") == "snapshot one, snapshot two"
        with pytest.raises(errors.Busy, match="snapshot one"):
            await table.run("v-a", "delete", body)
    await table.run("v-a", "delete", body)
    assert table.held("v-a") == ""


async def test_a_hold_is_refused_while_exclusive_work_runs() -> None:
    """Rule: no copy begins from a volume that is being deleted."""
    table, gate = Inflight(), asyncio.Event()
    running = asyncio.ensure_future(table.run("v-a", "delete", gate.wait))
    await asyncio.sleep(0)
    with pytest.raises(errors.Busy), table.hold("v-a", "snapshot"):
        pass
    gate.set()
    await running


async def test_the_table_empties_itself() -> None:
    """Rule: lock tables do not grow."""
    table = Inflight()

    async def body() -> None:
        await asyncio.sleep(0)

    await asyncio.gather(*(table.run(f"v-{i}", "request", body) for i in range(100)))
    await table.drain()
    assert len(table) == 0
    assert table._holds == {}

"""Long work: one run per id, progress for people, a result, and an early end that a restart can resume."""

import asyncio

import pytest

from driver.engine.tasks import Running, Tasks
from driver.model import errors
from driver.model.records import TaskRecord
from driver.model.sizes import GIB

RECORD = TaskRecord(id="copy-x", kind="copy", subject="x", total=3 * GIB)


async def test_an_id_runs_once_at_a_time() -> None:
    """Rule: a retry joins the Task instead of starting a second copy into the same place."""
    tasks, gate, runs = Tasks(), asyncio.Event(), []

    async def body(running: Running) -> None:
        runs.append(1)
        await gate.wait()

    first = tasks.start(RECORD, "p", body)
    assert tasks.start(RECORD, "p", body) is first
    await asyncio.sleep(0)
    gate.set()
    assert await tasks.join(first, 5)
    assert runs == [1]


async def test_a_join_gives_up_without_ending_the_work() -> None:
    """Rule: CreateVolume joins the Task until the deadline; the work goes on, and its progress can be said."""
    tasks, gate = Tasks(), asyncio.Event()

    async def body(running: Running) -> None:
        running.report(3 * GIB // 4, 3 * GIB)
        await gate.wait()

    running = tasks.start(RECORD, "p", body)
    assert not await tasks.join(running, 0.05)
    assert running.words == "25 % of 3 GiB"
    gate.set()
    assert await tasks.join(running, 5)
    assert [record.state for _, record in tasks.all(include_finished=True)] == ["done"]


async def test_a_failure_is_told_to_whoever_joins_and_can_be_started_anew() -> None:
    """Rule: clear errors; a failed copy is no dead end."""
    tasks, tries = Tasks(), []

    async def body(running: Running) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise errors.NoSpace("pool ssd is full")

    running = tasks.start(RECORD, "p", body)
    with pytest.raises(errors.NoSpace, match="pool ssd is full"):
        await tasks.join(running, 5)
    again = tasks.start(RECORD, "p", body)
    assert await tasks.join(again, 5)
    states = [(record.state, record.message) for _, record in tasks.all(include_finished=True)]
    assert states == [("done", ""), ("failed", "pool ssd is full")]


async def test_watching_follows_to_the_end() -> None:
    """Rule: progress bars on long work: every change, and then the result."""
    tasks, gate = Tasks(), asyncio.Event()

    async def body(running: Running) -> None:
        running.report(GIB, 3 * GIB)
        await gate.wait()

    tasks.start(RECORD, "p", body)
    await asyncio.sleep(0.01)
    seen = []
    async for _, record in tasks.watch("copy-x"):
        seen.append((record.state, record.done))
        gate.set()
    assert seen[-1][0] == "done"
    assert ("running", GIB) in seen
    with pytest.raises(errors.NotFound):
        async for _ in tasks.watch("nobody"):
            pass


async def test_stopping_ends_bodies_early_and_leaves_them_resumable() -> None:
    """Rule: a stop does not wait for a copy of hours; its record stays for the next start."""
    tasks = Tasks()

    async def body(running: Running) -> None:
        while not running.stopped():
            await asyncio.sleep(0.005)

    running = tasks.start(RECORD, "p", body)
    await asyncio.sleep(0.01)
    await tasks.stop(5)
    assert not await tasks.join(running, 1)
    assert [record.state for _, record in tasks.all(include_finished=True)] == ["queued"]

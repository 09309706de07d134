"""A pool's threads: bounded, and a hang is refused rather than waited for."""

import asyncio
import threading
import time

import pytest

from driver.engine.workers import Workers
from driver.model import errors


async def test_results_and_refusals_come_back() -> None:
    """Rule: a call returns what the function returned, or raises what it raised."""
    workers = Workers("pool a", 2, 5.0)

    def refuse() -> None:
        raise errors.NoSpace("full")

    assert await workers.run(lambda a, b: a + b, 1, 2) == 3
    with pytest.raises(errors.NoSpace):
        await workers.run(refuse)
    workers.close()


async def test_never_more_threads_than_allowed() -> None:
    """Rule: each pool has its own bounded executor."""
    workers, lock, now, most = Workers("pool a", 3, 5.0), threading.Lock(), [0], [0]

    def work() -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.005)
        with lock:
            now[0] -= 1

    await asyncio.gather(*(workers.run(work) for _ in range(50)))
    assert most[0] == 3
    workers.close()


async def test_calls_that_find_all_threads_stuck_are_refused_and_never_run() -> None:
    """Rule: a hung pool answers UNAVAILABLE; what was refused does not happen later behind the caller's back."""
    workers, gate, ran = Workers("pool a", 2, 0.1), threading.Event(), []
    hung = [asyncio.ensure_future(workers.run(gate.wait)) for _ in range(2)]
    await asyncio.sleep(0.02)
    with pytest.raises(errors.Unavailable, match="pool a does not answer"):
        await workers.run(lambda: ran.append(1))
    assert workers.stuck
    started = time.monotonic()
    with pytest.raises(errors.Unavailable):
        await workers.run(lambda: ran.append(2))
    assert time.monotonic() - started < 0.09, "once known to be stuck, refused at once"
    gate.set()
    await asyncio.gather(*hung)
    await workers.run(lambda: ran.append(3))
    assert ran == [3]
    assert not workers.stuck
    workers.close()


async def test_a_call_under_way_is_finished_though_its_caller_left() -> None:
    """Rule: nothing is half-done."""
    workers, gate, ran = Workers("pool a", 1, 5.0), threading.Event(), []

    def work() -> None:
        gate.wait()
        ran.append(1)

    call = asyncio.ensure_future(workers.run(work))
    await asyncio.sleep(0.02)
    call.cancel()
    gate.set()
    await workers.run(lambda: None)
    assert ran == [1]
    workers.close()


async def test_a_closed_pool_is_unavailable() -> None:
    """Rule: after close, a clear refusal instead of a wait for ever."""
    workers = Workers("pool a", 1, 5.0)
    workers.close()
    with pytest.raises(errors.Unavailable):
        await workers.run(lambda: None)

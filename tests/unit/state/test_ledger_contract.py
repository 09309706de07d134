"""What every ledger promises (driver/state/ledger.py): commits."""

import asyncio
import errno
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from driver.model.errors import HostFailed, InvalidArgument, NoSpace
from driver.model.volume import Volume
from driver.state.ledger import Drop, Ledger, Put, Totals
from driver.state.sqlite import SqliteLedger

from .ledgers import SYNC, Make, everything, observed, opened, put, snapshot, trash, volume
from .obstacles import Gate, Refusal


def test_a_put_replaces_what_its_id_held(ledger: Ledger) -> None:
    """Whole: nothing of the old record stays."""
    put(ledger, volume("a", asked={"x": "1"}))
    put(ledger, volume("a", reserved=5))
    assert ledger.get("volume", volume("a").id) == volume("a", reserved=5)
    assert ledger.totals() == Totals(reserved=5, volumes=1, snapshots=0)


def test_dropping_what_is_not_there_is_no_error(ledger: Ledger) -> None:
    """Nor does it count."""
    ledger.commit([Drop("volume", "nothing"), Drop("trash", "nothing")]).result()
    assert ledger.totals() == Totals(0, 0, 0)


def test_changes_of_one_commit_happen_in_their_order(ledger: Ledger) -> None:
    """The last change of an id wins."""
    ledger.commit([Put(volume("a")), Drop("volume", volume("a").id), Put(volume("a", reserved=7))]).result()
    assert ledger.get("volume", volume("a").id) == volume("a", reserved=7)
    ledger.commit([Put(volume("a", reserved=8)), Drop("volume", volume("a").id)]).result()
    assert ledger.get("volume", volume("a").id) is None
    assert ledger.totals() == Totals(0, 0, 0)


def test_an_empty_commit_succeeds(ledger: Ledger) -> None:
    """All of nothing is done."""
    assert ledger.commit([]).result() is None


def test_commits_happen_in_the_order_of_the_calls(kind: str, ledger: Ledger) -> None:
    """Also those that wait together."""
    gate = Gate(SYNC[kind])
    with observed(gate):
        futures = [ledger.commit([Put(volume("a", reserved=number))]) for number in range(50)]
        assert gate.reached.wait(10)
        assert not any(future.done() for future in futures)
        gate.open.set()
        wait(futures)
    assert ledger.get("volume", volume("a").id) == volume("a", reserved=49)


def test_commit_returns_at_once_while_the_store_hangs(kind: str, ledger: Ledger) -> None:
    """And what is in memory is still answered: totals, settings, a hot record."""
    put(ledger, volume("a"))
    gate = Gate(SYNC[kind])
    with observed(gate):
        first = ledger.commit([Put(volume("b"))])
        assert gate.reached.wait(10)
        second = ledger.commit([Put(volume("c"))])
        assert ledger.totals().volumes == 1
        assert ledger.meta("schema") == "1"
        assert ledger.get("volume", volume("a").id) == volume("a")
        assert not first.done()
        assert not second.done()
        gate.open.set()
        wait([first, second])
    assert ledger.totals().volumes == 3


def test_calls_waiting_together_share_one_sync(kind: str, ledger: Ledger) -> None:
    """Group commit: the rate does not depend on the disk alone."""
    gate = Gate(SYNC[kind])
    with observed(gate):
        first = ledger.commit([Put(volume("first"))])
        assert gate.reached.wait(10)
        futures = [ledger.commit([Put(volume(number))]) for number in range(100)]
        gate.open.set()
        wait([first, *futures])
    assert gate.count(SYNC[kind]) == 2
    assert ledger.totals().volumes == 101


def test_a_record_is_not_seen_before_it_is_durable(kind: str, ledger: Ledger) -> None:
    """Otherwise somebody would rely on what a crash takes away."""
    put(ledger, volume("old", reserved=1))
    gate = Gate(SYNC[kind])
    with observed(gate):
        future = ledger.commit([Put(volume("new")), Put(volume("old", reserved=2)), Drop("volume", "x")])
        assert gate.reached.wait(10)
        assert ledger.get("volume", volume("new").id) is None
        assert ledger.get("volume", volume("old").id) == volume("old", reserved=1)
        assert ledger.ids("volume") == [volume("old").id]
        assert ledger.page("volume") == [volume("old", reserved=1)]
        gate.open.set()
        future.result()
    assert ledger.get("volume", volume("new").id) == volume("new")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (HostFailed("no", errno.EIO), HostFailed),
        (OSError(errno.EIO, "no"), HostFailed),
        (NoSpace("no"), NoSpace),
        (OSError(errno.ENOSPC, "no"), NoSpace),
    ],
)
def test_of_a_commit_that_fails_nothing_was_applied(
    kind: str, make: Make, home: Path, error: Exception, expected: type[Exception]
) -> None:
    """Neither now nor after a restart, and the next one succeeds."""
    with opened(make, home) as ledger:
        put(ledger, volume("a", reserved=1))
        before, totals = everything(ledger), ledger.totals()
        with observed(Refusal(SYNC[kind], error)), pytest.raises(expected):
            ledger.commit([Drop("volume", volume("a").id), Put(volume("b")), Put(snapshot("s", volume("b")))]).result()
        assert (everything(ledger), ledger.totals()) == (before, totals)
        put(ledger, volume("c"))
    with opened(make, home) as ledger:
        assert [one.name for one in ledger.page("volume")] == ["a", "c"]
        assert ledger.totals().volumes == 2


def test_one_bad_commit_does_not_fail_those_it_waits_with(kind: str, ledger: Ledger) -> None:
    """An id that cannot be written down spoils the batch; alone, each of the others succeeds."""
    gate = Gate(SYNC[kind])
    with observed(gate):
        first = ledger.commit([Put(volume("first"))])
        assert gate.reached.wait(10)
        good = [ledger.commit([Put(volume(number))]) for number in range(5)]
        bad = ledger.commit([Put(volume("half")), Drop("volume", "\ud800")])
        late = ledger.commit([Put(volume("late"))])
        gate.open.set()
        wait([first, *good, bad, late])
    assert isinstance(bad.exception(), UnicodeError)
    assert all(future.exception() is None for future in [first, *good, late])
    assert ledger.get("volume", volume("half").id) is None
    assert ledger.totals().volumes == 7


def test_a_record_that_cannot_be_written_down_is_an_invalid_argument(ledger: Ledger) -> None:
    """Told by the future, like every failure."""
    for record in (volume("a", name="\ud800"), volume("a", reserved=1 << 63), volume("a", reserved=-1)):
        assert isinstance(ledger.commit([Put(record)]).exception(5), InvalidArgument)
    assert ledger.totals() == Totals(0, 0, 0)


def test_a_commit_cannot_be_cancelled(kind: str, ledger: Ledger) -> None:
    """Mutations are finished, whatever the caller's deadline."""
    gate = Gate(SYNC[kind])

    async def give_up() -> None:
        waiting = asyncio.wrap_future(ledger.commit([Put(volume("a"))]))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    with observed(gate):
        held = ledger.commit([Put(volume("held"))])
        assert gate.reached.wait(10)
        asyncio.run(give_up())
        gate.open.set()
        held.result()
        ledger.commit([]).result()
    assert ledger.get("volume", volume("a").id) == volume("a")


def test_what_is_no_exception_ends_the_ledger_as_a_crash_would(kind: str, make: Make, home: Path) -> None:
    """Its commit and all later ones fail with it: tests of crashes rely on it."""

    class Death(BaseException):
        pass

    ledger = make(str(home))
    ledger.open()
    with observed(Refusal(SYNC[kind], Death())):
        assert isinstance(ledger.commit([Put(volume("a"))]).exception(10), Death)
    assert isinstance(ledger.commit([Put(volume("b"))]).exception(10), Death)
    ledger.close()
    with opened(make, home) as ledger:
        assert ledger.totals().volumes == 0


def test_commits_from_a_hundred_threads_are_all_there(make: Make, home: Path) -> None:
    """``commit`` may be called from any thread."""

    def work(thread: int) -> None:
        for number in range(2):
            source = volume(f"{thread}-{number}", reserved=1)
            put(ledger, source, snapshot(f"{thread}-{number}", source, reserved=2))
            if number:
                ledger.commit([Drop("volume", source.id), Put(trash(source))]).result()
            assert ledger.get("snapshot", snapshot(f"{thread}-{number}", source).id)

    with opened(make, home) as ledger:
        with ThreadPoolExecutor(100) as pool:
            list(pool.map(work, range(100)))
        expected = Totals(reserved=600, volumes=100, snapshots=200)
        assert (ledger.totals(), ledger.count("trash")) == (expected, 100)
    with opened(make, home) as ledger:
        assert (ledger.totals(), ledger.count("trash")) == (expected, 100)


def read_beside(ledger: Ledger, commits: list[list[Put]], look: Callable[[int], str]) -> list[str]:
    """What ``look`` finds wrong, from two threads, while ``commits`` happen; it is told how many have finished."""
    finished = 0
    stop = threading.Event()
    wrong: list[str] = []

    def read() -> None:
        # The pause is for the interpreter's lock: without it the readers would keep the writer waiting.
        while not stop.wait(0.0005):
            if found := look(finished):
                wrong.append(found)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for changes in commits:
            ledger.commit(changes).result()
            finished += 1
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    return wrong


@pytest.mark.parametrize("cached", [0, 1, 4096])
def test_a_reader_never_gets_less_than_a_finished_commit(home: Path, cached: int) -> None:
    """However much memory keeps: a read that began before a commit must not put back what it found."""
    with opened(SqliteLedger, home, cached=cached) as ledger:

        def look(finished: int) -> str:
            found = ledger.get("volume", volume("a").id)
            seen = found.reserved if isinstance(found, Volume) else 0
            return f"saw {seen} after {finished}" if seen < finished else ""

        commits = [[Put(volume("a", reserved=number)), Put(volume(number))] for number in range(1, 200)]
        assert read_beside(ledger, commits, look) == []


def test_readers_see_all_of_a_commit_or_nothing(ledger: Ledger) -> None:
    """Two records that change together are never seen apart in one answer."""
    commits = [[Put(volume("a", reserved=number)), Put(volume("b", reserved=number))] for number in range(100)]

    def look(finished: int) -> str:
        seen = {one.reserved for one in ledger.page("volume") if isinstance(one, Volume)}
        return f"saw {seen} at once" if len(seen) > 1 else ""

    assert read_beside(ledger, commits, look) == []

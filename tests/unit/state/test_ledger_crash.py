"""Killed at any moment, a ledger shows all of a commit or nothing, and everything it has acknowledged."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from driver.state.ledger import Drop, Ledger, Put

from .ledgers import Copies, Make, everything, observed, opened, snapshot, trash, volume

ROUNDS = 20
MANY = 200


def test_a_crash_at_any_effect_leaves_all_of_a_commit_or_nothing(make: Make, home: Path, scratch: Path) -> None:
    """Before, right after and between all its effects; once acknowledged, it is there."""
    a, b = volume("a"), volume("b")
    with opened(make, home) as ledger:
        ledger.commit([Put(a), Put(snapshot("s", a))]).result()
        ledger.commit([]).result()
        old = everything(ledger)
        copies = Copies(home, scratch / "copies")
        with observed(copies):
            ledger.commit(
                [Drop("volume", a.id), Put(trash(a)), Put(b), Put(snapshot("s", b)), Put(snapshot("t", b))]
            ).result()
            acknowledged = len(copies.taken)
            ledger.set_meta("name", "after")
        new = everything(ledger)
    outcomes = []
    for moment, copy in copies.taken:
        with opened(make, copy) as ledger:
            found, totals = everything(ledger), ledger.totals()
        assert found in (old, new), moment
        outcomes.append(found == new)
        with opened(make, copy) as ledger:
            assert (everything(ledger), ledger.totals()) == (found, totals), moment
    assert not outcomes[0]
    assert outcomes == sorted(outcomes)
    assert all(outcomes[acknowledged:])


def life(ledger: Ledger, start: int, acknowledged: int) -> None:
    """Pairs come, and go ten later, in as many commits at once as come; each that is done is told, for ever."""
    for number in range(start, start + 100_000, 5):
        futures = []
        for one in range(number, number + 5):
            source = volume(one, reserved=1)
            gone = volume(one - 10, reserved=1)
            futures.append((one, ledger.commit([Put(source), Put(snapshot(one, source, reserved=1))])))
            if one % 2 and one - 10 >= start:
                ledger.commit([Drop("volume", gone.id), Put(trash(gone))])
        for one, future in futures:
            future.result()
            os.write(acknowledged, b"%d\n" % one)


def killed_life(make: Make, home: Path, start: int, seconds: float) -> list[int]:
    """What a process acknowledged that was killed that long after its first commit."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            ledger = make(str(home))
            ledger.open()
            life(ledger, start, writer)
        finally:
            os._exit(1)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as pipe:
            first = pipe.readline()
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)
            rest = pipe.read()
    finally:
        _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the child ended by itself"
    return [int(line) for line in (first + rest).split()]


@pytest.mark.timeout(900)
def test_everything_acknowledged_survives_kill_9_at_random_moments(make: Make, home: Path, full_proof: bool) -> None:
    """And what was not acknowledged is there whole, or not at all; the sums agree with the records."""
    chance = random.Random()
    start, acknowledged = 0, set[int]()
    for round_ in range(MANY if full_proof else ROUNDS):
        told = killed_life(make, home, start, chance.uniform(0, 0.015))
        acknowledged.update(told)
        with opened(make, home) as ledger:
            volumes = {one.name for one in ledger.page("volume")}
            snapshots = {one.name for one in ledger.page("snapshot")}
            gone = {one.volume.name for one in ledger.page("trash")}
            totals = ledger.totals()
            reserved = sum(one.reserved for kind in ("volume", "snapshot", "trash") for one in ledger.page(kind))
        assert {str(one) for one in acknowledged} <= snapshots, f"round {round_}"
        assert volumes | gone == snapshots, f"round {round_}"
        assert not volumes & gone, f"round {round_}"
        assert (totals.volumes, totals.snapshots, totals.reserved) == (len(volumes), len(snapshots), reserved)
        start = max((int(name) for name in snapshots), default=0) + 100

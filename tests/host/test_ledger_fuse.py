"""A pool on FUSE: a file per record, and a filesystem that hangs holds up nothing but its own commits."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import TimeoutError as NotDone
from pathlib import Path

import pytest

from driver.model.errors import FailedPrecondition
from driver.state import choose
from driver.state.json_records import RecordLedger
from driver.state.ledger import Put
from driver.state.sqlite import SqliteLedger
from tests import fuse as fuse_filesystem
from tests.fuse import Fuse
from tests.unit.state.ledgers import opened, volume


@pytest.fixture
def fuse(tmp_path: Path) -> Iterator[Fuse]:
    with fuse_filesystem.mounted(tmp_path) as made:
        yield made


def test_a_pool_on_fuse_gets_a_file_per_record_and_keeps_it_elsewhere(fuse: Fuse) -> None:
    """It can move to a local filesystem; nothing is converted."""
    ledger = choose.open_ledger(str(fuse.mount / "home"))
    assert isinstance(ledger, RecordLedger)
    ledger.commit([Put(volume("a"))]).result()
    ledger.close()
    ledger = choose.open_ledger(str(fuse.below / "home"))
    assert isinstance(ledger, RecordLedger)
    assert ledger.page("volume") == [volume("a")]
    ledger.close()


def test_a_sqlite_ledger_on_fuse_is_refused_unchanged(fuse: Fuse) -> None:
    """Never ignored, never opened where locks and syncs cannot be relied on."""
    with opened(SqliteLedger, fuse.below / "home") as ledger:
        ledger.commit([Put(volume("a"))]).result()
    before = {path.name: path.read_bytes() for path in (fuse.below / "home").iterdir()}
    with pytest.raises(FailedPrecondition, match="SQLite ledger, which is not safe on fuse"):
        choose.open_ledger(str(fuse.mount / "home"))
    assert {path.name: path.read_bytes() for path in (fuse.below / "home").iterdir()} == before


def test_a_filesystem_that_hangs_holds_up_its_own_commits_alone(fuse: Fuse, tmp_path: Path) -> None:
    """Reads are answered, another ledger is not disturbed, and all goes on when it answers again."""
    with opened(SqliteLedger, tmp_path / "healthy") as healthy, opened(RecordLedger, fuse.mount / "home") as hung:
        hung.commit([Put(volume("a"))]).result()
        hung.commit([]).result()
        os.kill(fuse.pid, signal.SIGSTOP)
        try:
            futures = [hung.commit([Put(volume(number))]) for number in range(20)]
            with pytest.raises(NotDone):
                futures[0].result(0.2)
            healthy.commit([Put(volume("b"))]).result(5)
            assert hung.page("volume") == [volume("a")]
            assert hung.totals().volumes == 1
        finally:
            os.kill(fuse.pid, signal.SIGCONT)
        for future in futures:
            future.result(20)
    with opened(RecordLedger, fuse.mount / "home") as ledger:
        assert ledger.totals().volumes == 21

"""Which kind of ledger a pool gets on a local filesystem; tests/host/test_ledger_fuse.py has the others."""

from pathlib import Path

import pytest

from driver.model.errors import FailedPrecondition, NewerSchema
from driver.state import choose
from driver.state.json_records import RecordLedger
from driver.state.ledger import Put
from driver.state.sqlite import SqliteLedger

from .ledgers import KINDS, Make, opened, volume


def test_a_new_pool_on_a_local_filesystem_gets_sqlite(home: Path) -> None:
    """Born with its defaults, and open."""
    ledger = choose.open_ledger(str(home), {"pool_id": "p1"})
    assert isinstance(ledger, SqliteLedger)
    assert ledger.meta("pool_id") == "p1"
    ledger.commit([Put(volume("a"))]).result()
    ledger.close()


@pytest.mark.parametrize("made", KINDS.values(), ids=KINDS)
def test_an_existing_ledger_is_kept(home: Path, made: Make) -> None:
    """A pool that moved here from a network filesystem goes on with its files."""
    with opened(made, home) as ledger:
        ledger.commit([Put(volume("a"))]).result()
    ledger = choose.open_ledger(str(home))
    assert type(ledger) is made
    assert ledger.page("volume") == [volume("a")]
    ledger.close()


def test_two_ledgers_in_one_pool_are_refused(home: Path) -> None:
    """Neither is more right than the other; nothing is changed."""
    for make in KINDS.values():
        with opened(make, home):
            pass
    before = sorted(home.rglob("*"))
    with pytest.raises(FailedPrecondition, match=rf"{home} has two ledgers"):
        choose.open_ledger(str(home))
    assert sorted(home.rglob("*")) == before


def test_what_opening_raises_is_passed_on(home: Path) -> None:
    """A newer schema, for one."""
    with opened(RecordLedger, home, migrations=[lambda kind, record: record]):
        pass
    with pytest.raises(NewerSchema):
        choose.open_ledger(str(home))

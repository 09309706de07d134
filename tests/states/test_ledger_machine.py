"""Any life of a ledger against a plain dictionary: commits, several at once, restarts and deaths in between."""

import shutil
import tempfile
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from driver.model.records import Record, RecordKind
from driver.state.json_records import RecordLedger
from driver.state.ledger import Change, Drop, Ledger, Put
from driver.state.sqlite import SqliteLedger
from tests.conftest import PROOF
from tests.unit.state.ledgers import Make, clone, copied, grant, quick_place, snapshot, trash, volume

SOURCES = [volume(name, reserved=5) for name in "abc"]
RECORDS: list[Record] = [
    *SOURCES,
    *(volume(name, reserved=9, state="filling") for name in "abc"),
    *(clone(f"{one.name}-clone", one) for one in SOURCES),
    *(snapshot(f"{one.name}{group}", one, group, 3) for one in SOURCES for group in ("", "g")),
    *(snapshot(f"{one.name}g", other, "g", 4) for one in SOURCES for other in SOURCES),
    *(grant(one, node) for one in SOURCES for node in ("n1", "n2")),
    *(trash(one) for one in SOURCES),
]
ANY_KIND: st.SearchStrategy[RecordKind] = st.sampled_from(["volume", "snapshot", "grant", "trash"])


def kind_of(record: Record) -> RecordKind:
    return {"Volume": "volume", "Snapshot": "snapshot", "Grant": "grant", "Trash": "trash"}[type(record).__name__]


puts = st.sampled_from(RECORDS).map(Put)
drops = st.sampled_from(RECORDS).map(lambda one: Drop(kind_of(one), one.id))
commits = st.lists(puts | drops, max_size=5)


class LedgerLife(RuleBasedStateMachine):
    """``model`` holds what must be there; ``ledger`` must always answer the same."""

    make: ClassVar[Make]

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[tuple[RecordKind, str], Record] = {}
        self.settings: dict[str, str] = {}
        self.root = Path(tempfile.mkdtemp(prefix="holdall-ledger-", dir=quick_place()))
        self.deaths = 0
        self.ledger: Ledger

    @property
    def home(self) -> Path:
        return self.root / str(self.deaths)

    @initialize()
    def open(self) -> None:
        self.ledger = self.make(str(self.home))
        self.ledger.open()

    def apply(self, changes: list[Change]) -> None:
        for change in changes:
            if isinstance(change, Put):
                self.model[kind_of(change.record), change.record.id] = change.record
            else:
                self.model.pop((change.kind, change.id), None)

    @rule(changes=commits)
    def commit(self, changes: list[Change]) -> None:
        self.ledger.commit(changes).result()
        self.apply(changes)

    @rule(several=st.lists(commits, min_size=2, max_size=5))
    def commit_together(self, several: list[list[Change]]) -> None:
        futures: list[Future[None]] = [self.ledger.commit(changes) for changes in several]
        for future, changes in zip(futures, several, strict=True):
            future.result()
            self.apply(changes)

    @rule(key=st.sampled_from(["name", "pool_id"]), value=st.text("ab", max_size=2))
    def set(self, key: str, value: str) -> None:
        self.ledger.set_meta(key, value)
        self.settings[key] = value

    @rule()
    def restart(self) -> None:
        self.ledger.close()
        self.open()

    @precondition(lambda self: self.deaths < 20)
    @rule()
    def die(self) -> None:
        """The files as they are this moment are what a killed process leaves."""
        left = self.home
        self.deaths += 1
        copied(left, self.home)
        self.ledger.close()
        shutil.rmtree(left)
        self.open()

    @rule(kind=ANY_KIND, parent=st.sampled_from(SOURCES), tag=st.sampled_from(["g", "n1", SOURCES[0].id, ""]))
    def ask(self, kind: RecordKind, parent: Record, tag: str) -> None:
        """Pages by what a record belongs to."""
        belongs = {"snapshot": ("source_id", "group_id"), "grant": ("volume_id", "node_id")}.get(kind)
        if belongs:
            of_kind = [one for (its, _), one in sorted(self.model.items()) if its == kind]
            expected = [one for one in of_kind if getattr(one, belongs[0]) == parent.id]
            assert self.ledger.page(kind, parent=parent.id) == expected
            assert self.ledger.count(kind, parent=parent.id) == len(expected)
            assert self.ledger.page(kind, tag=tag) == [one for one in of_kind if getattr(one, belongs[1]) == tag]

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        if not hasattr(self, "ledger"):
            return
        for kind in ("volume", "snapshot", "grant", "trash"):
            expected = [record for (its, _), record in sorted(self.model.items()) if its == kind]
            assert self.ledger.page(kind) == expected
            assert self.ledger.ids(kind) == [one.id for one in expected]
            assert self.ledger.count(kind) == len(expected)
            listed = [one for one in expected if getattr(one, "state", "ready") == "ready"]
            assert self.ledger.page(kind, listed_only=True) == listed
        for one in RECORDS:
            assert self.ledger.get(kind_of(one), one.id) == self.model.get((kind_of(one), one.id))
        totals = self.ledger.totals()
        assert totals.reserved == sum(getattr(one, "reserved", 0) for one in self.model.values())
        assert totals.volumes == self.ledger.count("volume")
        assert all(self.ledger.meta(key) == value for key, value in self.settings.items())

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
        shutil.rmtree(self.root)


class SqliteLife(LedgerLife):
    make = SqliteLedger


class RecordLife(LedgerLife):
    make = RecordLedger


LIVES = settings(max_examples=400 if PROOF == "full" else 12, stateful_step_count=25)
TestSqliteLife = SqliteLife.TestCase
TestSqliteLife.settings = LIVES
TestRecordLife = RecordLife.TestCase
TestRecordLife.settings = LIVES

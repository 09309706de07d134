"""The journal of a ledger of files: what is in it has happened, whatever becomes of the files."""

import errno
from pathlib import Path

import pytest

from driver.model.errors import HostFailed, NoSpace
from driver.state.journal import HEAD, Journal
from driver.state.json_records import RecordLedger
from driver.state.ledger import Drop, Put

from .ledgers import copied, files_of, observed, opened, put, settled, trash, volume
from .obstacles import Gate, Refusal, Watch


def last_written(home: Path) -> Path:
    """The half of the journal that counts."""
    journal = Journal(f"{home}/records/journal")
    return Path(journal.paths[journal.read().number % 2])


def test_a_commit_is_done_with_its_journal(home: Path) -> None:
    """The files follow behind the caller, and readers see it at once."""
    gate = Gate("files.rename")
    with opened(RecordLedger, home) as ledger, observed(gate):
        ledger.commit([Put(volume("a"))]).result(10)
        assert gate.reached.wait(10)
        assert [path.suffix for path in files_of(home)] == [".new"]
        assert ledger.get("volume", volume("a").id) == volume("a")
        gate.open.set()
        settled(ledger)
        assert [path.suffix for path in files_of(home)] == [".json"]


def test_what_promises_more_has_room_before_it_is_acknowledged(home: Path) -> None:
    """Its files are synced beside their names before the journal; if there is no room, nothing is left of them."""
    records = [volume(number) for number in range(3)]
    with opened(RecordLedger, home) as ledger:
        watch = Watch()
        with observed(watch):
            put(ledger, *records)
            settled(ledger)
        names = [name for name, _ in watch.seen]
        assert names[:7] == ["files.write_file"] * 3 + ["files.overwrite"] + ["files.rename"] * 3
        ledger.commit([Drop("volume", one.id) for one in records]).result()
        settled(ledger)

        class FullInTheEnd(Refusal):
            def before(self, name: str, args: tuple[object, ...]) -> None:
                if records[2].id in str(args[0]):
                    super().before(name, args)

        with observed(FullInTheEnd("files.write_file", NoSpace("full"))), pytest.raises(NoSpace, match="full"):
            put(ledger, *records)
        assert files_of(home) == []
        put(ledger, *records)
        assert ledger.totals().volumes == 3


def test_a_prepared_file_is_not_taken_for_a_later_record(home: Path) -> None:
    """A record that changed before its file got its name, or went."""
    with opened(RecordLedger, home) as ledger:
        with observed(Refusal("files.rename", HostFailed("away", errno.EIO), times=2)):
            put(ledger, volume("a"), volume("b"))
            ledger.commit([Put(volume("a", formatted=True)), Drop("volume", volume("b").id)]).result()
        settled(ledger)
        assert [path.name for path in files_of(home)] == [f"{volume('a').id}.json"]
    with opened(RecordLedger, home) as ledger:
        assert ledger.page("volume") == [volume("a", formatted=True)]


def test_what_is_in_the_journal_only_is_done_by_the_next_start(home: Path, scratch: Path) -> None:
    """Put and dropped alike."""
    a, b = volume("a"), volume("b")
    with opened(RecordLedger, home) as ledger:
        put(ledger, a)
        settled(ledger)
        gate = Gate("files.remove_file")
        with observed(gate):
            ledger.commit([Drop("volume", a.id), Put(b)]).result()
            assert gate.reached.wait(10)
            copied(home, scratch / "killed")
            gate.open.set()
            settled(ledger)
    assert [one.stem for one in files_of(scratch / "killed")] == [a.id]
    with opened(RecordLedger, scratch / "killed") as ledger:
        assert ledger.page("volume") == [b]
    assert [one.stem for one in files_of(scratch / "killed")] == [b.id]


def test_a_journal_cut_short_holds_nothing(home: Path, scratch: Path) -> None:
    """The commit in it was never acknowledged."""
    with opened(RecordLedger, home) as ledger:
        put(ledger, volume("a"))
        settled(ledger)
        gate = Gate("files.write_file")
        with observed(gate):
            put(ledger, volume("a", reserved=2))
            assert gate.reached.wait(10)
            copied(home, scratch / "killed")
            gate.open.set()
            settled(ledger)
    last = last_written(scratch / "killed")
    whole = last.read_bytes()
    end = HEAD + int.from_bytes(whole[8:16], "big")
    for place, torn in enumerate(
        (whole[: end // 2] + bytes(len(whole)), whole[: end - 1] + b"\0" + whole[end:], b"", whole[:20])
    ):
        copied(scratch / "killed", scratch / f"torn-{place}")
        (scratch / f"torn-{place}" / "records" / last.name).write_bytes(torn)
        with opened(RecordLedger, scratch / f"torn-{place}") as ledger:
            assert ledger.page("volume") == [volume("a")]
    with opened(RecordLedger, scratch / "killed") as ledger:
        assert ledger.page("volume") == [volume("a", reserved=2)]


def test_what_is_pending_survives_a_torn_write_of_the_next_batch(home: Path, scratch: Path) -> None:
    """The journal's halves take turns: what has happened is overwritten only once it is elsewhere."""
    a, b = volume("a", reserved=1), volume("b", reserved=1)
    with opened(RecordLedger, home) as ledger:
        put(ledger, a, b)
        settled(ledger)
        with observed(Refusal("files.write_file", NoSpace("full"), times=9)):
            ledger.commit([Drop("volume", a.id), Put(trash(a))]).result()
            ledger.commit([Drop("volume", b.id), Put(trash(b))]).result()
            copied(home, scratch / "killed")
            assert files_of(home, "trash") == []
    last = last_written(scratch / "killed")
    copied(scratch / "killed", scratch / "torn")
    (scratch / "torn" / "records" / last.name).write_bytes(b"")
    for place, expected in (("killed", [trash(a), trash(b)]), ("torn", [trash(a)])):
        with opened(RecordLedger, scratch / place) as ledger:
            assert ledger.page("trash") == expected


def test_a_ledger_opens_with_what_could_not_be_written_to_its_files(home: Path, scratch: Path) -> None:
    """A store that is full need not be able to take a file."""
    a = volume("a", reserved=1)
    refusal = Refusal("files.write_file", NoSpace("full"), times=99)
    with opened(RecordLedger, home) as ledger:
        put(ledger, a)
        settled(ledger)
        with observed(refusal):
            ledger.commit([Drop("volume", a.id), Put(trash(a))]).result()
            copied(home, scratch / "killed")
    with observed(refusal), opened(RecordLedger, scratch / "killed") as ledger:
        assert (ledger.page("volume"), ledger.page("trash")) == ([], [trash(a)])
        assert ledger.totals().reserved == 1
        assert files_of(scratch / "killed", "trash") == []
    with opened(RecordLedger, scratch / "killed") as ledger:
        assert ledger.page("trash") == [trash(a)]
    assert len(files_of(scratch / "killed", "trash")) == 1


def test_a_commit_that_failed_is_not_in_the_journal(home: Path, scratch: Path) -> None:
    """Its sync failed after it was written: a crash must not bring it to life."""

    class FailAfter(Refusal):
        def before(self, name: str, args: tuple[object, ...]) -> None:
            """Let it happen."""

        def after(self, name: str, args: tuple[object, ...]) -> None:
            super().before(name, args)

    with opened(RecordLedger, home) as ledger:
        failing = FailAfter("files.overwrite", HostFailed("not synced", errno.EIO))
        with observed(failing), pytest.raises(HostFailed, match="not synced"):
            put(ledger, volume("a"))
        copied(home, scratch / "killed")
    with opened(RecordLedger, scratch / "killed") as ledger:
        assert ledger.page("volume") == []


def test_files_that_cannot_be_written_fail_the_next_commit_not_the_last(home: Path, scratch: Path) -> None:
    """What is in the journal has happened; nothing more happens until its files are written."""
    with opened(RecordLedger, home) as ledger:
        with observed(Refusal("files.rename", HostFailed("read-only", errno.EROFS), times=2)):
            put(ledger, volume("a"))
            assert ledger.page("volume") == [volume("a")]
            with pytest.raises(HostFailed, match="read-only"):
                put(ledger, volume("b"))
            copied(home, scratch / "killed")
            put(ledger, volume("c"))
        assert ledger.page("volume") == [volume("a"), volume("c")]
    for place, expected in ((home, ["a", "c"]), (scratch / "killed", ["a"])):
        with opened(RecordLedger, place) as ledger:
            assert [one.name for one in ledger.page("volume")] == expected


def test_a_ledger_closed_before_its_files_were_written_does_it_when_opened(home: Path) -> None:
    """The store may be away when the driver stops."""
    with opened(RecordLedger, home) as ledger:
        with observed(Refusal("files.rename", HostFailed("away", errno.EIO), times=3)):
            put(ledger, volume("a"))
            ledger.close()
    assert [path.suffix for path in files_of(home)] == [".new"]
    with opened(RecordLedger, home) as ledger:
        assert ledger.page("volume") == [volume("a")]

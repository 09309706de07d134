"""The ledger of files: what makes a commit durable, its journal, migrations, and files that are damaged."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from driver.model.errors import DataDamaged, HostFailed, NewerSchema, NoSpace
from driver.model.records import RecordKind
from driver.state.journal import HEAD, Journal
from driver.state.json_records import RecordLedger
from driver.state.ledger import Drop, Ledger, Put

from .ledgers import Copies, copied, observed, opened, trash, volume
from .obstacles import Gate, Refusal, Watch


def contents(home: Path) -> dict[str, bytes]:
    """Every file but the ballast."""
    return {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file() and path.name != "ballast"}


def files_of(home: Path, kind: str = "volume") -> list[Path]:
    return sorted(home.glob(f"records/{kind}/?/*"))


def put(ledger: Ledger, *records: object) -> None:
    ledger.commit([Put(record) for record in records]).result()


def settled(ledger: Ledger) -> None:
    """What was committed is in its files: nothing is committed before that."""
    ledger.commit([]).result()


def last_written(home: Path) -> Path:
    """The half of the journal that counts."""
    journal = Journal(f"{home}/records/journal")
    return Path(journal.paths[journal.read().number % 2])


def test_a_commit_is_synced_in_the_journal_then_file_by_file(home: Path) -> None:
    """Written beside, synced, renamed, the directory synced: each before the next batch may overwrite the journal."""
    a, b = volume("a"), volume("b")
    with opened(RecordLedger, home) as ledger:
        put(ledger, b)
        settled(ledger)
        watch = Watch()
        with observed(watch):
            ledger.commit([Put(a), Drop("volume", b.id)]).result()
            settled(ledger)
        (path,) = files_of(home)
        seen = [(name, str(place)) for name, place in watch.seen]
    assert seen[0] == ("files.overwrite", f"{home}/records/journal-1")
    assert seen[1][0] == "files.remove_file"
    assert b.id in seen[1][1]
    assert seen[2:4] == [("files.write_file", f"{path}.new"), ("files.rename", f"{path}.new")]
    directories = {str(Path(path).parent), str(Path(seen[1][1]).parent)}
    synced = {place for name, place in seen[4 : 4 + len(directories)] if name == "files.fsync_dir"}
    assert synced == directories
    assert seen[4 + len(directories)] == ("files.overwrite", f"{home}/records/journal-0")


def test_a_ledger_is_durable_under_its_name_before_it_is_used(home: Path) -> None:
    """Its settings come last, for they say that it was born."""
    watch = Watch()
    with observed(watch), opened(RecordLedger, home):
        pass
    steps = [
        ("files.make_dir", str(home)),
        ("files.fsync_dir", str(home.parent)),
        ("files.make_dir", f"{home}/records"),
        ("files.fsync_dir", f"{home}/records/volume"),
        ("files.write_file", f"{home}/records/journal-0.new"),
        ("files.fsync_dir", f"{home}/records"),
        ("files.write_file", f"{home}/records/journal-1.new"),
        ("files.fsync_dir", f"{home}/records"),
        ("files.fsync_dir", str(home)),
        ("files.write_file", f"{home}/records/meta.json.new"),
        ("files.rename", f"{home}/records/meta.json.new"),
        ("files.fsync_dir", f"{home}/records"),
    ]
    seen = iter(watch.seen)
    assert all(step in seen for step in steps)


def test_a_birth_that_was_cut_short_is_begun_anew(home: Path, scratch: Path) -> None:
    """Whatever it left: the ledger is whole with its defaults, or was never there."""
    copies = Copies(home, scratch / "copies", but="files.make_dir")
    with observed(copies), opened(RecordLedger, home, defaults={"pool_id": "p1"}):
        pass
    for moment, copy in copies.taken[::3]:
        with opened(RecordLedger, copy, defaults={"pool_id": "p1"}) as ledger:
            assert (ledger.meta("pool_id"), ledger.totals().volumes) == ("p1", 0), moment


def test_a_commit_is_done_with_its_journal(home: Path) -> None:
    """One sync; the files follow behind the caller, and readers see it at once."""
    gate = Gate("files.write_file")
    with opened(RecordLedger, home) as ledger, observed(gate):
        ledger.commit([Put(volume("a"))]).result(10)
        assert gate.reached.wait(10)
        assert files_of(home) == []
        assert ledger.get("volume", volume("a").id) == volume("a")
        gate.open.set()
        settled(ledger)
        assert len(files_of(home)) == 1


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
        with observed(Refusal("files.write_file", HostFailed("read-only", errno.EROFS), times=2)):
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
        with observed(Refusal("files.write_file", HostFailed("away", errno.EIO), times=3)):
            put(ledger, volume("a"))
            ledger.close()
    assert files_of(home) == []
    with opened(RecordLedger, home) as ledger:
        assert ledger.page("volume") == [volume("a")]


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"null", b'{"schema":1}', b'{"schema":1,"record":{"id":7}}', b"\xff\xfe"]
)
def test_a_file_that_holds_no_record_is_damaged(home: Path, damage: bytes) -> None:
    """Named, and left as it is."""
    with opened(RecordLedger, home) as ledger:
        put(ledger, volume("a"))
    (path,) = files_of(home)
    path.write_bytes(damage)
    with pytest.raises(DataDamaged, match=str(path)):
        RecordLedger(str(home)).open()
    assert path.read_bytes() == damage


def test_a_record_under_anothers_name_is_damaged(home: Path) -> None:
    """A file copied by hand would be a second record of one id."""
    with opened(RecordLedger, home) as ledger:
        put(ledger, volume("a"))
    (path,) = files_of(home)
    path.rename(path.with_name("other.json"))
    with pytest.raises(DataDamaged, match=r"other\.json holds the record of"):
        RecordLedger(str(home)).open()


def test_leftovers_of_unfinished_writes_are_removed_and_other_files_ignored(home: Path) -> None:
    """A killed write leaves a file beside; NFS leaves .nfs… of files removed while open."""
    with opened(RecordLedger, home) as ledger:
        put(ledger, volume("a"))
    (path,) = files_of(home)
    path.with_name("torn.json.new").write_bytes(b"{")
    path.with_name(".nfs000123").write_bytes(b"")
    path.with_name(".nfs000123.json").write_bytes(b"")
    with opened(RecordLedger, home) as ledger:
        assert ledger.page("volume") == [volume("a")]
    assert sorted(one.name for one in files_of(home)) == [".nfs000123", ".nfs000123.json", path.name]


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b'{"schema": "x"}'])
def test_settings_that_cannot_be_read_are_damaged(home: Path, damage: bytes) -> None:
    """Not taken for a new ledger."""
    with opened(RecordLedger, home):
        pass
    (home / "records" / "meta.json").write_bytes(damage)
    with pytest.raises(DataDamaged, match=f"{home}/records/meta.json"):
        RecordLedger(str(home)).open()


def test_a_newer_schema_is_refused_and_nothing_changed(home: Path) -> None:
    """Not a byte."""
    with opened(RecordLedger, home, migrations=[lambda kind, record: record]) as ledger:
        put(ledger, volume("a"))
    before = contents(home)
    with pytest.raises(NewerSchema, match=rf"{home}/records.*schema 2.*\s1\)"):
        RecordLedger(str(home)).open()
    assert contents(home) == before


def rename(suffix: str) -> Callable[[RecordKind, dict[str, Any]], dict[str, Any]]:
    """A migration that must run exactly once per record."""

    def migrate(kind: RecordKind, record: dict[str, Any]) -> dict[str, Any]:
        return {**record, "name": record["name"] + suffix} if kind == "volume" else record

    return migrate


def test_an_older_record_climbs_every_step_once_and_in_order(home: Path, scratch: Path) -> None:
    """Whenever it was written, and also from the journal of the older Holdall."""
    with opened(RecordLedger, home) as ledger:
        put(ledger, volume("a"))
        settled(ledger)
        gate = Gate("files.write_file")
        with observed(gate):
            put(ledger, volume("b"))
            assert gate.reached.wait(10)
            copied(home, scratch / "killed")
            gate.open.set()
            settled(ledger)
    steps = [rename("1"), rename("2")]
    for place in (home, scratch / "killed"):
        for _ in range(2):
            with opened(RecordLedger, place, migrations=steps) as ledger:
                assert [one.name for one in ledger.page("volume")] == ["a12", "b12"]
                assert ledger.meta("schema") == "3"
        with opened(RecordLedger, place, migrations=steps) as ledger:
            put(ledger, volume("c"))
        with opened(RecordLedger, place, migrations=[*steps, rename("3")]) as ledger:
            assert [one.name for one in ledger.page("volume")] == ["a123", "b123", "c3"]
            put(ledger, *ledger.page("volume"))
        with opened(RecordLedger, place, migrations=[*steps, rename("3")]) as ledger:
            assert [one.name for one in ledger.page("volume")] == ["a123", "b123", "c3"]


def test_a_crash_while_migrating_changes_no_outcome(home: Path, scratch: Path) -> None:
    """Every step runs once per record, whatever was left."""
    with opened(RecordLedger, home) as ledger:
        put(ledger, volume("a"))
    copies = Copies(home, scratch / "copies")
    with observed(copies), opened(RecordLedger, home, migrations=[rename("1")]):
        pass
    for moment, copy in copies.taken:
        with opened(RecordLedger, copy, migrations=[rename("1")]) as ledger:
            assert [one.name for one in ledger.page("volume")] == ["a1"], moment


def test_a_record_is_one_readable_file(home: Path) -> None:
    """People and scripts can read it; it says its schema."""
    with opened(RecordLedger, home) as ledger:
        put(ledger, volume("a"))
    (path,) = files_of(home)
    assert path.name == f"{volume('a').id}.json"
    held = json.loads(path.read_bytes())
    assert (held["schema"], held["record"]["id"], held["record"]["size"]) == (1, volume("a").id, volume("a").size)


def test_answers_come_from_memory_while_the_store_hangs(home: Path) -> None:
    """A hung filesystem holds up commits, and nothing else."""
    with opened(RecordLedger, home) as ledger:
        put(ledger, volume("a"))
        settled(ledger)
        gate = Gate("files.overwrite")
        with observed(gate):
            future = ledger.commit([Put(volume("b"))])
            assert gate.reached.wait(10)
            for path in files_of(home):
                path.unlink()
            assert ledger.page("volume") == [volume("a")]
            assert ledger.get("volume", volume("a").id) == volume("a")
            assert (ledger.count("volume"), ledger.ids("volume"), future.done()) == (1, [volume("a").id], False)
            gate.open.set()
            future.result()

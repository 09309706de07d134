"""The ledger of files: what makes a commit durable, migrations, and files that are damaged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from driver.model.errors import DataDamaged, NewerSchema
from driver.model.records import RecordKind
from driver.state.json_records import RecordLedger
from driver.state.ledger import Drop, Put

from .ledgers import Copies, copied, files_of, observed, opened, put, settled, volume
from .obstacles import Gate, Watch


def contents(home: Path) -> dict[str, bytes]:
    """Every file but the ballast."""
    return {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file() and path.name != "ballast"}


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
        gate = Gate("files.rename")
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

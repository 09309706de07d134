"""The SQLite ledger: what makes a commit durable, how its file is born and left, migrated, and found damaged."""

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from driver.model.errors import DataDamaged, HostFailed, NewerSchema
from driver.state import table
from driver.state.ledger import Put
from driver.state.sqlite import SqliteLedger
from driver.state.sqlite_file import LOG_ROOM

from .ledgers import Copies, copied, everything, observed, opened, put, snapshot, volume
from .obstacles import Refusal, Watch


def contents(home: Path) -> dict[str, bytes]:
    """Every file but the ballast."""
    return {path.name: path.read_bytes() for path in home.iterdir() if path.name != "ballast"}


def test_every_commit_is_synced_by_sqlite(home: Path) -> None:
    """synchronous=FULL (2): in WAL mode anything less acknowledges what a power cut takes back."""
    ledger = SqliteLedger(str(home))
    ledger.open()
    assert ledger._connection is not None
    asked = {
        name: ledger._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")
    }
    ledger.close()
    assert asked == {"synchronous": 2, "journal_mode": "wal"}


def test_a_ledger_is_durable_under_its_name_before_it_is_used(home: Path) -> None:
    """Itself, its directory, its log: a synced commit in a file without a name is lost."""
    watch = Watch()
    with observed(watch), opened(SqliteLedger, home) as ledger:
        put(ledger, volume("a"))
    steps = [
        ("files.make_dir", str(home)),
        ("files.fsync_dir", str(home.parent)),
        ("files.rename", f"{home}/ledger.db.new"),
        ("files.fsync_dir", str(home)),
        ("files.create_sparse", f"{home}/ledger.db-wal"),
        ("files.fsync_dir", str(home)),
    ]
    first = [name for name, _ in watch.seen].index("sqlite_file.commit_durably")
    before = iter(watch.seen[:first])
    assert all(step in before for step in steps)


def test_the_log_is_whole_again_and_synced_before_it_is_used(home: Path) -> None:
    """Its head is cleared under the other name; then it is renamed, and the name synced."""
    with opened(SqliteLedger, home) as ledger:
        put(ledger, volume("a"))
    blocks = os.stat(home / "ledger.db-spare").st_ino
    watch = Watch()
    with observed(watch), opened(SqliteLedger, home) as ledger:
        assert os.stat(home / "ledger.db-wal").st_ino == blocks
        put(ledger, volume("b"))
    relevant = [name for name, _ in watch.seen if name != "files.truncate"][:5]
    assert relevant[-4:] == ["files.overwrite", "files.rename", "files.fsync_dir", "sqlite_file.commit_durably"]


def test_the_log_has_its_blocks_beforehand_and_keeps_them(home: Path) -> None:
    """So that deleting needs no space, now and after a restart."""
    with opened(SqliteLedger, home):
        seen = os.stat(home / "ledger.db-wal")
        assert (seen.st_size, seen.st_blocks * 512 >= LOG_ROOM) == (LOG_ROOM, True)
    assert not (home / "ledger.db-wal").exists()
    assert os.stat(home / "ledger.db-spare").st_blocks * 512 >= LOG_ROOM


def test_an_overgrown_log_is_cut_back_at_the_next_start(home: Path) -> None:
    """One huge commit does not take its space for ever."""
    with opened(SqliteLedger, home) as ledger:
        put(ledger, *(volume(number, asked={"x": "y" * 3000}) for number in range(1500)))
    assert os.stat(home / "ledger.db-spare").st_size > LOG_ROOM
    with opened(SqliteLedger, home):
        assert os.stat(home / "ledger.db-wal").st_size == LOG_ROOM


def test_a_log_kept_from_earlier_never_comes_back_to_life(home: Path, scratch: Path) -> None:
    """Its pages are older than the database."""
    with opened(SqliteLedger, home) as ledger:
        put(ledger, volume("a", reserved=1))
    old = (home / "ledger.db-spare").read_bytes()
    with opened(SqliteLedger, home) as ledger:
        put(ledger, volume("a", reserved=2), volume("b"))
    (home / "ledger.db-spare").write_bytes(old)
    with opened(SqliteLedger, home) as ledger:
        assert ledger.page("volume") == [volume("a", reserved=2), volume("b")]
        put(ledger, volume("c"))
        copied(home, scratch / "killed")
    with opened(SqliteLedger, scratch / "killed") as ledger:
        assert [one.name for one in ledger.page("volume")] == ["a", "b", "c"]


def test_no_file_of_the_ledger_is_mapped(home: Path) -> None:
    """A mapped index ends the process with SIGBUS when the filesystem is full or its disk fails."""
    with opened(SqliteLedger, home) as ledger:
        put(ledger, volume("a"))
        ledger.page("volume")
        assert str(home) not in Path("/proc/self/maps").read_text()
        assert not (home / "ledger.db-shm").exists()


def test_a_birth_that_was_cut_short_is_begun_anew(home: Path, scratch: Path) -> None:
    """Whatever it left: the ledger is whole with its defaults, or was never there."""
    copies = Copies(home, scratch / "copies")
    with observed(copies), opened(SqliteLedger, home, defaults={"pool_id": "p1"}):
        pass
    assert len(copies.taken) > 10
    for moment, copy in copies.taken:
        with opened(SqliteLedger, copy, defaults={"pool_id": "p1"}) as ledger:
            assert (ledger.meta("pool_id"), ledger.totals().volumes) == ("p1", 0), moment


@pytest.mark.parametrize("killed", [False, True])
def test_a_newer_schema_is_refused_and_nothing_changed(home: Path, scratch: Path, killed: bool) -> None:
    """Not a byte, and no log or index appears."""
    with opened(SqliteLedger, home, migrations=[lambda connection: None]) as ledger:
        assert ledger.meta("schema") == "2"
        put(ledger, volume("a"))
        copied(home, scratch / "killed")
    place = scratch / "killed" if killed else home
    before = contents(place)
    assert (f"{place.name}" == "killed") == ("ledger.db-wal" in before)
    with pytest.raises(NewerSchema, match=rf"{place}/ledger.db.*schema 2.*up to 1"):
        SqliteLedger(str(place)).open()
    assert contents(place) == before


def rename(suffix: str) -> Callable[[sqlite3.Connection], None]:
    """A migration that must run exactly once."""

    def migrate(connection: sqlite3.Connection) -> None:
        connection.execute('UPDATE records SET body = replace(body, \'"name":"a\', \'"name":"a\' || ?)', (suffix,))

    return migrate


def test_an_older_ledger_climbs_every_step_once_and_in_order(home: Path) -> None:
    """migrate_1_to_2, then migrate_2_to_3."""
    with opened(SqliteLedger, home) as ledger:
        put(ledger, volume("a"))
    steps = [rename("1"), rename("2")]
    for _ in range(2):
        with opened(SqliteLedger, home, migrations=steps) as ledger:
            assert [one.name for one in ledger.page("volume")] == ["a21"]
            assert ledger.meta("schema") == "3"
    steps.append(rename("3"))
    with opened(SqliteLedger, home, migrations=steps) as ledger:
        assert [one.name for one in ledger.page("volume")] == ["a321"]


def test_a_migration_that_fails_changes_nothing(home: Path) -> None:
    """The older Holdall still opens it."""

    def broken(connection: sqlite3.Connection) -> None:
        rename("1")(connection)
        connection.execute("SELECT nonsense")

    with opened(SqliteLedger, home) as ledger:
        put(ledger, volume("a"))
    with pytest.raises(DataDamaged, match="migrating"):
        SqliteLedger(str(home), migrations=[broken]).open()
    with opened(SqliteLedger, home) as ledger:
        assert ledger.page("volume") == [volume("a")]
        assert ledger.meta("schema") == "1"


def test_a_crash_while_migrating_leaves_the_old_or_the_new(home: Path, scratch: Path) -> None:
    """An older Holdall refuses from the moment it is the new; a newer one ends the same whatever was left."""
    with opened(SqliteLedger, home) as ledger:
        put(ledger, volume("a"))
    copies = Copies(home, scratch / "copies")
    with observed(copies), opened(SqliteLedger, home, migrations=[rename("1")]):
        pass
    migrated = [moment for moment, _ in copies.taken].index("after sqlite_file.commit_durably")
    for place, (moment, copy) in enumerate(copies.taken):
        copied(copy, scratch / f"older-{place}")
        older = SqliteLedger(str(scratch / f"older-{place}"))
        if place >= migrated:
            before = contents(scratch / f"older-{place}")
            with pytest.raises(NewerSchema):
                older.open()
            assert contents(scratch / f"older-{place}") == before, moment
        else:
            older.open()
            assert older.page("volume") == [volume("a")], moment
            older.close()
        with opened(SqliteLedger, copy, migrations=[rename("1")]) as ledger:
            assert [one.name for one in ledger.page("volume")] == ["a1"], moment


@pytest.mark.parametrize("damage", [b"", b"not a database " * 500, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_file_that_is_no_ledger_is_damaged(home: Path, damage: bytes) -> None:
    """Named, and left as it is."""
    home.mkdir()
    (home / "ledger.db").write_bytes(damage)
    with pytest.raises(DataDamaged, match=f"{home}/ledger.db"):
        SqliteLedger(str(home)).open()
    assert contents(home) == {"ledger.db": damage}


def test_another_programs_database_is_damaged(home: Path) -> None:
    """Not to be written to."""
    home.mkdir()
    other = sqlite3.connect(home / "ledger.db")
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = contents(home)
    with pytest.raises(DataDamaged, match=f"{home}/ledger.db"):
        SqliteLedger(str(home)).open()
    assert contents(home) == before


def test_a_ledger_cut_short_is_damaged(home: Path) -> None:
    """As a disk that lost its end would leave it."""
    with opened(SqliteLedger, home) as ledger:
        put(ledger, *(volume(number) for number in range(300)))
    os.truncate(home / "ledger.db", os.stat(home / "ledger.db").st_size // 2)
    with pytest.raises(DataDamaged, match=f"{home}/ledger.db"):
        SqliteLedger(str(home)).open()


def test_damage_inside_is_told_by_the_call_that_meets_it(home: Path) -> None:
    """It names the file."""
    with opened(SqliteLedger, home) as ledger:
        put(ledger, *(volume(number) for number in range(300)))
    size = os.stat(home / "ledger.db").st_size
    with (home / "ledger.db").open("r+b") as file:
        for page in range(8, size // 4096, 2):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)

    def read() -> None:
        with opened(SqliteLedger, home) as ledger:
            ledger.page("volume")

    with pytest.raises(DataDamaged, match=f"{home}/ledger.db"):
        read()


def test_a_row_that_holds_no_record_is_damaged(home: Path) -> None:
    """A record that does not parse must not be taken for none."""
    with opened(SqliteLedger, home) as ledger:
        put(ledger, volume("a"))
    direct = sqlite3.connect(home / "ledger.db")
    direct.execute("UPDATE records SET body = '{\"id\": 7}'")
    direct.commit()
    direct.close()
    with opened(SqliteLedger, home) as ledger:
        for ask in (lambda: ledger.get("volume", volume("a").id), lambda: ledger.page("volume")):
            with pytest.raises(DataDamaged, match=f"{home}/ledger.db"):
                ask()


@pytest.mark.parametrize("parent", [None, "", "v"])
@pytest.mark.parametrize("tag", [None, "", "g"])
def test_no_page_is_sorted(home: Path, parent: str | None, tag: str | None) -> None:
    """An index has the records in order of id, so that a page costs what it answers, however many there are."""
    with opened(SqliteLedger, home) as ledger:
        put(ledger, volume("v"))
        where, values = table.matching("snapshot", parent, tag)
        plan = ledger._read(
            f"EXPLAIN QUERY PLAN SELECT body FROM records {where} AND id > '' ORDER BY id LIMIT 1", values
        )
    assert all("SEARCH records USING" in step[-1] and "INDEX" in step[-1] for step in plan)


def test_a_disk_that_fails_is_no_reason_to_spend_ballast(home: Path) -> None:
    """It is needed when one is full."""
    with opened(SqliteLedger, home) as ledger:
        put(ledger, volume("a"))
        size = os.stat(home / "ballast").st_size
        failure = HostFailed("disk I/O error", errno.EIO)
        with observed(Refusal("sqlite_file.commit_durably", failure, times=5)), pytest.raises(HostFailed):
            ledger.commit([]).result()
        assert os.stat(home / "ballast").st_size == size


def test_a_large_batch_and_a_large_commit_are_whole(home: Path) -> None:
    """More records than one statement takes, some of them twice."""
    with opened(SqliteLedger, home) as ledger:
        many = [volume(number) for number in range(300)]
        put(ledger, *many, *(volume(number, reserved=1) for number in range(200)))
        put(ledger, *many[:150])
        ledger.commit([Put(snapshot(number, many[0])) for number in range(131)]).result()
        assert ledger.totals().volumes == 300
        assert sum(one.reserved == 1 for one in ledger.page("volume")) == 50
        before = everything(ledger)
    with opened(SqliteLedger, home) as ledger:
        assert everything(ledger) == before

"""What every ledger promises (driver/state/ledger.py): opening and closing, settings, ids from outside."""

import errno
import os
from pathlib import Path

import pytest

from driver.host import effect
from driver.model.errors import HostFailed
from driver.state.ledger import Drop, Ledger, Put

from .ledgers import SYNC, Make, clone, everything, grant, named, observed, opened, put, snapshot, trash, volume
from .obstacles import Refusal, Watch


def test_what_was_committed_is_there_after_close_and_open(make: Make, home: Path) -> None:
    """Whatever its kind, to the last field."""
    source = volume("a", asked={"pvc": "data-0"}, attributes={"wipe": "zero"}, created_at=1.5)
    records = [source, snapshot("s", source), grant(source, "n1"), trash(source), clone("b", source)]
    with opened(make, home) as ledger:
        put(ledger, *records)
        before = everything(ledger)
    assert sorted(map(repr, before.values())) == sorted(map(repr, records))
    with opened(make, home) as ledger:
        assert everything(ledger) == before


def test_close_waits_for_all_commits_accepted_so_far(make: Make, home: Path) -> None:
    """Every one is durable then."""
    ledger = make(str(home))
    ledger.open()
    futures = [ledger.commit([Put(volume(number))]) for number in range(300)]
    ledger.close()
    assert all(future.done() and future.exception() is None for future in futures)
    with opened(make, home) as ledger:
        assert ledger.totals().volumes == 300


def test_closing_twice_and_closing_what_was_never_opened_are_harmless(make: Make, home: Path) -> None:
    """A caller that cleans up need not know how far it came."""
    ledger = make(str(home))
    ledger.close()
    ledger = make(str(home))
    ledger.open()
    ledger.close()
    ledger.close()


@pytest.mark.parametrize("when", ["before open", "after close"])
def test_a_commit_to_a_ledger_that_is_not_open_fails(make: Make, home: Path, when: str) -> None:
    """It must not wait for ever."""
    ledger = make(str(home))
    if when == "after close":
        ledger.open()
        ledger.close()
    with pytest.raises(HostFailed, match=r"is not open|is closed"):
        ledger.commit([Put(volume("a"))]).result(5)


def test_settings_are_durable_and_can_be_replaced(make: Make, home: Path) -> None:
    """``schema`` is one of them."""
    with opened(make, home) as ledger:
        assert ledger.meta("pool_id") is None
        ledger.set_meta("pool_id", "p1")
        ledger.set_meta("name", "ssd")
        ledger.set_meta("name", "ssd-a")
        assert ledger.meta("name") == "ssd-a"
    with opened(make, home) as ledger:
        assert [ledger.meta(key) for key in ("pool_id", "name", "schema", "x")] == ["p1", "ssd-a", "1", None]


def test_a_setting_that_could_not_be_written_is_as_before(kind: str, ledger: Ledger) -> None:
    """``set_meta`` raises what a commit would."""
    ledger.set_meta("name", "old")
    with observed(Refusal(SYNC[kind], HostFailed("no", errno.EIO))), pytest.raises(HostFailed):
        ledger.set_meta("name", "new")
    assert ledger.meta("name") == "old"


def test_defaults_are_settings_from_birth_and_only_then(make: Make, home: Path) -> None:
    """A pool has its id from birth, and keeps it."""
    with opened(make, home, defaults={"pool_id": "p1"}) as ledger:
        assert ledger.meta("pool_id") == "p1"
    with opened(make, home, defaults={"pool_id": "p2"}) as ledger:
        assert ledger.meta("pool_id") == "p1"


def test_hostile_ids_are_found_again_and_touch_nothing_outside(make: Make, home: Path) -> None:
    """No string from outside becomes a path component unchecked."""
    ids = ["../../evil", "/etc/evil", "a/b", "..", ".", "", "A", "a", "~", "a\0b", "x" * 5000, "ü", "-", "con", "a\nb"]
    with opened(make, home) as ledger:
        ledger.commit([Put(named(one)) for one in ids]).result()
        around = sorted(os.listdir(home.parent))
    with opened(make, home) as ledger:
        assert ledger.ids("volume") == sorted(ids)
        assert [ledger.get("volume", one) for one in ids] == [named(one) for one in ids]
        ledger.commit([Drop("volume", one) for one in ids]).result()
    assert around == ["home"]
    with opened(make, home) as ledger:
        assert ledger.ids("volume") == []


def test_opening_an_open_ledger_does_nothing(ledger: Ledger) -> None:
    """It stays as it is."""
    put(ledger, volume("a"))
    watch = Watch()
    with observed(watch):
        ledger.open()
    assert watch.seen == []
    assert ledger.totals().volumes == 1


@pytest.mark.parametrize("step", ["files.make_dir", "files.fsync_dir", "files.rename"])
def test_a_ledger_that_cannot_be_opened_says_so_and_opens_later(make: Make, home: Path, step: str) -> None:
    """The pool is tried again while its storage is away."""
    with observed(Refusal(step, HostFailed("away", errno.EIO))), pytest.raises(HostFailed, match="away"):
        make(str(home)).open()
    effect.uninstall()
    with opened(make, home) as ledger:
        put(ledger, volume("a"))


def test_a_home_that_cannot_be_is_a_host_failure(make: Make, scratch: Path) -> None:
    """Its errno tells why."""
    (scratch / "file").write_bytes(b"")
    with pytest.raises(HostFailed) as caught:
        make(f"{scratch}/file/home").open()
    assert caught.value.code == errno.ENOTDIR

"""What a ledger has acknowledged survives a power cut; a store that goes away is told, and serves again later."""

from pathlib import Path
from typing import NamedTuple

import pytest

from driver.host import files
from driver.model.errors import HostFailed
from driver.state.ledger import Drop, Put
from tests.unit.state.ledgers import KINDS, Make, everything, opened, snapshot, trash, volume

from . import power
from .scratch import Scratch


class Store(NamedTuple):
    make: Make
    image: str
    path: str
    home: Path


@pytest.fixture(params=[(kind, fs_type) for kind in sorted(KINDS) for fs_type in ("ext4", "xfs")], ids="-".join)
def store(request: pytest.FixtureRequest, scratch: Scratch) -> Store:
    kind, fs_type = request.param
    made = scratch.mounted(fs_type)
    return Store(KINDS[kind], made.image, made.path, Path(made.path) / "home")


@pytest.mark.parametrize("commits", [0, 1, 40])
def test_what_was_acknowledged_survives_a_power_cut(store: Store, commits: int) -> None:
    """From the very first commit of a new ledger on, also right after a restart."""
    made = []
    image = store.image
    for life in range(2):
        with opened(store.make, store.home, defaults={"pool_id": "p1"}) as ledger:
            for number in range(commits):
                source = volume(f"{life}-{number}", reserved=1)
                made.append(source)
                ledger.commit([Put(source), Put(snapshot(f"{life}-{number}", source))]).result()
                if number % 3 == 2:
                    gone = made.pop(0)
                    ledger.commit([Drop("volume", gone.id), Put(trash(gone))]).result()
            ledger.set_meta("life", str(life))
            before, totals = everything(ledger), ledger.totals()
            power.cut(store.path)
        image = power.restore(image, store.path)
        with opened(store.make, store.home) as ledger:
            assert (everything(ledger), ledger.totals()) == (before, totals)
            assert (ledger.meta("pool_id"), ledger.meta("life")) == ("p1", str(life))


def test_a_store_that_went_away_is_told_and_serves_again(store: Store) -> None:
    """Commits fail and change nothing; a new start of the ledger has all that was acknowledged."""
    with opened(store.make, store.home) as ledger:
        ledger.commit([Put(volume("a"))]).result()
        power.cut(store.path)
        for _ in range(2):
            with pytest.raises(HostFailed, match=str(store.home)):
                ledger.commit([Put(volume("b"))]).result()
        assert ledger.get("volume", volume("a").id) == volume("a")
        assert ledger.totals().volumes == 1
    with pytest.raises(HostFailed):
        store.make(str(store.home)).open()
    power.restore(store.image, store.path)
    with opened(store.make, store.home) as ledger:
        assert ledger.page("volume") == [volume("a")]
        ledger.commit([Put(volume("b"))]).result()


@pytest.mark.parametrize("fs_type", ["ext4", "xfs"])
def test_what_was_overwritten_in_place_survives_a_power_cut(scratch: Scratch, fs_type: str) -> None:
    """It is synced when the call returns, whether the file has grown or not."""
    made = scratch.mounted(fs_type)
    path = Path(made.path) / "file"
    files.write_durably(str(path), bytes(8192))
    files.overwrite(str(path), b"new", 4096)
    files.overwrite(str(path), b"end", 8192)
    power.cut(made.path)
    power.restore(made.image, made.path)
    assert path.read_bytes() == bytes(4096) + b"new" + bytes(4093) + b"end"

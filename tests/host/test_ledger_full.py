"""A pool with 0 bytes free: deleting works, promising more does not, and nothing is lost. On real, small filesystems."""

import contextlib
import errno
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from driver.model.errors import NoSpace
from driver.state.ballast import SIZE
from driver.state.ledger import Drop, Put
from tests.unit.state.ledgers import KINDS, Make, everything, grant, opened, snapshot, trash, volume

from .scratch import Scratch

PLACES = ["ext4", "ext4-1k", "xfs", "btrfs"]
# btrfs, once full, answers every fsync by committing the whole filesystem.
QUICK = {("sqlite", "ext4"): 1000, ("sqlite", "xfs"): 1000, ("sqlite", "btrfs"): 60, ("records", "btrfs"): 60}
SOME = 150


class Store(NamedTuple):
    """A ledger's place on a filesystem of its own."""

    make: Make
    home: Path
    deletes: int


@pytest.fixture(params=[(kind, place) for kind in sorted(KINDS) for place in PLACES], ids="-".join)
def store(request: pytest.FixtureRequest, scratch: Scratch, full_proof: bool) -> Store:
    """Empty, mounted."""
    kind, place = request.param
    if place == "ext4-1k":
        # Blocks smaller than a page: a page of a file may have room for its first bytes only.
        image = scratch.image(64 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-b", "1024", image], check=True, capture_output=True)
        path = scratch.directory()
        subprocess.run(["mount", "-o", "loop", image, path], check=True, capture_output=True)
    else:
        path = scratch.mounted(place).path
    return Store(KINDS[kind], Path(path) / "home", 1000 if full_proof else QUICK.get(request.param, SOME))


def fill(home: Path) -> None:
    """Take every byte there is; root also takes what is reserved for it. Again, if some was given back."""
    with open(home.parent / "filler", "ab", buffering=0) as file:
        for piece in (1 << 20, 4096, 1024, 1):
            try:
                while True:
                    file.write(bytes(piece))
            except OSError as error:
                assert error.errno == errno.ENOSPC
        with contextlib.suppress(OSError):
            os.fsync(file.fileno())


def test_deleting_works_without_a_byte_free_and_growing_does_not(store: Store) -> None:
    """Whatever is given back goes to somebody else at once; restarts do not need room either."""
    kept = 30
    volumes = [volume(number, reserved=1) for number in range(store.deletes + kept)]
    with opened(store.make, store.home) as ledger:
        ledger.commit([Put(one) for one in volumes]).result()
        fill(store.home)
        before, totals = everything(ledger), ledger.totals()
        for refused in (
            [Put(volume("new", reserved=0))],
            [Put(volume(0, reserved=2))],
            [Put(snapshot("s", volumes[0]))],
        ):
            with pytest.raises(NoSpace, match="kept for deletions"):
                ledger.commit(refused).result()
        assert (everything(ledger), ledger.totals()) == (before, totals)
        for number, one in enumerate(volumes[: store.deletes]):
            ledger.commit([Drop("volume", one.id), Put(trash(one))]).result()
            if number % 50 == 0:
                fill(store.home)
        assert ledger.count("trash") == store.deletes
    for one in volumes[store.deletes : store.deletes + 3]:
        fill(store.home)
        with opened(store.make, store.home) as ledger:
            fill(store.home)
            ledger.commit([Drop("volume", one.id), Put(trash(one))]).result()
    fill(store.home)
    with opened(store.make, store.home) as ledger:
        found = {one.id for one in ledger.page("volume")}
        assert found == {one.id for one in volumes[store.deletes + 3 :]}
        waiting = ledger.ids("trash")
        assert len(waiting) == store.deletes + 3
        for number in range(0, len(waiting), 20):
            ledger.commit([Drop("trash", one) for one in waiting[number : number + 20]]).result()
        assert ledger.count("trash") == 0
        assert ledger.totals().reserved == kept - 3


def test_what_promises_nothing_new_still_works(store: Store) -> None:
    """A grant, a volume that is formatted now: pods can start, and clean up."""
    one = volume("a", reserved=1)
    with opened(store.make, store.home) as ledger:
        ledger.commit([Put(one), Put(volume("b", state="filling"))]).result()
        fill(store.home)
        ledger.commit([Put(volume("a", reserved=1, formatted=True)), Put(volume("b")), Put(grant(one, "n1"))]).result()
        ledger.set_meta("name", "ssd")
    with opened(store.make, store.home) as ledger:
        assert ledger.get("volume", one.id) == volume("a", reserved=1, formatted=True)
        assert (ledger.count("grant"), ledger.meta("name")) == (1, "ssd")


def test_with_room_again_everything_works_and_ballast_is_whole(store: Store) -> None:
    """Without a restart."""
    with opened(store.make, store.home) as ledger:
        ledger.commit([Put(volume(number)) for number in range(200)]).result()
        fill(store.home)
        for number in range(30):
            ledger.commit([Drop("volume", volume(number).id), Put(trash(volume(number)))]).result()
        (store.home.parent / "filler").unlink()
        subprocess.run(["sync", "-f", str(store.home)], check=True)
        ledger.commit([Put(volume("new"))]).result()
        ledger.commit([]).result()
        assert os.stat(store.home / "ballast").st_blocks * 512 >= SIZE
        assert ledger.totals().volumes == 171


def test_a_ledger_cannot_be_born_without_room(store: Store) -> None:
    """It says so, and is born once there is room."""
    store.home.mkdir()
    fill(store.home)
    with pytest.raises(NoSpace):
        store.make(str(store.home)).open()
    (store.home.parent / "filler").unlink()
    subprocess.run(["sync", "-f", str(store.home)], check=True)
    with opened(store.make, store.home) as ledger:
        ledger.commit([Put(volume("a"))]).result()

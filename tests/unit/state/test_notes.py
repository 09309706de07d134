"""Notes of what a node has staged: they survive a killed process, and whatever a power cut leaves is read."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver.model.errors import HostFailed
from driver.state.notes import SLACK, NoteStore


@pytest.fixture
def path(scratch: Path) -> Path:
    return scratch / "state" / "notes"


def reopened(path: Path, **more: str) -> dict[str, bytes]:
    store = NoteStore(str(path), **more)
    try:
        return store.all()
    finally:
        store.close()


def test_the_last_note_of_a_key_is_kept_and_a_dropped_one_gone(path: Path) -> None:
    """Now and when opened again; the directory is made."""
    store = NoteStore(str(path))
    store.put("a", b"1")
    store.put("b", bytes(range(256)))
    store.put("a", b"2\n3")
    store.put("c", b"")
    store.drop("b")
    store.drop("unknown")
    expected = {"a": b"2\n3", "c": b""}
    assert store.all() == expected
    store.close()
    assert reopened(path) == expected


def test_notes_survive_kill_9(path: Path) -> None:
    """Every put that returned, in every round."""
    for round_ in range(5):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                store = NoteStore(str(path))
                for number in range(100_000):
                    store.put(f"{round_}-{number % 50}", b"%d" % number)
                    os.write(writer, b"%d\n" % number)
            finally:
                os._exit(1)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            first = pipe.readline()
            time.sleep(0.01)
            os.kill(child, signal.SIGKILL)
            told = [int(line) for line in (first + pipe.read()).split()]
        os.waitpid(child, 0)
        found = reopened(path)
        for number in told[-50:]:
            assert int(found[f"{round_}-{number % 50}"]) >= number


def test_the_file_does_not_grow_for_ever(path: Path) -> None:
    """It is written anew when most of it is outdated."""
    store = NoteStore(str(path))
    for number in range(3000):
        store.put(f"{number % 10}", b"x" * 400)
    assert path.stat().st_size < SLACK + 10_000
    expected = store.all()
    assert len(expected) == 10
    store.close()
    assert reopened(path) == expected


@given(st.data())
def test_a_torn_file_gives_what_can_be_read_of_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Cut short, zeros or rubbish in it: no refusal, no note that nobody put, and it can be written to again."""
    path = tmp_path_factory.mktemp("notes") / "notes"
    store = NoteStore(str(path))
    for number in range(6):
        store.put(f"{number % 4}", b"%d" % number)
    store.close()
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    hole = data.draw(st.integers(0, len(whole)))
    filler = data.draw(st.sampled_from([b"", b"\0" * 40, b"\n\n", b"\xff\xfe rubbish", b"00000000 []\n"]))
    path.write_bytes(whole[: min(hole, cut)] + filler + whole[min(hole + len(filler), cut) : cut])
    found = reopened(path)
    assert all(int(value) % 4 == int(key) for key, value in found.items())
    store = NoteStore(str(path))
    store.put("new", b"1")
    store.close()
    assert reopened(path) == {**found, "new": b"1"}


def test_notes_tell_whether_all_are_of_this_boot(path: Path) -> None:
    """Until each of an earlier boot is put again or dropped."""
    store = NoteStore(str(path), boot="first")
    assert store.same_boot
    store.put("a", b"1")
    store.put("b", b"1")
    assert store.same_boot
    store.close()
    store = NoteStore(str(path), boot="second")
    assert not store.same_boot
    assert store.all() == {"a": b"1", "b": b"1"}
    store.put("a", b"2")
    store.close()
    store = NoteStore(str(path), boot="second")
    assert not store.same_boot
    store.drop("b")
    assert store.same_boot
    store.close()
    assert reopened(path) == {"a": b"2"}


def test_the_boot_is_the_kernels(path: Path) -> None:
    """/proc/sys/kernel/random/boot_id (random(4))."""
    store = NoteStore(str(path))
    store.put("a", b"1")
    store.close()
    store = NoteStore(str(path), boot=Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    assert store.same_boot
    store.close()


def test_many_threads_may_put(path: Path) -> None:
    """No line of one spoils another's."""
    store = NoteStore(str(path))

    def work(thread: int) -> None:
        for number in range(200):
            store.put(f"{thread}-{number % 5}", b"%d" % number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {f"{thread}-{number}": b"%d" % (195 + number) for thread in range(8) for number in range(5)}
    assert store.all() == expected
    store.close()
    assert reopened(path) == expected


def test_a_place_that_cannot_hold_notes_is_a_host_failure(path: Path) -> None:
    """It names the path."""
    path.parent.mkdir()
    path.mkdir()
    with pytest.raises(HostFailed, match=str(path)):
        NoteStore(str(path))

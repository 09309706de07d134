"""Copies of trees: the same in every respect, and whole or not there."""

import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from driver.backends.directory import DirectoryBackend, copy
from driver.host import effect, extents
from driver.model import errors
from driver.model.volume import Volume

from ...contract import death
from ..observers import Recorder
from ..records import MIB, Told, snapshot, volume
from .conftest import MakePool
from .trees import described, everything


def filled(pool: DirectoryBackend, name: str = "one") -> tuple[Volume, Path]:
    one = volume(name)
    pool.ensure_created(one)
    path = Path(pool.directory(one))
    everything(path)
    return one, path


def copied(pool: DirectoryBackend, one: Volume, start: int = 0, progress: Told | None = None) -> Path:
    cut = snapshot("cut", one)
    pool.ensure_snapshot_copied(cut, one, start, progress or Told())
    return Path(pool.home).parent / "snapshots" / cut.id


def test_a_copy_is_its_source_in_every_respect(pool: DirectoryBackend) -> None:
    """Owners, modes, attributes and ACLs, times, links hard and symbolic, holes, special files, any name."""
    one, path = filled(pool)
    target = copied(pool, one)
    assert described(path) == described(target)
    assert os.lstat(target / "sparse").st_blocks <= os.lstat(path / "sparse").st_blocks
    assert os.lstat(target / "plain").st_nlink == 3
    assert os.listdir(f"{pool.home}/partial") == []


def test_a_volume_from_a_snapshot_is_the_same_again(pool: DirectoryBackend) -> None:
    """Restore is the same copy the other way, and stands by itself."""
    one, path = filled(pool)
    cut, two = snapshot("cut", one), volume("two")
    pool.ensure_snapshot_copied(cut, one, 0, Told())
    pool.ensure_volume_copied(two, cut, 0, Told())
    expected = described(path)
    pool.ensure_trashed(one, f"{one.id}.1")
    pool.ensure_purged(one, f"{one.id}.1", "none", Told())
    assert expected == described(pool.directory(two))


def test_files_share_their_extents_where_the_filesystem_can(make_pool: MakePool, filesystems: dict[str, Path]) -> None:
    """On XFS a copy of a tree takes room for its names only."""
    pool = make_pool("xfs")
    one = volume("one")
    pool.ensure_created(one)
    (Path(pool.directory(one)) / "file").write_bytes(os.urandom(20 * MIB))
    target = copied(pool, one)
    with (target / "file").open("rb") as file:
        assert all(extent.flags & extents.Flag.SHARED for extent in extents.extents(file.fileno()))


def test_progress_ends_at_the_total_and_never_goes_back(ext4_pool: DirectoryBackend) -> None:
    """Only what is durable is reported."""
    one, path = filled(ext4_pool)
    (path / "large").write_bytes(os.urandom(MIB) * 200)
    told = Told()
    copied(ext4_pool, one, progress=told)
    assert told.reports == sorted(told.reports)
    assert told.reports
    assert told.done <= ext4_pool.copy_total(one)


def test_nothing_is_reported_before_it_was_synced(ext4_pool: DirectoryBackend) -> None:
    """Each report comes after a sync of the file, or of the filesystem, with nothing written in between."""
    one, path = filled(ext4_pool)
    for number in range(copy.STRETCH_ENTRIES + 10):
        (path / "sub" / f"{number}").touch()
    (path / "zzz").write_bytes(os.urandom(MIB) * 70)
    recorder = Recorder()
    effect.install(recorder)
    last: list[str] = []
    try:
        copied(ext4_pool, one, progress=Told(on_report=lambda done: last.append(recorder.names[-1])))
    finally:
        effect.uninstall()
    # The last report is of the copy in place.
    assert len(last) > 2
    assert set(last[:-1]) <= {"freeze.sync_filesystem", "files.fsync_file"}


@pytest.mark.parametrize("fs_type", ["ext4", "xfs"])
def test_a_copy_that_dies_anywhere_is_finished_by_the_next_run(
    make_pool: MakePool, fs_type: str, full_proof: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From whatever was reported; nobody sees a half copy, and the finished one is the same as ever."""
    pool = make_pool(fs_type)
    one, path = filled(pool)
    expected = described(path)
    monkeypatch.setattr(copy, "STRETCH_ENTRIES", 5)
    step = 1 if full_proof else 9
    reported = Path(pool.home) / "reported"
    for number in range(1, 2000, step):
        cut = snapshot(f"cut{number}", one)
        target = Path(pool.home).parent / "snapshots" / cut.id
        reported.write_text("0")
        remember = Told(on_report=lambda done: reported.write_text(str(done)) and None)
        fate = death.after_effect(number, lambda cut=cut, told=remember: pool.ensure_snapshot_copied(cut, one, 0, told))
        if target.exists():
            assert described(target) == expected
        pool.ensure_snapshot_copied(cut, one, int(reported.read_text()), Told())
        assert described(target) == expected
        assert os.listdir(f"{pool.home}/partial") == []
        pool.ensure_snapshot_trashed(cut, f"{cut.id}.1")
        pool.ensure_purged(cut, f"{cut.id}.1", "none", Told())
        if fate == "finished":
            assert number > 50
            return
    pytest.fail("the copy never finished")


def test_a_stopped_copy_goes_on_inside_a_large_file(ext4_pool: DirectoryBackend) -> None:
    """What was reported is not copied again: bytes lost there by hand stay lost, the rest is made."""
    one = volume("one")
    ext4_pool.ensure_created(one)
    data = os.urandom(MIB) * 200
    (Path(ext4_pool.directory(one)) / "large").write_bytes(data)
    told = Told(most=14)
    target = copied(ext4_pool, one, progress=told)
    assert not target.exists()
    assert told.done >= 64 * MIB
    (part,) = Path(ext4_pool.home).glob("partial/*/tree/large")
    with part.open("r+b") as file:
        file.write(b"marked")
    copied(ext4_pool, one, told.done)
    assert (target / "large").read_bytes() == b"marked" + data[6:]


def test_a_sparse_large_file_goes_on_at_the_right_place(ext4_pool: DirectoryBackend) -> None:
    """Progress counts data, not holes; a later run finds the offset again."""
    one = volume("one")
    ext4_pool.ensure_created(one)
    path = Path(ext4_pool.directory(one)) / "large"
    with path.open("wb") as file:
        for offset in (100 * MIB, 300 * MIB, 500 * MIB):
            file.seek(offset)
            file.write(os.urandom(MIB) * 50)
        file.truncate(600 * MIB)
    told = Told(most=15)
    target = copied(ext4_pool, one, progress=told)
    assert told.done
    copied(ext4_pool, one, told.done)
    assert subprocess.run(["cmp", path, target / "large"], check=False).returncode == 0
    assert (target / "large").stat().st_blocks < 160 * MIB // 512


def test_a_copy_begun_anew_takes_nothing_of_the_old_part(ext4_pool: DirectoryBackend) -> None:
    """Start 0 means that nothing there is to be trusted."""
    one, path = filled(ext4_pool)
    cut = snapshot("cut", one)
    part = Path(ext4_pool.home) / "partial" / cut.id / "tree"
    part.mkdir(parents=True)
    (part / "left over").write_text("x")
    target = copied(ext4_pool, one)
    assert described(path) == described(target)


def test_a_reported_part_that_was_lost_is_made_again(ext4_pool: DirectoryBackend) -> None:
    """What a run passes over must be there and look the same."""
    one, path = filled(ext4_pool)
    total = ext4_pool.copy_total(one)
    target = copied(ext4_pool, one, total)
    assert described(path) == described(target)


def test_links_of_the_source_are_never_followed(ext4_pool: DirectoryBackend, tmp_path: Path) -> None:
    """A link to a directory is copied as a link, not as what it points to."""
    (tmp_path / "secret").write_text("x")
    one = volume("one")
    ext4_pool.ensure_created(one)
    os.symlink(tmp_path, Path(ext4_pool.directory(one)) / "link")
    target = copied(ext4_pool, one)
    assert os.readlink(target / "link") == str(tmp_path)


def test_a_directory_swapped_for_a_link_leads_nowhere(ext4_pool: DirectoryBackend, tmp_path: Path) -> None:
    """However often it is swapped while it is copied: nothing from outside is ever in the copy."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("secret")
    one = volume("one")
    ext4_pool.ensure_created(one)
    path = Path(ext4_pool.directory(one))
    (path / "aside").mkdir()
    os.symlink(secret, path / "link")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.rename(path / "aside", path / "place")
            os.rename(path / "place", path / "aside")
            os.rename(path / "link", path / "place")
            os.rename(path / "place", path / "link")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for number in range(60):
            cut = snapshot(f"cut{number}", one)
            try:
                ext4_pool.ensure_snapshot_copied(cut, one, 0, Told())
            except errors.DomainError:
                continue
            target = Path(ext4_pool.home).parent / "snapshots" / cut.id
            assert not [found for found in target.rglob("file") if not found.parent.is_symlink()]
    finally:
        stop.set()
        thread.join()


def test_something_mounted_in_a_volume_is_not_copied_but_named(ext4_pool: DirectoryBackend) -> None:
    """It is no part of the volume; who mounted it is told to take it away."""
    one = volume("one")
    ext4_pool.ensure_created(one)
    inner = Path(ext4_pool.directory(one)) / "inner"
    inner.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(inner)], check=True)
    try:
        with pytest.raises(errors.InUse, match="inner"):
            copied(ext4_pool, one)
    finally:
        subprocess.run(["umount", str(inner)], check=True)


def test_a_tree_deeper_than_descriptors_and_paths_is_copied(ext4_pool: DirectoryBackend) -> None:
    """One descriptor a tree is enough, and no path is ever put together."""
    one = volume("one")
    ext4_pool.ensure_created(one)
    fd = os.open(ext4_pool.directory(one), os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d" * 20, dir_fd=fd)
        inner = os.open("d" * 20, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    assert ext4_pool.copy_total(one) == 1201 * copy.ENTRY
    target = copied(ext4_pool, one)
    assert stat.S_ISDIR(target.stat().st_mode)
    fd = os.open(target, os.O_RDONLY)
    for _ in range(1200):
        inner = os.open("d" * 20, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    assert os.listdir(fd) == ["bottom"]
    os.close(fd)


def take_all(filler: Path) -> None:
    """Also what ext4 reserves for root, until less than 8 MiB are left."""
    with filler.open("r+b") as file:
        while True:
            try:
                os.posix_fallocate(file.fileno(), file.seek(0, 2), 8 * MIB)
            except OSError:
                return


def test_a_full_filesystem_is_no_space_and_the_part_goes_with_the_delete(make_pool: MakePool, tmp_path: Path) -> None:
    """A copy that finds no room says so; its part is trashed and purged with what it was to become."""
    pool = make_pool("ext4")
    one = volume("one")
    pool.ensure_created(one)
    path = Path(pool.directory(one))
    (path / "file").write_bytes(os.urandom(MIB) * 32)
    room = pool.space().free
    filler = Path(pool.home) / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, room - 16 * MIB)
    cut = snapshot("cut", one)
    try:
        take_all(filler)
        with pytest.raises(errors.NoSpace):
            pool.ensure_snapshot_copied(cut, one, 0, Told())
        pool.ensure_snapshot_trashed(cut, f"{cut.id}.1")
        pool.ensure_purged(cut, f"{cut.id}.1", "none", Told())
    finally:
        filler.unlink()
    assert os.listdir(f"{pool.home}/partial") == os.listdir(f"{pool.home}/trash") == []

"""Volumes as subdirectories, from birth to purge."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from driver.backends.directory import DirectoryBackend
from driver.host import btrfs, mounts
from driver.model import errors
from driver.model.health import Status
from driver.model.pool import PoolConfig

from ..device import holds
from ..records import MIB, Told, snapshot, volume
from ..scratch import Scratch
from .conftest import MakePool
from .trees import everything


def purge(pool: DirectoryBackend, name: str, wipe: str = "none") -> None:
    one = volume(name)
    pool.ensure_trashed(one, f"{one.id}.1")
    pool.ensure_purged(one, f"{one.id}.1", wipe, Told())


def test_a_new_volume_can_be_written_by_any_user_and_entered_through_a_mount_only(ext4_pool: DirectoryBackend) -> None:
    """No fsGroup is applied to volumes without a fsType; the host's users stay out at the parent directory."""
    one = volume("one")
    ext4_pool.ensure_created(one)
    path = ext4_pool.directory(one)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o777
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700


def test_creating_again_leaves_what_the_user_set(ext4_pool: DirectoryBackend) -> None:
    """A repeated create looks before it acts."""
    one = volume("one")
    ext4_pool.ensure_created(one)
    os.chmod(ext4_pool.directory(one), 0o750)
    ext4_pool.ensure_created(one)
    assert stat.S_IMODE(os.stat(ext4_pool.directory(one)).st_mode) == 0o750


def test_a_tree_of_everything_is_purged(pool: DirectoryBackend) -> None:
    """Special files, hostile names, links: gone, and nothing they lead to."""
    one = volume("one")
    pool.ensure_created(one)
    everything(Path(pool.directory(one)))
    purge(pool, "one")
    assert os.listdir(f"{pool.home}/trash") == []
    assert os.path.exists("/etc/passwd")


def test_what_users_lock_is_purged(ext4_pool: DirectoryBackend) -> None:
    """Immutable files and directories, the volume itself among them, are no way to keep space for ever."""
    one = volume("one")
    ext4_pool.ensure_created(one)
    path = Path(ext4_pool.directory(one))
    (path / "dir").mkdir()
    (path / "dir" / "file").write_bytes(os.urandom(MIB))
    subprocess.run(["chattr", "-R", "+i", str(path)], check=True)
    purge(ext4_pool, "one", "zero")
    assert os.listdir(f"{ext4_pool.home}/trash") == []


def test_read_only_subvolumes_inside_a_directory_volume_are_purged(make_pool: MakePool) -> None:
    """On btrfs any user may make them, and rmdir(2) does not take them away."""
    pool = make_pool("btrfs")
    one = volume("one")
    pool.ensure_created(one)
    path = pool.directory(one)
    os.mkdir(f"{path}/dir")
    btrfs.create_subvolume(f"{path}/dir", "inner")
    Path(path, "dir", "inner", "file").write_text("x")
    btrfs.snapshot(f"{path}/dir/inner", path, "kept", read_only=True)
    purge(pool, "one")
    assert os.listdir(f"{pool.home}/trash") == []


def test_a_purge_keeps_a_file_that_has_a_name_elsewhere(make_pool: MakePool) -> None:
    """Blocks are given back early only where nobody else could miss them."""
    pool = make_pool("xfs")
    one = volume("one")
    pool.ensure_created(one)
    file = Path(pool.directory(one)) / "file"
    file.write_bytes(os.urandom(MIB))
    elsewhere = Path(pool.home).parent / "elsewhere"
    os.link(file, elsewhere)
    purge(pool, "one")
    assert elsewhere.stat().st_size == MIB


@pytest.fixture
def own(scratch: Scratch, request: pytest.FixtureRequest) -> Iterator[tuple[DirectoryBackend, Path]]:
    """A pool alone on a filesystem, and the file below it."""
    made = scratch.mounted(request.param)
    config = PoolConfig(name="own", backend="directory", path=made.path)
    backend = DirectoryBackend(config, scratch.root / "state")
    backend.open()
    yield backend, Path(made.image)
    backend.close()
    mounts.ensure_unmounted(made.path)


def secret_in(pool: DirectoryBackend) -> bytes:
    """What a volume then holds, in large files and small ones, durable."""
    secret = os.urandom(64) * 64
    one = volume("one")
    pool.ensure_created(one)
    path = Path(pool.directory(one))
    (path / "sub").mkdir()
    (path / "sub" / "large").write_bytes(secret * (4 * MIB // len(secret)))
    (path / "small").write_bytes(secret)
    with (path / "sparse").open("wb") as file:
        file.seek(20 * MIB)
        file.write(secret)
    os.sync()
    return secret


@pytest.mark.parametrize(("own", "wipe"), [("ext4", "zero"), ("ext4", "discard"), ("xfs", "discard")], indirect=["own"])
def test_a_wipe_leaves_nothing_on_the_device(own: tuple[DirectoryBackend, Path], wipe: str) -> None:
    """Read from the device below, not from the files."""
    pool, image = own
    secret = secret_in(pool)
    assert holds(image, secret)
    purge(pool, "one", wipe)
    assert not holds(image, secret)


@pytest.mark.parametrize("own", ["ext4"], indirect=True)
def test_without_wipe_the_device_may_still_hold_it(own: tuple[DirectoryBackend, Path]) -> None:
    """The proof above would be none if deleting alone did the same."""
    pool, image = own
    secret = secret_in(pool)
    purge(pool, "one")
    assert holds(image, secret)


@pytest.mark.parametrize("own", ["ext4"], indirect=True)
def test_a_purge_cut_short_before_the_trim_is_finished_by_the_next(own: tuple[DirectoryBackend, Path]) -> None:
    """Stopped after the first file, then again with nothing left to remove: at the end the device holds none of it."""
    pool, image = own
    secret = secret_in(pool)
    one = volume("one")
    pool.ensure_trashed(one, f"{one.id}.1")
    pool.ensure_purged(one, f"{one.id}.1", "discard", Told(most=2))
    assert os.listdir(f"{pool.home}/trash") == [f"{one.id}.1"]
    pool.ensure_purged(one, f"{one.id}.1", "discard", Told())
    pool.ensure_purged(one, f"{one.id}.1", "discard", Told())
    assert not holds(image, secret)


@pytest.mark.parametrize(("fs_type", "refused"), [("ext4", ()), ("xfs", ("zero",)), ("btrfs", ("zero",))])
def test_a_wipe_that_would_not_wipe_is_refused(make_pool: MakePool, fs_type: str, refused: tuple[str, ...]) -> None:
    """Zeros are of use only where they are written over the old data."""
    pool = make_pool(fs_type)
    for wipe in ("none", "zero", "discard"):
        if wipe in refused:
            with pytest.raises(errors.InvalidArgument, match=f"wipe = '{wipe}'"):
                pool.shape(kind="filesystem", fs_type="", parameters={}, mutable={"wipe": wipe})
        else:
            shape = pool.shape(kind="filesystem", fs_type="", parameters={}, mutable={"wipe": wipe})
            assert shape.attributes == {"wipe": wipe}


def test_zeros_are_refused_where_data_is_journalled(scratch: Scratch) -> None:
    """ext4 with data=journal keeps a second copy of what was written, out of reach of any overwriting."""
    made = scratch.formatted("ext4")
    mounts.ensure_mounted(made.device.path, made.path, "ext4", ["data=journal"])
    pool = DirectoryBackend(PoolConfig(name="own", backend="directory", path=made.path), scratch.root / "state")
    pool.open()
    try:
        with pytest.raises(errors.InvalidArgument, match="wipe = 'zero'"):
            pool.checked_attributes(volume("one", wipe="none"), {"wipe": "zero"})
    finally:
        pool.close()


def test_on_memory_no_wipe_can_be_had(tmp_path: Path) -> None:
    """There is no device to discard on, and nobody knows where tmpfs writes."""
    target = tmp_path / "tmpfs"
    target.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(target)], check=True)
    pool = DirectoryBackend(PoolConfig(name="memory", backend="directory", path=str(target)), tmp_path / "state")
    try:
        pool.open()
        for wipe in ("zero", "discard"):
            with pytest.raises(errors.InvalidArgument, match=f"wipe = '{wipe}'"):
                pool.checked_attributes(volume("one", wipe="none"), {"wipe": wipe})
    finally:
        pool.close()
        subprocess.run(["umount", str(target)], check=True)


def test_only_the_filesystem_that_is_there_can_be_asked_for(ext4_pool: DirectoryBackend) -> None:
    """A StorageClass that names another one is refused rather than given something else."""
    assert ext4_pool.shape(kind="filesystem", fs_type="", parameters={}, mutable={}).fs_type == "ext4"
    assert ext4_pool.shape(kind="filesystem", fs_type="ext4", parameters={}, mutable={}).fs_type == "ext4"
    with pytest.raises(errors.InvalidArgument, match="'xfs' cannot be had"):
        ext4_pool.shape(kind="filesystem", fs_type="xfs", parameters={}, mutable={})
    with pytest.raises(errors.InvalidArgument, match="block"):
        ext4_pool.shape(kind="block", fs_type="", parameters={}, mutable={})


def test_size_is_not_enforced_and_says_so(ext4_pool: DirectoryBackend) -> None:
    """Honest: no limit in force, whatever was asked for."""
    one = volume("one", 4096)
    ext4_pool.ensure_created(one)
    (Path(ext4_pool.directory(one)) / "file").write_bytes(bytes(MIB))
    ext4_pool.ensure_resized(one, 2 * MIB)
    assert not ext4_pool.enforces_size()
    assert ext4_pool.usage(one)[1] == 0


def test_usage_is_what_the_files_take(pool: DirectoryBackend) -> None:
    """In blocks, a file with several names once."""
    one = volume("one")
    pool.ensure_created(one)
    path = Path(pool.directory(one))
    (path / "file").write_bytes(os.urandom(4 * MIB))
    os.link(path / "file", path / "again")
    os.sync()
    assert 4 * MIB <= pool.usage(one)[0] < 5 * MIB


def test_a_missing_directory_is_an_ailment_once_the_volume_was_used(ext4_pool: DirectoryBackend) -> None:
    """A volume that never held anything is made again at its first use."""
    assert ext4_pool.volume_ailments(volume("new")) == []
    (ailment,) = ext4_pool.volume_ailments(volume("used", formatted=True))
    assert (ailment.status, ailment.reason) == (Status.INACCESSIBLE, "VolumeMissing")


def test_doctor_sees_volumes_snapshots_parts_trash_and_what_is_not_ours(ext4_pool: DirectoryBackend) -> None:
    """Everything in the pool's directories, told apart; only an empty volume has nothing allocated."""
    one, two, three, four = (volume(name) for name in ("one", "two", "three", "four"))
    for each in (one, two, three):
        ext4_pool.ensure_created(each)
    (Path(ext4_pool.directory(two)) / "file").write_text("x")
    cut = snapshot("cut", two)
    ext4_pool.ensure_snapshot_copied(cut, two, 0, Told())
    ext4_pool.ensure_volume_copied(four, two, 0, Told(most=0))
    ext4_pool.ensure_trashed(three, f"{three.id}.1")
    (Path(ext4_pool.home).parent / "volumes" / "strange").mkdir()
    found = {(entry.where, entry.id): entry.allocated > 0 for entry in ext4_pool.contents()}
    assert found == {
        ("volume", one.id): False,
        ("volume", two.id): True,
        ("snapshot", cut.id): True,
        ("volume", four.id): True,
        ("trash", f"{three.id}.1"): False,
        ("foreign", "strange"): False,
    }

"""Files: what is durable when, and what a full disk says."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from driver.host import effect, extents, files, loop
from driver.model.errors import HostFailed, NoSpace

from .observers import Death, Killer, Recorder
from .scratch import Scratch, fill

Observe = Callable[[effect.Observer], None]


def test_a_durable_write_syncs_the_file_before_its_name_and_the_name_last(scratch: Scratch, observe: Observe) -> None:
    """Otherwise a crash shows an empty file under the right name."""
    recorder = Recorder()
    observe(recorder)
    path = f"{scratch.root}/record"
    files.write_durably(path, b"new")
    assert recorder.seen == [
        ("files.write_file", f"{path}.new"),
        ("files.rename", f"{path}.new"),
        ("files.fsync_dir", str(scratch.root)),
    ]
    assert Path(path).read_bytes() == b"new"


@pytest.mark.parametrize("point", ["files.write_file", "files.rename", "files.fsync_dir"])
def test_a_crash_in_a_durable_write_leaves_all_the_old_or_all_the_new(
    scratch: Scratch, observe: Observe, point: str
) -> None:
    """And the next write succeeds."""
    path = scratch.root / "record"
    files.write_durably(str(path), b"old")
    observe(Killer(point))
    with pytest.raises(Death):
        files.write_durably(str(path), b"new")
    effect.uninstall()
    assert path.read_bytes() == (b"old" if point == "files.write_file" else b"new")
    files.write_durably(str(path), b"newest")
    assert [entry.read_bytes() for entry in scratch.root.iterdir()] == [b"newest"]


def test_a_durable_write_to_a_full_filesystem_is_no_space_and_keeps_the_old(scratch: Scratch) -> None:
    """ENOSPC has one word in the domain; nothing half-written stays."""
    volume = scratch.mounted("ext4", 4 << 20)
    path = Path(volume.path) / "record"
    files.write_durably(str(path), b"old")
    fill(volume.path)
    with pytest.raises(NoSpace):
        files.write_durably(str(path), bytes(1 << 20))
    assert path.read_bytes() == b"old"
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["filler", "lost+found", "record"]


def test_a_written_file_has_exactly_its_mode(scratch: Scratch) -> None:
    """Whatever the umask, and whatever it had before."""
    path = scratch.root / "record"
    path.write_bytes(b"")
    path.chmod(0o777)
    files.write_durably(str(path), b"x", 0o640)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_durable_rename_syncs_the_new_place_before_the_old(scratch: Scratch, observe: Observe) -> None:
    """The other way round, a crash could show neither name."""
    source, target = scratch.directory(), scratch.directory()
    (Path(source) / "a").write_bytes(b"")
    recorder = Recorder()
    observe(recorder)
    files.rename_durably(f"{source}/a", f"{target}/b")
    assert recorder.seen == [
        ("files.rename", f"{source}/a"),
        ("files.fsync_dir", target),
        ("files.fsync_dir", source),
    ]


def test_a_rename_of_what_is_gone_says_enoent(scratch: Scratch) -> None:
    """The caller can tell a repeat from a failure."""
    with pytest.raises(HostFailed) as failed:
        files.rename(f"{scratch.root}/a", f"{scratch.root}/b")
    assert failed.value.code == errno.ENOENT


def test_a_directory_is_made_once_with_exactly_its_mode(scratch: Scratch) -> None:
    """Repeats change nothing."""
    path = scratch.root / "d"
    assert files.make_dir(str(path), 0o777)
    assert stat.S_IMODE(path.stat().st_mode) == 0o777
    assert not files.make_dir(str(path), 0o700)
    assert stat.S_IMODE(path.stat().st_mode) == 0o777


def test_a_link_to_a_directory_is_not_taken_for_one(scratch: Scratch) -> None:
    """Somebody could have put it there to lead us elsewhere."""
    (scratch.root / "d").symlink_to("/tmp")
    with pytest.raises(HostFailed) as failed:
        files.make_dir(f"{scratch.root}/d")
    assert failed.value.code == errno.EEXIST


def test_removal_says_whether_something_was_there(scratch: Scratch) -> None:
    """And is content when nothing was."""
    (scratch.root / "f").write_bytes(b"")
    assert files.remove_file(f"{scratch.root}/f")
    assert not files.remove_file(f"{scratch.root}/f")
    (scratch.root / "d").mkdir()
    assert files.remove_dir(f"{scratch.root}/d")
    assert not files.remove_dir(f"{scratch.root}/d")


def test_a_link_is_removed_and_not_what_it_points_to(scratch: Scratch) -> None:
    """unlink(2) does not follow."""
    (scratch.root / "f").write_bytes(b"")
    (scratch.root / "l").symlink_to("f")
    assert files.remove_file(f"{scratch.root}/l")
    assert [entry.name for entry in scratch.root.iterdir()] == ["f"]


def test_a_sparse_file_takes_no_blocks_and_keeps_its_data_when_asked_again(scratch: Scratch) -> None:
    """A repeated create must not lose what was written."""
    path = scratch.image(1 << 30)
    assert extents.allocated_bytes(path) == 0
    with open(path, "r+b") as file:
        file.write(b"data")
    files.create_sparse(path, 2 << 30)
    with open(path, "rb") as file:
        assert file.read(4) == b"data"
    assert os.path.getsize(path) == 2 << 30


def test_allocation_takes_the_blocks_and_keeps_data(scratch: Scratch) -> None:
    """Thick provisioning, also of a file that was thin before."""
    path = scratch.image(8 << 20)
    with open(path, "r+b") as file:
        file.write(b"data")
    files.allocate(path, 8 << 20)
    assert extents.allocated_bytes(path) >= 8 << 20
    with open(path, "rb") as file:
        assert file.read(4) == b"data"


def test_allocation_beyond_the_filesystem_is_no_space(scratch: Scratch) -> None:
    """Not a bare errno."""
    volume = scratch.mounted("ext4", 16 << 20)
    files.create_sparse(f"{volume.path}/f", 1 << 30)
    with pytest.raises(NoSpace):
        files.allocate(f"{volume.path}/f", 1 << 30)


def test_a_punched_range_reads_as_zeros_and_gives_its_blocks_back(scratch: Scratch) -> None:
    """The size stays."""
    path = scratch.image(0)
    Path(path).write_bytes(b"x" * (64 << 10))
    with open(path, "r+b") as file:
        files.punch(file.fileno(), 4096, 32 << 10)
        os.fsync(file.fileno())
    assert Path(path).read_bytes() == b"x" * 4096 + bytes(32 << 10) + b"x" * ((28 << 10) - 0)
    assert extents.allocated_bytes(path) == 32 << 10


def test_zeroing_reaches_the_device_below_and_leaves_holes(scratch: Scratch) -> None:
    """The device is read, not the file: its old content is what must be gone."""
    volume = scratch.mounted("ext4")
    secret = b"HOLDALL-SECRET-" * 273
    path = Path(volume.path) / "f"
    with path.open("wb") as file:
        file.write(secret)
        file.seek(32 << 20)
        file.write(secret)
        os.fsync(file.fileno())
    blocks = extents.allocated_bytes(str(path))
    assert b"HOLDALL-SECRET" in Path(volume.image).read_bytes()
    files.zero_range_write(str(path))
    assert extents.allocated_bytes(str(path)) == blocks
    device = os.open(volume.device.path, os.O_RDONLY)
    os.fsync(device)
    os.close(device)
    assert b"HOLDALL-SECRET" not in Path(volume.image).read_bytes()


def test_zeroing_a_device_overwrites_all_of_it(scratch: Scratch) -> None:
    """A device has no holes to be told apart."""
    image = scratch.image(0)
    Path(image).write_bytes(b"x" * (2 << 20))
    device = loop.attach(image)
    files.zero_range_write(device.path)
    assert Path(image).read_bytes() == bytes(2 << 20)


def test_zeroing_works_where_there_is_no_fiemap(tmp_path: Path) -> None:
    """Network filesystems and tmpfs have none."""
    path = Path("/dev/shm") / tmp_path.name
    path.write_bytes(b"x" * 8192)
    try:
        files.zero_range_write(str(path))
        assert path.read_bytes() == bytes(8192)
    finally:
        path.unlink()


def test_syncing_what_is_gone_is_a_host_failure(scratch: Scratch) -> None:
    """A sync that did not happen must never look like one that did."""
    for sync in (files.fsync_file, files.fsync_dir):
        with pytest.raises(HostFailed) as failed:
            sync(f"{scratch.root}/gone")
        assert failed.value.code == errno.ENOENT

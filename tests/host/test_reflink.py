"""Copies: shared or by data."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from driver.host import effect, extents, files, reflink
from driver.model.errors import DataDamaged, HostFailed, NoSpace

from .observers import Breaker, Death, Killer, Recorder
from .scratch import Scratch, fill

Observe = Callable[[effect.Observer], None]


@pytest.fixture(params=["xfs", "btrfs"])
def sharing(request: pytest.FixtureRequest, filesystems: dict[str, Path], tmp_path: Path) -> Path:
    """A private directory on each filesystem that can share extents."""
    path = filesystems[request.param] / tmp_path.name
    path.mkdir()
    return path


def test_sharing_is_found_out_by_trying(filesystems: dict[str, Path]) -> None:
    """xfs and btrfs can, ext4 and tmpfs cannot; nothing is left behind by the attempt."""
    can = {name: reflink.supported(str(path)) for name, path in filesystems.items()}
    assert can == {"xfs": True, "ext4": False, "btrfs": True}
    assert not reflink.supported("/dev/shm")


def test_sharing_is_found_out_on_a_full_filesystem(scratch: Scratch) -> None:
    """A pool with 0 bytes free must still start."""
    volume = scratch.mounted("xfs")
    fill(volume.path)
    assert reflink.supported(volume.path)


def test_a_shared_copy_holds_what_the_source_held_and_takes_no_space(sharing: Path) -> None:
    """Also what was written and not synced."""
    data = os.urandom(1 << 20)
    source = sharing / "f"
    source.write_bytes(data)
    reflink.share(str(source), str(sharing / "g"))
    with source.open("r+b") as file:
        file.write(b"changed since")
    assert (sharing / "g").read_bytes() == data
    fd = os.open(sharing / "g", os.O_RDONLY)
    assert any(extent.flags & extents.Flag.SHARED for extent in extents.extents(fd))
    os.close(fd)


def test_a_shared_copy_is_synced_then_its_name(sharing: Path, observe: Observe) -> None:
    """It is relied on when share returns."""
    (sharing / "f").write_bytes(b"x")
    recorder = Recorder()
    observe(recorder)
    reflink.share(str(sharing / "f"), str(sharing / "g"))
    assert recorder.seen == [
        ("reflink.clone", str(sharing / "f")),
        ("files.fsync_file", str(sharing / "g")),
        ("files.fsync_dir", str(sharing)),
    ]


def test_an_existing_target_is_left_alone(sharing: Path) -> None:
    """It may be another volume."""
    (sharing / "f").write_bytes(b"x")
    (sharing / "g").write_bytes(b"precious")
    with pytest.raises(HostFailed) as failed:
        reflink.share(str(sharing / "f"), str(sharing / "g"))
    assert failed.value.code == errno.EEXIST
    assert (sharing / "g").read_bytes() == b"precious"


def test_where_extents_cannot_be_shared_nothing_is_left(filesystems: dict[str, Path], tmp_path: Path) -> None:
    """The error says why."""
    place = filesystems["ext4"] / tmp_path.name
    place.mkdir()
    (place / "f").write_bytes(b"x")
    with pytest.raises(HostFailed, match="EOPNOTSUPP"):
        reflink.share(str(place / "f"), str(place / "g"))
    assert [entry.name for entry in place.iterdir()] == ["f"]


def test_between_filesystems_extents_cannot_be_shared(filesystems: dict[str, Path], tmp_path: Path) -> None:
    """EXDEV."""
    source = filesystems["xfs"] / tmp_path.name
    source.write_bytes(b"x")
    with pytest.raises(HostFailed, match="EXDEV"):
        reflink.share(str(source), str(filesystems["btrfs"] / tmp_path.name))


def test_a_share_that_found_no_space_leaves_nothing(sharing: Path, observe: Observe) -> None:
    """Injected: a reflink takes too little to fill a filesystem with."""
    (sharing / "f").write_bytes(b"x")
    observe(Breaker("reflink.clone", errno.ENOSPC))
    with pytest.raises(NoSpace):
        reflink.share(str(sharing / "f"), str(sharing / "g"))
    assert [entry.name for entry in sharing.iterdir()] == ["f"]


def _sparse(path: Path, size: int, *pieces: tuple[int, bytes]) -> int:
    files.create_sparse(str(path), size)
    fd = os.open(path, os.O_RDWR)
    for offset, data in pieces:
        os.pwrite(fd, data, offset)
    return fd


@pytest.fixture(params=["ext4", "xfs", "/dev/shm"])
def pair(
    request: pytest.FixtureRequest, filesystems: dict[str, Path], tmp_path: Path, scratch: Scratch
) -> Iterator[tuple[int, int, Path]]:
    """A sparse source on ext4, and an empty target on the same filesystem, on another and on one without fallback."""
    source = scratch.root / "source"
    target = (filesystems[request.param] if request.param != "/dev/shm" else Path(request.param)) / tmp_path.name
    fds = (
        _sparse(source, 40 << 20, (1 << 20, os.urandom(3 << 20)), (30 << 20, os.urandom(12345))),
        _sparse(target, 40 << 20),
    )
    yield (*fds, target)
    for fd in fds:
        os.close(fd)
    target.unlink()


def test_a_sparse_copy_has_the_same_bytes_and_the_same_holes(pair: tuple[int, int, Path], scratch: Scratch) -> None:
    """Whether the kernel copies or we do."""
    source, target, path = pair
    seen: list[int] = []
    done = reflink.copy_sparse(source, target, start=0, end=40 << 20, progress=seen.append, cancelled=lambda: False)
    assert done
    assert seen == [40 << 20]
    assert path.read_bytes() == (scratch.root / "source").read_bytes()
    assert extents.allocated_bytes(str(path)) < 5 << 20


def test_a_copy_tells_only_what_is_durable_and_resumes_there(
    scratch: Scratch, observe: Observe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every offset told was synced before, and a second call starts there."""
    monkeypatch.setattr(reflink, "PIECE", 4 << 20)
    monkeypatch.setattr(reflink, "STEP", 1 << 20)
    data = os.urandom(16 << 20)
    source = _sparse(scratch.root / "s", 16 << 20, (0, data))
    target = _sparse(scratch.root / "t", 16 << 20)
    recorder = Recorder()
    observe(recorder)
    seen: list[int] = []

    def progress(offset: int) -> None:
        assert recorder.names[-1] == "files.fsync_file"
        seen.append(offset)

    def copy(start: int, stop_at: int) -> bool:
        return reflink.copy_sparse(
            source,
            target,
            start=start,
            end=16 << 20,
            progress=progress,
            cancelled=lambda: len(recorder.seen) >= stop_at,
        )

    assert not copy(0, 7)
    assert seen == [4 << 20]
    recorder.seen.clear()
    assert copy(seen[-1], 1000)
    assert seen == [4 << 20, 8 << 20, 12 << 20, 16 << 20]
    assert os.pread(target, 16 << 20, 0) == data
    assert len([name for name in recorder.names if name == "reflink.copy_range"]) == 12
    os.close(source)
    os.close(target)


def test_a_crash_in_a_copy_loses_only_what_was_not_told(
    scratch: Scratch, observe: Observe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next process goes on from the last offset it was told."""
    monkeypatch.setattr(reflink, "STEP", 1 << 20)
    monkeypatch.setattr(reflink, "PIECE", 2 << 20)
    data = os.urandom(4 << 20)
    source = _sparse(scratch.root / "s", 4 << 20, (0, data))
    target = _sparse(scratch.root / "t", 4 << 20)
    seen = [0]
    observe(Killer("files.fsync_file"))
    with pytest.raises(Death):
        reflink.copy_sparse(source, target, start=0, end=4 << 20, progress=seen.append, cancelled=lambda: False)
    effect.uninstall()
    assert reflink.copy_sparse(
        source, target, start=seen[-1], end=4 << 20, progress=seen.append, cancelled=lambda: False
    )
    assert os.pread(target, 4 << 20, 0) == data
    os.close(source)
    os.close(target)


def test_a_copy_into_a_full_filesystem_is_no_space(scratch: Scratch) -> None:
    """Not a copy that ends early."""
    volume = scratch.mounted("ext4", 8 << 20)
    source = _sparse(scratch.root / "s", 32 << 20, (0, os.urandom(32 << 20)))
    target = _sparse(Path(volume.path, "t"), 32 << 20)
    with pytest.raises(NoSpace):
        reflink.copy_sparse(source, target, start=0, end=32 << 20, progress=print, cancelled=lambda: False)
    os.close(source)
    os.close(target)


def test_a_source_shorter_than_its_volume_is_damaged(scratch: Scratch) -> None:
    """Zeros must not be made up for data that is gone."""
    source = _sparse(scratch.root / "s", 1 << 20, (0, b"x" * (1 << 20)))
    target = _sparse(scratch.root / "t", 2 << 20)
    with pytest.raises(DataDamaged):
        reflink.copy_sparse(source, target, start=0, end=2 << 20, progress=print, cancelled=lambda: False)
    os.close(source)
    os.close(target)

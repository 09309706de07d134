"""Compression, told from the extents and the blocks that new data takes."""

import fcntl
import os
import struct
import threading
from pathlib import Path

import pytest

from driver.backends.btrfs import BtrfsBackend
from driver.host import btrfs, extents
from driver.model import errors
from driver.model.volume import Volume

from ..records import MIB, snapshot, volume

TEXT = b"the same words again and again, as files have them\n" * (4 * MIB // 51)


def compressed(path: Path) -> bool:
    """Whether the file's extents are encoded (FIEMAP) and take far fewer blocks than bytes."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        found = list(extents.extents(fd))
    finally:
        os.close(fd)
    return bool(found) and all(one.flags & extents.Flag.ENCODED for one in found)


def made(pool: BtrfsBackend, **attributes: str) -> tuple[Volume, Path]:
    one = volume("one", **attributes)
    pool.ensure_created(one)
    return one, Path(pool.directory(one))


@pytest.mark.parametrize("algorithm", ["zstd", "lzo", "zlib"])
def test_a_volume_asked_for_with_compression_compresses(pool: BtrfsBackend, algorithm: str) -> None:
    """In directories made by the user too, and the quota counts what is on disk."""
    one, path = made(pool, compression=algorithm)
    (path / "deep" / "er").mkdir(parents=True)
    for place in (path / "file", path / "deep" / "er" / "file"):
        place.write_bytes(TEXT)
        assert compressed(place)
    os.sync()
    assert pool.usage(one)[0] < len(TEXT)


def test_without_the_key_nothing_is_compressed(pool: BtrfsBackend) -> None:
    """The filesystem's own mount options decide, and here they say nothing."""
    _, path = made(pool)
    (path / "file").write_bytes(TEXT)
    assert not compressed(path / "file")


def test_a_change_holds_for_new_data_of_everything_in_the_volume(pool: BtrfsBackend) -> None:
    """Of files and directories that exist, and of those to come; what is written stays as it is."""
    one, path = made(pool)
    (path / "deep").mkdir()
    for old in (path / "old", path / "deep" / "old"):
        old.write_bytes(TEXT)
    os.sync()
    pool.ensure_attributes(one, {"compression": "zstd"})
    assert not compressed(path / "old")
    for place in (path / "new", path / "deep" / "new", path / "old", path / "deep" / "old"):
        place.write_bytes(TEXT)
        assert compressed(place)
    pool.ensure_attributes(one, {"compression": "none"})
    (path / "deep" / "newer").write_bytes(TEXT)
    assert not compressed(path / "deep" / "newer")


def test_a_change_passes_over_what_cannot_be_compressed(pool: BtrfsBackend, tmp_path: Path) -> None:
    """A nodatacow file, links, special files and subvolumes of the user's; nothing outside is touched."""
    one, path = made(pool)
    outside = tmp_path / "outside"
    outside.write_bytes(b"")
    (path / "nocow").touch()
    with (path / "nocow").open("rb") as file:
        fcntl.ioctl(file, 0x40086602, struct.pack("l", 0x00800000))
    os.symlink(outside, path / "link")
    os.mkfifo(path / "fifo")
    btrfs.create_subvolume(str(path), "inner")
    pool.ensure_attributes(one, {"compression": "zstd"})
    assert btrfs.compression(str(path)) == "zstd"
    assert btrfs.compression(str(path / "inner")) == ""


def test_a_change_keeps_up_with_a_volume_in_use(pool: BtrfsBackend) -> None:
    """Files and directories that come, go and turn into links while their volume is walked are no failure."""
    one, path = made(pool)
    for number in range(50):
        (path / f"d{number}").mkdir()
    stop = threading.Event()

    def disturb() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            place = path / f"d{number % 50}" / "x"
            place.write_bytes(b"")
            place.unlink()
            place.symlink_to("/etc/passwd")
            place.unlink()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for algorithm in ("zstd", "none", "lzo") * 3:
            pool.ensure_attributes(one, {"compression": algorithm})
            assert btrfs.compression(str(path)) == algorithm
    finally:
        stop.set()
        thread.join()


def test_a_restore_keeps_the_compression_of_its_source_unless_asked_otherwise(pool: BtrfsBackend) -> None:
    """Nothing said: as the source had it, at no cost; something said: that."""
    one, path = made(pool, compression="zstd")
    (path / "deep").mkdir()
    cut = snapshot("cut", one)
    pool.ensure_cut(cut, one)
    same, other = volume("same"), volume("other", compression="none")
    for two in (same, other):
        pool.ensure_volume_from_snapshot(two, cut)
        (Path(pool.directory(two)) / "deep" / "file").write_bytes(TEXT)
    assert compressed(Path(pool.directory(same), "deep", "file"))
    assert not compressed(Path(pool.directory(other), "deep", "file"))


@pytest.mark.parametrize("value", ["zstd:3", "gzip", "", "ZSTD"])
def test_what_has_no_effect_is_refused(pool: BtrfsBackend, value: str) -> None:
    """A level would be accepted by the kernel and ignored; so it is refused."""
    with pytest.raises(errors.InvalidArgument, match="compression"):
        pool.shape(kind="filesystem", fs_type="", parameters={}, mutable={"compression": value})

"""Opening what a user names."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from driver.host import beneath
from driver.model.errors import HostFailed, InvalidArgument, NotFound

from .scratch import Scratch, open_directory


@pytest.fixture
def volume(scratch: Scratch) -> Iterator[int]:
    """A volume's root with a file and a directory in it, beside a file that is not its own."""
    root = scratch.root / "volume"
    (root / "d").mkdir(parents=True)
    (root / "d" / "f").write_bytes(b"mine")
    (scratch.root / "secret").write_bytes(b"not mine")
    fd = open_directory(str(root))
    yield fd
    os.close(fd)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


def test_what_lies_inside_is_opened(volume: int) -> None:
    """Close-on-exec, so that no program we start has it."""
    fd = beneath.open_beneath(volume, "d/f", os.O_RDONLY)
    assert not os.get_inheritable(fd)
    assert _read(fd) == b"mine"


def test_dots_that_stay_inside_are_fine(volume: int) -> None:
    """Only the way out is closed."""
    assert _read(beneath.open_beneath(volume, "d/../d/./f", os.O_RDONLY)) == b"mine"


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "d/../../secret", "..", "/", "d/../.."])
def test_a_path_that_leaves_is_an_invalid_argument(volume: int, path: str) -> None:
    """Absolute or by dots."""
    with pytest.raises(InvalidArgument):
        beneath.open_beneath(volume, path, os.O_RDONLY)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../secret", "/"])
def test_a_link_that_leaves_is_an_invalid_argument(volume: int, scratch: Scratch, target: str) -> None:
    """Also in the middle of a path."""
    (scratch.root / "volume" / "d" / "l").symlink_to(target)
    for path in ("d/l", "d/l/x"):
        with pytest.raises(InvalidArgument):
            beneath.open_beneath(volume, path, os.O_RDONLY)


def test_a_link_that_stays_is_followed_unless_that_was_excluded(volume: int, scratch: Scratch) -> None:
    """Users link within their volumes."""
    (scratch.root / "volume" / "l").symlink_to("d/f")
    assert _read(beneath.open_beneath(volume, "l", os.O_RDONLY)) == b"mine"
    with pytest.raises(InvalidArgument):
        beneath.open_beneath(volume, "l", os.O_RDONLY, follow=False)


def test_magic_links_are_never_followed(scratch: Scratch) -> None:
    """A /proc inside a volume would lead anywhere; RESOLVE_BENEATH alone need not stop it."""
    proc = open_directory("/proc/self")
    try:
        for path in ("root", "root/etc/passwd", "cwd", "fd/0", "exe"):
            with pytest.raises(InvalidArgument):
                beneath.open_beneath(proc, path, os.O_RDONLY)
    finally:
        os.close(proc)


def test_a_loop_of_links_is_an_invalid_argument(volume: int, scratch: Scratch) -> None:
    """ELOOP."""
    (scratch.root / "volume" / "l").symlink_to("l")
    with pytest.raises(InvalidArgument):
        beneath.open_beneath(volume, "l", os.O_RDONLY)


def test_what_is_not_there_is_not_found(volume: int) -> None:
    """Its own word, as it is an answer."""
    with pytest.raises(NotFound):
        beneath.open_beneath(volume, "d/absent", os.O_RDONLY)


@pytest.mark.parametrize(
    ("path", "code"), [("d/f/x", errno.ENOTDIR), ("x" * 300, errno.ENAMETOOLONG), ("d", errno.EISDIR)]
)
def test_other_failures_keep_their_errno(volume: int, path: str, code: int) -> None:
    """The caller may tell them apart."""
    with pytest.raises(HostFailed) as failed:
        beneath.open_beneath(volume, path, os.O_WRONLY)
    assert failed.value.code == code


def test_a_zero_byte_in_a_path_is_an_invalid_argument(volume: int) -> None:
    """The kernel would take the path to end there."""
    with pytest.raises(InvalidArgument):
        beneath.open_beneath(volume, "d/f\0x", os.O_RDONLY)


def test_a_file_is_made_with_its_mode(volume: int, scratch: Scratch) -> None:
    """The umask applies, as with open(2)."""
    os.close(beneath.open_beneath(volume, "d/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    assert (scratch.root / "volume" / "d" / "new").stat().st_mode & 0o777 == 0o600


def test_a_race_of_renames_never_leads_outside(volume: int, scratch: Scratch) -> None:
    """A directory is swapped for a link to the outside all the while."""
    root = scratch.root / "volume"
    outside = scratch.root / "outside"
    outside.mkdir()
    (outside / "f").write_bytes(b"not mine")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.rename(root / "d", root / "e")
            os.symlink(outside, root / "d")
            os.unlink(root / "d")
            os.rename(root / "e", root / "d")

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen = set()
    try:
        for _ in range(3000):
            try:
                seen.add(_read(beneath.open_beneath(volume, "d/../d/f", os.O_RDONLY)))
            except (InvalidArgument, NotFound):
                continue
    finally:
        stop.set()
        swapper.join()
    assert seen <= {b"mine"}
    assert Path(root / "d").is_dir()

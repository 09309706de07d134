"""Directories: what users put into their volumes leads nowhere else, whatever it is."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from driver.backends import base
from driver.model import errors

from . import pools
from .world import Quiet, World

ABILITY = base.Directories
ODD = os.fsdecode(b"\xff\xfe not text \n")


@pytest.fixture
def outside(scratch: Path) -> Iterator[Path]:
    """A directory with a file that nobody may touch."""
    path = scratch / "outside"
    path.mkdir()
    (path / "precious").write_text("precious")
    yield path
    assert (path / "precious").read_text() == "precious"
    assert os.listdir(path) == ["precious"]


def inside(world: World, name: str = "one") -> tuple[object, Path]:
    volume = world.create(name)
    assert isinstance(world.backend, base.Directories)
    return volume, Path(world.backend.directory(volume))


def make_hostile(path: Path, outside: Path) -> None:
    """Links out of the volume, special files, odd names, deep and closed directories."""
    (path / "file-link").symlink_to(outside / "precious")
    (path / "directory-link").symlink_to(outside)
    (path / "relative-link").symlink_to("../../../../../../../../etc")
    (path / "loop").symlink_to("loop")
    os.mkfifo(path / "fifo")
    os.mknod(path / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    (path / ODD).write_text("odd")
    (path / "closed").mkdir()
    (path / "closed" / "file").write_text("x")
    (path / "closed").chmod(0)
    deep = path
    for _ in range(30):
        deep /= "d" * 100
        deep.mkdir()
    (path / "one-name").write_text("linked")
    os.link(path / "one-name", path / "other-name")
    pools.run("chattr", "+i", str(path / "other-name"))


def test_a_purge_follows_nothing_out_of_a_volume(world: World, outside: Path) -> None:
    """Symbolic links, special files, odd names, depth and immutable files: all go, and nothing else does."""
    for wipe in ("none", "discard"):
        volume, path = inside(world)
        make_hostile(path, outside)
        world.purge(volume, "t1", wipe)
        assert world.entries("trash") == set()
        assert not path.exists()


def test_a_copy_follows_nothing_out_of_a_volume(world: World, outside: Path) -> None:
    """A snapshot holds the links and special files themselves, not what they point to."""
    volume, path = inside(world)
    make_hostile(path, outside)
    before = fingerprint(path)
    snapshot = world.cut(volume)
    copy = world.volume("copy")
    world.fill(copy, snapshot)
    made = Path(world.backend.directory(copy))
    assert fingerprint(made) == before
    assert not (made / "fifo").samefile(path / "fifo")
    assert (made / "one-name").samefile(made / "other-name")
    for thing, trash in ((volume, "t1"), (copy, "t2"), (snapshot, "t3")):
        world.purge(thing, trash)
    assert world.entries("trash") == set()


def fingerprint(root: Path) -> dict[str, tuple[object, ...]]:
    """What a copy must have in common with its source: types, modes, owners, times, targets and bytes."""
    found = {}
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            path = os.path.join(directory, name)
            seen = os.lstat(path)
            content: object = None
            if stat.S_ISLNK(seen.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(seen.st_mode):
                content = Path(path).read_bytes()
            found[os.path.relpath(path, root)] = (
                seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns, seen.st_rdev, content
            )  # fmt: skip
    return found


def test_what_is_mounted_in_a_volume_is_not_purged(world: World, outside: Path) -> None:
    """What is mounted inside stays as it is. The purge is InUse, is told of in ``contents``, and goes on once it is
    unmounted; only a subvolume goes at once, and the kernel takes the mount away with it."""
    volume, path = inside(world)
    (path / "before").write_text("x")
    (path / "mounted").mkdir()
    pools.run("mount", "--bind", str(outside), str(path / "mounted"))
    world.trash(volume, "t1")
    try:
        if world.kind.backend != "btrfs":
            with pytest.raises(errors.InUse):
                world.backend.ensure_purged(volume, "t1", "none", Quiet())
            assert world.entries("trash") == {"t1"}
        else:
            world.backend.ensure_purged(volume, "t1", "none", Quiet())
    finally:
        pools.release(str(world.pool_path))
    world.backend.ensure_purged(volume, "t1", "none", Quiet())
    assert world.entries("trash") == set()


def test_a_link_in_place_of_a_volume_is_not_followed(world: World, outside: Path) -> None:
    """Something else than a directory where a volume should be is no volume, and goes without what it points to."""
    volume, path = inside(world)
    world.trash(volume, "t1")
    path.symlink_to(outside)
    assert not world.backend.exists(volume)
    world.trash(volume, "t2")
    for trash in ("t1", "t2"):
        world.backend.ensure_purged(volume, trash, "none", Quiet())
    assert world.entries("trash") == set()


def test_a_volume_belongs_to_its_users_and_its_parents_to_root(world: World) -> None:
    """A pod of any user may write into its volume, and nobody gets in but through a mount of ours."""
    _, path = inside(world)
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0o007
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

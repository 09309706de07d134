"""Walking trees that somebody else fills."""

import os
import subprocess
from pathlib import Path

import pytest

from driver.host import tree, walk
from driver.model.errors import Busy, HostFailed, InUse


def visited(path: Path) -> list[tuple[str, str]]:
    with walk.Cursor(str(path)) as cursor:
        return [(visit.what, visit.name) for visit in walk.walk(cursor)]


def test_the_order_is_by_name_and_the_same_every_time(tmp_path: Path) -> None:
    """Leaves before directories; every directory entered is left, the first one last."""
    for name in ("b", "a", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "z").touch()
    (tmp_path / "a" / "inner").touch()
    expected = [
        ("leaf", "z"), ("enter", "a"), ("leaf", "inner"), ("leave", ""), ("enter", "b"), ("leave", ""),
        ("enter", "c"), ("leave", ""), ("leave", ""),
    ]  # fmt: skip
    assert expected == visited(tmp_path) == visited(tmp_path)


def test_a_link_to_a_directory_is_a_leaf(tmp_path: Path) -> None:
    """Nothing a link leads to is visited."""
    (tmp_path / "link").symlink_to("/etc")
    assert visited(tmp_path) == [("leaf", "link"), ("leave", "")]


def test_the_root_itself_is_not_reached_through_a_link(tmp_path: Path) -> None:
    """A volume replaced by a link is no volume."""
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(HostFailed):
        walk.Cursor(str(tmp_path / "link"))


def test_names_that_vanish_meanwhile_are_left_out(tmp_path: Path) -> None:
    """A volume may be in use while it is measured."""
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    with walk.Cursor(str(tmp_path)) as cursor:
        names = []
        for visit in walk.walk(cursor):
            names.append(visit.name)
            if visit.name == "a":
                (tmp_path / "b").rmdir()
                (tmp_path / "c").rmdir()
                (tmp_path / "c").symlink_to("/etc")
    assert names == ["a", "", ""]


def test_a_directory_moved_away_meanwhile_ends_the_walk(tmp_path: Path) -> None:
    """The way up would lead somewhere else: Busy, and nothing outside is visited."""
    (tmp_path / "tree" / "inner").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").touch()
    names = []

    def go() -> None:
        with walk.Cursor(str(tmp_path / "tree")) as cursor:
            for visit in walk.walk(cursor):
                names.append(visit.name)
                if visit.what == "enter":
                    (tmp_path / "tree" / "inner").rename(tmp_path / "outside" / "inner")

    with pytest.raises(Busy, match="was moved"):
        go()
    assert names == ["inner", ""]


def test_what_is_mounted_inside_is_named(tmp_path: Path) -> None:
    """It belongs to whoever mounted it."""
    (tmp_path / "inner").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp_path / "inner")], check=True)
    try:
        with pytest.raises(InUse, match=r"something is mounted at .*inner"):
            visited(tmp_path)
    finally:
        subprocess.run(["umount", str(tmp_path / "inner")], check=True)


def test_depth_costs_no_descriptors(tmp_path: Path) -> None:
    """One is held, however deep the cursor is; and it finds its way back."""
    top = tmp_path / "top"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    try:
        before = len(os.listdir("/proc/self/fd"))
        with walk.Cursor(str(top)) as cursor:
            most = max(len(os.listdir("/proc/self/fd")) for _ in walk.walk(cursor))
        assert most <= before + 1
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        # Too deep for what pytest clears up with.
        tree.remove_tree(str(top))


def test_a_name_in_a_message_can_be_read(tmp_path: Path) -> None:
    """Names are bytes that need not be text."""
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        assert walk.readable(fd, "bad\udcff") == f"{tmp_path}/bad\\xff"
    finally:
        os.close(fd)

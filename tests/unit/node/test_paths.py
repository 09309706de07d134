"""Paths that callers name."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from driver.model import errors
from driver.node import paths


@pytest.mark.parametrize("path", ["", "some/path", "./x", "/a/../b", "/..", "/a\0b", "/" + "x" * 5000, "/a/b/.."])
def test_a_path_that_is_not_plainly_absolute_is_invalid(path: str) -> None:
    """staging_target_path and target_path MUST be absolute; nothing is resolved on the caller's behalf."""
    with pytest.raises(errors.InvalidArgument, match="target_path"):
        paths.checked(path, "target_path")


@pytest.mark.parametrize(
    ("path", "expected"), [("/a/b", "/a/b"), ("//a///b/", "/a/b"), ("/a/./b", "/a/b"), ("/a/..b/c..", "/a/..b/c..")]
)
def test_one_place_has_one_spelling(path: str, expected: str) -> None:
    """Targets are compared as strings, so spellings of one path must not differ."""
    assert paths.checked(path, "target_path") == expected


@pytest.mark.parametrize(("access", "is_right"), [("mount", os.path.isdir), ("block", os.path.isfile)])
def test_a_target_is_made_of_the_right_kind_and_taken_away_again(
    tmp_path: Path, access: str, is_right: Callable[[str], bool]
) -> None:
    """Creation of target_path is the responsibility of the SP, and so is its deletion."""
    target = str(tmp_path / "target")
    assert paths.ensure_target(target, access)
    assert is_right(target)
    assert not paths.ensure_target(target, access)
    paths.remove_target(target)
    assert not os.path.lexists(target)
    paths.remove_target(target)


@pytest.mark.parametrize("access", ["mount", "block"])
def test_the_parent_of_a_target_is_the_callers(tmp_path: Path, access: str) -> None:
    """The CO SHALL ensure that the parent directory exists; it is not made here."""
    with pytest.raises(errors.FailedPrecondition, match="parent directory"):
        paths.ensure_target(str(tmp_path / "missing" / "target"), access)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("access", ["mount", "block"])
@pytest.mark.parametrize("kind", ["link to a directory", "link to a file", "dangling link", "fifo"])
def test_a_link_or_special_file_as_target_is_refused_and_kept(tmp_path: Path, access: str, kind: str) -> None:
    """A symbolic link at the target path could lead the mount anywhere: never followed, never replaced, never removed."""
    target = tmp_path / "target"
    goal = tmp_path / "goal"
    if kind == "link to a directory":
        goal.mkdir()
    elif kind == "link to a file":
        goal.touch()
    if kind == "fifo":
        os.mkfifo(target)
    else:
        target.symlink_to(goal)
    with pytest.raises(errors.FailedPrecondition, match="target_path"):
        paths.ensure_target(str(target), access)
    with pytest.raises(errors.FailedPrecondition, match="not made here"):
        paths.remove_target(str(target))
    assert os.path.lexists(target)


def test_a_target_that_holds_something_is_neither_hidden_nor_deleted(tmp_path: Path) -> None:
    """Removal of a target is never recursive, and mounting over files would hide them."""
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "precious").touch()
    (tmp_path / "file").write_text("precious")
    for name, access in (("dir", "mount"), ("file", "block")):
        with pytest.raises(errors.FailedPrecondition, match="holds"):
            paths.ensure_target(str(tmp_path / name), access)
        with pytest.raises(errors.FailedPrecondition, match="kept"):
            paths.remove_target(str(tmp_path / name))
    assert (tmp_path / "dir" / "precious").exists()
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize(("made", "access"), [("dir", "block"), ("file", "mount")])
def test_a_target_of_the_wrong_kind_is_refused(tmp_path: Path, made: str, access: str) -> None:
    """A device is bound on a file, a filesystem on a directory."""
    target = tmp_path / "target"
    if made == "dir":
        target.mkdir()
    else:
        target.touch()
    with pytest.raises(errors.FailedPrecondition, match="must be free"):
        paths.ensure_target(str(target), access)


@pytest.mark.parametrize("kind", ["missing", "file", "link"])
def test_a_staging_path_must_be_a_directory_of_its_own(tmp_path: Path, kind: str) -> None:
    """staging_target_path MUST be a directory, made by the CO; a link to one is none."""
    path = tmp_path / "staging"
    if kind == "file":
        path.touch()
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir()
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(errors.FailedPrecondition, match="staging_target_path"):
        paths.require_directory(str(path), "staging_target_path")

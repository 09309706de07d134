"""Sizes found out a little at a time; the clock is the test's."""

import os
from pathlib import Path

from driver.backends import tree_size
from driver.backends.tree_size import Sizes, taken


class Clock:
    """Goes on by ``step`` seconds at each look."""

    def __init__(self) -> None:
        self.now = 0.0
        self.step = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def tree(root: Path, files: int) -> Path:
    for number in range(files):
        (root / f"file{number}").write_bytes(bytes(8192))
    os.sync()
    return root


def test_a_small_tree_is_known_at_the_first_question(tmp_path: Path) -> None:
    """One slice is enough for it."""
    sizes = Sizes(Clock())
    path = str(tree(tmp_path, 10))
    assert taken(path) == sizes.of(path)
    assert sizes.is_known(path)


def test_a_large_tree_is_known_after_several_questions_and_a_lower_bound_before(tmp_path: Path) -> None:
    """No question walks longer than its slice, and none begins from the start again."""
    clock = Clock()
    sizes = Sizes(clock)
    path = str(tree(tmp_path, 30))
    clock.step = tree_size.SLICE / 7
    answers = []
    while not sizes.is_known(path):
        answers.append(sizes.of(path))
    assert len(answers) >= 4
    assert answers == sorted(answers)
    assert taken(path) == answers[-1]


def test_an_answer_stands_while_it_is_fresh_and_while_it_is_found_out_anew(tmp_path: Path) -> None:
    """Figures do not jump down while a new walk is under way."""
    clock = Clock()
    sizes = Sizes(clock)
    path = str(tree(tmp_path, 30))
    first = sizes.of(path)
    (tmp_path / "more").write_bytes(bytes(1 << 20))
    os.sync()
    assert first == sizes.of(path)
    clock.now += tree_size.FRESH + 1
    clock.step = tree_size.SLICE / 7
    assert first == sizes.of(path)
    clock.step = 0.0
    assert sizes.of(path) >= first + (1 << 20)


def test_what_is_forgotten_is_found_out_anew(tmp_path: Path) -> None:
    """A name that comes again is another directory."""
    sizes = Sizes(Clock())
    path = str(tree(tmp_path, 3))
    before = sizes.of(path)
    sizes.forget(path)
    assert not sizes.is_known(path)
    (tmp_path / "more").write_bytes(bytes(1 << 20))
    os.sync()
    assert sizes.of(path) > before


def test_no_more_walks_are_open_than_allowed(tmp_path: Path) -> None:
    """Each holds a descriptor; the one asked for longest ago is given up."""
    clock = Clock()
    sizes = Sizes(clock)
    clock.step = tree_size.SLICE
    paths = []
    for number in range(tree_size.OPEN + 10):
        directory = tmp_path / f"d{number}"
        directory.mkdir()
        paths.append(str(tree(directory, 2)))
    before = len(os.listdir("/proc/self/fd"))
    for path in paths:
        sizes.of(path)
    assert len(os.listdir("/proc/self/fd")) <= before + tree_size.OPEN
    sizes.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_with_several_names_counts_once(tmp_path: Path) -> None:
    """Its blocks are shared evenly by its names."""
    (tmp_path / "file").write_bytes(bytes(1 << 20))
    os.sync()
    before = taken(str(tmp_path))
    os.link(tmp_path / "file", tmp_path / "again")
    assert abs(taken(str(tmp_path)) - before) < 8192


def test_what_is_gone_takes_nothing(tmp_path: Path) -> None:
    """A volume deleted meanwhile is no error."""
    assert taken(str(tmp_path / "gone")) == 0

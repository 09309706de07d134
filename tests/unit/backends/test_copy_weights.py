"""What entries of a tree count for in a copy's progress."""

import os
import stat

from driver.backends.directory import copy

REGULAR = stat.S_IFREG | 0o644


def seen(mode: int = REGULAR, size: int = 0, blocks: int | None = None, links: int = 1) -> os.stat_result:
    taken = -(-size // 512) if blocks is None else blocks
    return os.stat_result((mode, 1, 1, links, 0, 0, size, 0, 0, 0), {"st_blocks": taken})


def test_every_name_counts_for_something() -> None:
    """A million empty files are progress too."""
    for mode in (REGULAR, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR):
        assert copy.weight(seen(mode)) == copy.ENTRY


def test_a_file_counts_for_its_data_in_whole_blocks() -> None:
    """As it will take room in the copy."""
    assert copy.weight(seen(size=5000)) == copy.ENTRY + 8192


def test_holes_count_for_nothing() -> None:
    """A sparse file of a terabyte with one block of data is one block of work."""
    assert copy.weight(seen(size=1 << 40, blocks=8)) == copy.ENTRY + 4096


def test_the_names_of_a_file_share_its_data() -> None:
    """Whichever of them comes first, the sum over the tree is the same."""
    assert copy.weight(seen(size=1 << 20, links=4)) == copy.ENTRY + (1 << 18)

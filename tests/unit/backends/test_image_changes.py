"""Changed blocks, told from extents: pure parts of driver/backends/image/changes.py."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from driver.backends.base import Extent
from driver.backends.image import changes
from driver.backends.image.changes import Place
from driver.host import extents
from driver.host.extents import Flag

BLOCK = 4096


def extent(logical: int, physical: int, length: int, flags: int = 0) -> extents.Extent:
    return extents.Extent(logical * BLOCK, physical * BLOCK, length * BLOCK, flags)


def apart(base: Sequence[extents.Extent], target: Sequence[extents.Extent], size: int = 16) -> list[tuple[int, int]]:
    """The ranges of ``target`` that differ, in blocks."""
    found = changes.apart(changes.places(base, size * BLOCK), changes.places(target, size * BLOCK))
    joined = changes.joined(found, 0, size * BLOCK)
    return [(one.offset // BLOCK, one.length // BLOCK) for one in joined]


def test_holes_and_preallocated_blocks_are_zeros() -> None:
    """A file is told from its first byte to its last; what no extent covers, or only an unwritten one, is zeros."""
    found = list(changes.places([extent(2, 100, 2), extent(6, 200, 1, Flag.UNWRITTEN)], 8 * BLOCK))
    assert found == [
        Place(0, 2 * BLOCK, None),
        Place(2 * BLOCK, 4 * BLOCK, 100 * BLOCK),
        Place(4 * BLOCK, 6 * BLOCK, None),
        Place(6 * BLOCK, 7 * BLOCK, None),
        Place(7 * BLOCK, 8 * BLOCK, None),
    ]


def test_extents_beyond_the_end_are_no_part_of_a_file() -> None:
    """Preallocated beyond the end of the file, or reaching over it."""
    found = list(changes.places([extent(0, 10, 4), extent(4, 50, 4)], 3 * BLOCK))
    assert found == [Place(0, 3 * BLOCK, 10 * BLOCK)]


def test_the_same_block_is_the_same_data() -> None:
    """Also where the same run is told in other pieces."""
    assert apart([extent(0, 100, 8)], [extent(0, 100, 3), extent(3, 103, 5)]) == []


def test_another_block_is_changed() -> None:
    """One overwritten block in the middle of a shared run."""
    after = [extent(0, 100, 3), extent(3, 900, 1), extent(4, 104, 4)]
    assert apart([extent(0, 100, 8)], after) == [(3, 1)]


def test_the_same_place_elsewhere_in_the_file_is_changed() -> None:
    """A block is the same only at the same offset."""
    assert apart([extent(0, 100, 4)], [extent(0, 101, 3), extent(3, 104, 1)]) == [(0, 4)]


def test_data_given_back_and_data_new_are_changed() -> None:
    """Hole against data, in both directions; zeros against zeros are the same."""
    assert apart([extent(0, 100, 2)], [extent(4, 200, 2)]) == [(0, 2), (4, 2)]
    assert apart([extent(0, 100, 2, Flag.UNWRITTEN)], []) == []
    assert apart([extent(0, 100, 2, Flag.UNWRITTEN)], [extent(0, 100, 2)]) == [(0, 2)]


def test_what_lies_nowhere_certain_is_changed() -> None:
    """Inline data, delayed allocation and the like have no place of their own, even where both tell the same number."""
    for flag in (Flag.INLINE, Flag.DELALLOC, Flag.UNKNOWN, Flag.NOT_ALIGNED, Flag.TAIL):
        assert apart([extent(0, 0, 1, flag)], [extent(0, 0, 1, flag)]) == [(0, 1)]


def test_compressed_extents_are_the_same_only_as_a_whole() -> None:
    """Their bytes cannot be counted off: the next extent may lie where an uncompressed one would go on."""
    whole = extent(0, 100, 8, Flag.ENCODED)
    assert apart([whole], [whole]) == []
    assert apart([whole], [extent(0, 900, 1), extent(1, 101, 7)]) == [(0, 8)]
    assert apart([whole], [extent(0, 900, 1), extent(1, 100, 7, Flag.ENCODED)]) == [(0, 8)]


def test_a_longer_target_differs_where_it_has_data() -> None:
    """What lies beyond the end of the base is zeros there."""
    before = changes.places([extent(0, 100, 2)], 2 * BLOCK)
    after = changes.places([extent(0, 100, 2), extent(3, 200, 1)], 5 * BLOCK)
    assert list(changes.apart(before, after)) == [(3 * BLOCK, 4 * BLOCK)]


def test_runs_become_whole_blocks_that_do_not_touch() -> None:
    """Broken blocks count whole; what touches or overlaps is one run; nothing lies outside the range."""
    runs = [(1, 5), (BLOCK, BLOCK + 1), (3 * BLOCK, 4 * BLOCK), (3 * BLOCK + 7, 9 * BLOCK)]
    assert list(changes.joined(runs, 0, 8 * BLOCK)) == [Extent(0, 2 * BLOCK), Extent(3 * BLOCK, 5 * BLOCK)]
    assert list(changes.joined(runs, 4 * BLOCK + 1, 6 * BLOCK)) == [Extent(4 * BLOCK, 2 * BLOCK)]
    assert list(changes.joined([], 0, BLOCK)) == []


# A small device and small files, so that runs meet often.
_layouts = st.lists(
    st.tuples(
        st.integers(0, 3), st.integers(1, 4), st.integers(0, 12), st.sampled_from((0, 0, Flag.UNWRITTEN, Flag.SHARED))
    ),
    max_size=6,
)


def laid_out(plan: list[tuple[int, int, int, int]]) -> list[extents.Extent]:
    """Extents in order: a gap, a length, a place, flags."""
    found, position = [], 0
    for gap, length, physical, flags in plan:
        position += gap
        found.append(extent(position, physical, length, flags))
        position += length
    return found


def content(found: list[extents.Extent], size: int) -> list[int | None]:
    """What each block of a file holds: the number of a device block, or None for zeros."""
    blocks: list[int | None] = [None] * size
    for one in found:
        for index in range(one.length // BLOCK):
            at = one.logical // BLOCK + index
            if at < size and not one.flags & Flag.UNWRITTEN:
                blocks[at] = one.physical // BLOCK + index
    return blocks


@given(_layouts, _layouts, st.integers(0, 24), st.integers(0, 24))
def test_exactly_the_blocks_that_moved_are_told(
    old: list[tuple[int, int, int, int]], new: list[tuple[int, int, int, int]], start: int, size: int
) -> None:
    """Against a model of blocks: in order, without overlap, from any start, whatever the extents look like."""
    before, after = laid_out(old), laid_out(new)
    places = (changes.places(one, size * BLOCK) for one in (before, after))
    found = list(changes.joined(changes.apart(*places), start * BLOCK, size * BLOCK))
    told = {block for one in found for block in range(one.offset // BLOCK, (one.offset + one.length) // BLOCK)}
    was, is_now = content(before, size), content(after, size)
    assert told == {block for block in range(start, size) if was[block] != is_now[block]}
    ends = [end for one in found for end in (one.offset, one.offset + one.length)]
    assert ends == sorted(set(ends))


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9))),
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9))),
)
def test_either_of_two_orders_is_in_order(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    """Merging keeps every run of both."""
    one, other = (sorted((start, start + length) for start, length in runs) for runs in (first, second))
    assert list(changes.either(iter(one), iter(other))) == sorted(one + other)

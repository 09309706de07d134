"""Sizes and CSI's capacity ranges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver.model import errors, sizes
from driver.model.sizes import GIB, MIB, SizeRange


@pytest.mark.parametrize(
    ("text", "size"),
    [("10GiB", 10 * GIB), ("10Gi", 10 * GIB), ("1.5 MiB", 3 * MIB // 2), ("500M", 500_000_000), ("4096", 4096)],
)
def test_sizes_people_write(text: str, size: int) -> None:
    """Rule: binary and decimal units, as Kubernetes and people write them."""
    assert sizes.parse(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1", "10 bananas", "1e9", "0x10", "1..5G"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """Rule: clear errors name what was found and what was wanted."""
    with pytest.raises(errors.InvalidArgument, match="not a size"):
        sizes.parse(text)


@given(st.integers(0, 1 << 61), st.integers(0, 1 << 61), st.integers(4096, 1 << 40), st.integers(4096, 1 << 40))
def test_a_chosen_size_is_whole_blocks_within_the_range(required: int, limit: int, default: int, minimum: int) -> None:
    """Rule: at least required_bytes, at most limit_bytes, never below the minimum, in multiples of 4096; or OUT_OF_RANGE."""
    if limit and limit < required:
        limit = required
    try:
        size = SizeRange(required, limit).choose(default=default, minimum=minimum, what="volume x")
    except errors.OutOfRange:
        assert limit
        assert sizes.round_up(max(required, minimum)) > limit
    else:
        assert size % sizes.BLOCK == 0
        assert size >= max(required, minimum)
        assert not limit or size <= limit


@pytest.mark.parametrize(
    ("given_range", "error"),
    [
        (SizeRange(-1, 0), errors.InvalidArgument),
        (SizeRange(0, -1), errors.InvalidArgument),
        (SizeRange(2, 1), errors.InvalidArgument),
        (SizeRange((1 << 63) - 1, 0), errors.OutOfRange),
    ],
)
def test_impossible_ranges_are_refused(given_range: SizeRange, error: type[Exception]) -> None:
    """Rule: negative or contradictory is INVALID_ARGUMENT, absurd is OUT_OF_RANGE."""
    with pytest.raises(error, match="volume x"):
        given_range.checked("volume x")


def test_sizes_are_shown_as_people_read_them() -> None:
    """Rule: messages hold readable sizes."""
    assert [sizes.show(n) for n in (512, 10 * GIB, 3 * MIB // 2)] == ["512 B", "10 GiB", "1.5 MiB"]

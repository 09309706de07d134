"""Arguments as people write them."""

import click
import pytest

from driver.cli import arguments


@pytest.mark.parametrize(("text", "size"), [("10GiB", 10 << 30), ("4096", 4096), ("1.5Mi", 3 << 19), ("2G", 2 * 10**9)])
def test_sizes_are_read_with_their_units(text: str, size: int) -> None:
    """Binary and decimal ones, as Kubernetes writes them and as people do."""
    assert arguments.SIZE.convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "ten", "10XB", "-1"])
def test_what_is_no_size_is_wrong_use(text: str) -> None:
    """With what a size looks like."""
    with pytest.raises(click.BadParameter, match="is not a size"):
        arguments.SIZE.convert(text, None, None)


def test_pairs_are_split_at_the_first_sign() -> None:
    """A value may hold more of them, or be empty."""
    assert arguments.PAIR.convert("a=b=c", None, None) == ("a", "b=c")
    assert arguments.PAIR.convert("a=", None, None) == ("a", "")


@pytest.mark.parametrize("text", ["a", "=b", ""])
def test_what_is_no_pair_is_wrong_use(text: str) -> None:
    """A key is needed, and a sign."""
    with pytest.raises(click.BadParameter, match="is not KEY=VALUE"):
        arguments.PAIR.convert(text, None, None)

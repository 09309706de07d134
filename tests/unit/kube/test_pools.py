"""Sizes as people read them in Pool objects."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver.kube.pools import quantity

UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60}


def value(text: str) -> Decimal:
    """Bytes, as the API reads it."""
    unit = UNITS.get(text[-2:])
    return Decimal(text[:-2]) * unit if unit else Decimal(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"),
        (-5, "0"),
        (1023, "1023"),
        (1024, "1Ki"),
        (10 << 30, "10Gi"),
        ((10 << 30) - 1, "9.99Gi"),
        (931 << 30, "931Gi"),
        (1023 << 30, "1020Gi"),
        (1500 << 30, "1.46Ti"),
        (1 << 62, "4Ei"),
    ],
)
def test_a_size_has_three_digits(size: int, text: str) -> None:
    """In the largest unit that leaves something before the dot."""
    assert quantity(size) == text


@given(st.integers(0, 1 << 62))
def test_a_size_shown_is_never_more_than_there_is_nor_much_less(size: int) -> None:
    """Rounded down by less than a hundredth."""
    shown = value(quantity(size))
    assert shown <= size
    assert size - shown <= Decimal(size) / 100

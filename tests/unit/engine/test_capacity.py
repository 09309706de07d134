"""Promises never exceed what there is."""

import pytest

from driver.engine.capacity import Capacity
from driver.model import errors
from driver.model.pool import Space
from driver.model.sizes import GIB, MIB


def _capacity(recorded: list[int], *, thin_factor: float = 1.0, floor: int = 0) -> Capacity:
    return Capacity("ssd", thin_factor=thin_factor, floor=floor, recorded=lambda: recorded[0])


def test_what_is_pending_cannot_be_promised_twice() -> None:
    """Rule: a check and its reservation are one."""
    capacity = _capacity([0])
    capacity.observe(Space(10 * GIB, 10 * GIB), 0)
    with capacity.promise(6 * GIB):
        assert capacity.available == 4 * GIB
        with (
            pytest.raises(errors.NoSpace, match="pool ssd has 4 GiB left to promise, 5 GiB"),
            capacity.promise(5 * GIB),
        ):
            pass
    assert capacity.available == 10 * GIB


def test_what_others_store_is_not_promised() -> None:
    """Rule: data that is not ours on a shared filesystem shrinks the pool; our own data does not count twice."""
    capacity = _capacity([2 * GIB])
    capacity.observe(Space(10 * GIB, 6 * GIB), 1 * GIB)
    assert capacity.available == 10 * GIB - 3 * GIB - 2 * GIB


def test_the_floor_stays_free_and_the_factor_multiplies_the_rest() -> None:
    """Rule: thin factor and floor of the configuration."""
    capacity = _capacity([0], thin_factor=2.0, floor=2 * GIB)
    capacity.observe(Space(10 * GIB, 10 * GIB), 0)
    assert capacity.available == 16 * GIB


def test_an_unknown_share_keeps_the_last_known_foreign_bytes() -> None:
    """Rule: between walks, growth of our own data is not taken for somebody else's."""
    capacity = _capacity([4 * GIB])
    capacity.observe(Space(10 * GIB, 8 * GIB), 1 * GIB)
    capacity.observe(Space(10 * GIB, 6 * GIB))
    assert capacity.available == 10 * GIB - 1 * GIB - 4 * GIB


def test_room_is_whole_blocks_and_never_negative() -> None:
    """Rule: GetCapacity says what a CreateVolume could really get."""
    capacity = _capacity([0])
    capacity.observe(Space(10 * MIB + 5, 10 * MIB + 5), 0)
    assert capacity.available == 10 * MIB
    capacity.observe(Space(10 * MIB, 0), 0)
    assert capacity.available == 0


def test_nearly_full_is_said() -> None:
    """Rule: a pool with less than 5 % free is an ailment."""
    capacity = _capacity([0])
    capacity.observe(Space(100 * GIB, 4 * GIB), 0)
    assert capacity.nearly_full
    capacity.observe(Space(100 * GIB, 6 * GIB), 0)
    assert not capacity.nearly_full

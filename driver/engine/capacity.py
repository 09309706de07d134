"""What a pool can still promise: everything recorded, everything being made right now, and what others took.

All arithmetic is on the event loop's thread, so a check and its reservation cannot be separated by another call.
"""

import contextlib
from collections.abc import Callable, Iterator

from ..model import errors, sizes
from ..model.pool import Space


class Capacity:
    """One pool's promises, in bytes. ``recorded`` tells the sum of what the ledger's records reserve."""

    def __init__(self, name: str, *, thin_factor: float, floor: int, recorded: Callable[[], int]) -> None:
        self._name = name
        self._factor = thin_factor
        self._floor = floor
        self._recorded = recorded
        self._pending = 0
        self._space = Space(0, 0)
        self._foreign = 0

    def observe(self, space: Space, allocated: int | None = None) -> None:
        """What the filesystem says now; ``allocated`` is what our volumes and snapshots take up of it, when known."""
        self._space = space
        used = space.total - space.free
        if allocated is None:
            allocated = min(used, self._recorded()) if not self._foreign else used - self._foreign
        self._foreign = max(0, used - allocated)

    @property
    def total(self) -> int:
        return self._space.total

    @property
    def space(self) -> Space:
        return self._space

    @property
    def reserved(self) -> int:
        """Promised: recorded and pending."""
        return self._recorded() + self._pending

    @property
    def available(self) -> int:
        """What may still be promised, in whole blocks; 0 when nothing."""
        limit = int((self._space.total - self._foreign - self._floor) * self._factor)
        return max(0, sizes.round_down(limit - self.reserved))

    @property
    def nearly_full(self) -> bool:
        return self._space.total > 0 and self._space.free < self._space.total * 0.05

    def refusal(self, size: int) -> errors.NoSpace:
        return errors.NoSpace(
            f"pool {self._name} has {sizes.show(self.available)} left to promise, {sizes.show(size)} were asked for"
        )

    @contextlib.contextmanager
    def promise(self, size: int) -> Iterator[None]:
        """``size`` bytes are reserved until the block ends, by when the ledger's record carries them. NoSpace."""
        if size > self.available:
            raise self.refusal(size)
        self._pending += size
        try:
            yield
        finally:
            self._pending -= size

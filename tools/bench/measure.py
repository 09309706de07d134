"""Rounds, medians and percentiles."""

import statistics
import time
from collections.abc import Callable, Sequence


class Series:
    """Seconds per call of one measurement, over all rounds of one side."""

    def __init__(self) -> None:
        self.rounds: list[list[float]] = []

    def add(self, seconds: Sequence[float]) -> None:
        self.rounds.append(list(seconds))

    @property
    def rate(self) -> float:
        """Calls per second: the median over rounds of the rate within one."""
        return statistics.median(len(one) / sum(one) for one in self.rounds)

    def percentile(self, share: float) -> float:
        """Milliseconds, over all calls."""
        ordered = sorted(value for one in self.rounds for value in one)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def timed(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Seconds each call took, one after the other."""
    seconds = []
    for call in calls:
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return seconds

"""How long to wait before the next try of what failed."""

import random


class Backoff:
    """Seconds, doubling with every failure in a row from ``least`` to ``most``; spread, so that many do not come together."""

    def __init__(self, least: float, most: float) -> None:
        self._least = least
        self._most = most
        self.failures = 0

    def succeeded(self) -> None:
        """The next failure is the first one again."""
        self.failures = 0

    def failed(self) -> float:
        """What to wait after one more failure."""
        pause = min(self._most, self._least * 2.0**self.failures) * random.uniform(0.5, 1.0)
        self.failures = min(self.failures + 1, 10)
        return pause

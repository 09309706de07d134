"""One controller's part in the notes: what it claims and joins, and when it may drop, with other controllers about.

A note is dropped by whoever tried last, and only once nobody else's try can still be on its way to the node. A node has
one try of a name at a time, and the next waits for it or is told to come again: so a try is safe from the moment it has
reached the node, and what has to be waited for is the way there. Every try stands in the note under a mark of its own.
"""

import contextlib
import itertools
import secrets
import time
from collections.abc import Callable, Iterator

import msgspec

from ..model import errors
from .placement import Note, Placement

FRESH = 10.0
"""Seconds from the note to the call it is for; later than that the call is not made."""
ON_ITS_WAY = 60.0
"""Seconds after which another controller's call has reached its node or never will: FRESH, and a connection's own end
(40 s, driver/rpc/client.py). Counted by our own clock from when we first read of the try."""
KEPT = 10_000
"""Tries remembered of each kind."""


class Hold(msgspec.Struct, frozen=True):
    """A note that a try of ours stands in. ``began``: the clock before it was written."""

    key: str
    note: Note
    began: float
    attempt: str
    is_first: bool
    """Nobody tried before: a refusal now means that there is nothing of that name."""


class Claims:
    def __init__(self, placement: Placement, clock: Callable[[], float] = time.monotonic) -> None:
        self._placement = placement
        self._clock = clock
        self._me = secrets.token_hex(4)
        self._count = itertools.count(1)
        self._seen: dict[str, float] = {}
        """Other controllers' tries, and when we first read of them."""
        self._unanswered: dict[str, float] = {}
        """Our own tries without an answer, and when they were given up."""

    async def noted(self, key: str) -> Note | None:
        """The note there is, asked for in earnest when nothing is known of one."""
        return await self._placement.of(key) or await self._placement.now(key)

    async def claim(self, key: str, node: str) -> Hold | None:
        """The name is ours to try on ``node``; None when somebody was first."""
        began, attempt = self._clock(), self._attempt()
        note = await self._placement.claim(key, node, attempt)
        # By the mark: the answer to our own request may have been lost, and found again.
        return Hold(key, note, began, attempt, is_first=True) if note.tries == (attempt,) else None

    async def join(self, key: str, note: Note) -> Hold | None:
        """A try of ours stands in ``note``; None when it is not as it was any more."""
        began, attempt = self._clock(), self._attempt()
        joined = await self._placement.join(key, note, (*self.others(note), attempt))
        if joined is None:
            there = await self._placement.now(key)
            joined = there if there and attempt in there.tries else None
        return Hold(key, joined, began, attempt, is_first=False) if joined else None

    @contextlib.contextmanager
    def calling(self, hold: Hold, what: str) -> Iterator[None]:
        """The call is made inside. Busy when it would come so late that others may not expect it any more."""
        if self._clock() - hold.began > FRESH:
            raise errors.Busy(f"{what}: noting its node took more than {FRESH:g} s; try again")
        try:
            yield
        except BaseException as error:
            if not isinstance(error, errors.DomainError) or isinstance(error, errors.Unavailable):
                # Without an answer nobody knows: it may reach the node yet.
                _remember(self._unanswered, hold.attempt, self._clock())
            raise

    async def drop(self, key: str, note: Note) -> bool:
        """The name is free; False when the note is not as it was any more. Busy while somebody else's try is on its way."""
        if self.others(note):
            raise errors.Busy(
                f"{key} was tried on node {note.node} a moment ago, and that call may reach it still; "
                f"try again in {self.wait(note):.0f} s"
            )
        return await self._placement.drop(key, note)

    def others(self, note: Note) -> tuple[str, ...]:
        """The tries that may still be on their way: of other controllers, and of ours those that got no answer."""
        return tuple(one for one in note.tries if self._left(one) > 0)

    def wait(self, note: Note) -> float:
        """Seconds until there are no ``others``."""
        return max((self._left(one) for one in note.tries), default=0.0)

    def _left(self, attempt: str) -> float:
        """Seconds that ``attempt`` may still be on its way; 0 once it is not."""
        now = self._clock()
        if attempt.startswith(f"{self._me}."):
            return max(self._unanswered[attempt] + ON_ITS_WAY - now, 0.0) if attempt in self._unanswered else 0.0
        if attempt not in self._seen:
            _remember(self._seen, attempt, now)
        return max(self._seen[attempt] + ON_ITS_WAY - now, 0.0)

    def _attempt(self) -> str:
        return f"{self._me}.{next(self._count)}"


def _remember(times: dict[str, float], attempt: str, now: float) -> None:
    """Bounded: what falls out is read of again as new, so that the wait begins anew; our own are over long before."""
    times[attempt] = now
    while len(times) > KEPT:
        del times[next(iter(times))]

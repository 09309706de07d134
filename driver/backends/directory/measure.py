"""How much a directory holds, found out by walking it a little at a time.

Nobody who asks waits longer than a slice: a walk that is not finished by then goes on at the next question, and until it
is, the last complete answer stands. Before the first one there is only what was counted so far.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

from ...host import walk
from ...model.errors import Busy, InUse

SLICE = 0.05
"""Seconds of walking one question may cost."""
FRESH = 60.0
"""Seconds until a complete answer is found out anew."""
OPEN = 64
"""Walks that may be under way at once; each holds one descriptor."""
KNOWN = 10_000
"""Directories whose answer is remembered, at some hundred bytes each."""


def blocks(seen_blocks: int, links: int) -> int:
    """Bytes a file's blocks come to for each of its names."""
    return seen_blocks * 512 // max(1, links)


class _Walk:
    """One directory being counted."""

    def __init__(self, path: str) -> None:
        self._cursor = walk.Cursor(path)
        self._visits: Iterator[walk.Visit] = walk.walk(self._cursor)
        self.counted = 0

    def go_on(self, until: Callable[[], bool]) -> bool:
        """True at the end; False when ``until`` said so first."""
        for visit in self._visits:
            if visit.what != "enter":
                links = visit.seen.st_nlink if visit.what == "leaf" else 1
                self.counted += blocks(visit.seen.st_blocks, links)
            if until():
                return False
        return True

    def close(self) -> None:
        self._cursor.close()


class Measure:
    """The sizes of many directories, by path. May be asked from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._walks: OrderedDict[str, _Walk] = OrderedDict()
        self._known: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def of(self, path: str) -> int:
        """Bytes of blocks below ``path``, as of at most a minute ago once a walk has been completed; a lower bound before.

        Raises HostFailed.
        """
        with self._lock:
            found = self._known.get(path)
            if found is not None and self._clock() - found[0] < FRESH:
                return found[1]
            walking = self._walks.pop(path, None)
        # Out of the table while it walks: another thread that asks meanwhile begins one of its own.
        walking = walking or _Walk(path)
        deadline = self._clock() + SLICE
        try:
            complete = walking.go_on(lambda: self._clock() >= deadline)
        except (Busy, InUse, OSError):
            # The tree changed under the walk, or has a part that is not ours to enter. The next question begins again.
            walking.close()
            return max(walking.counted, found[1] if found else 0)
        with self._lock:
            if complete:
                walking.close()
                self._known[path] = (self._clock(), walking.counted)
                self._known.move_to_end(path)
                while len(self._known) > KNOWN:
                    self._known.popitem(last=False)
                return walking.counted
            self._keep(path, walking)
            return found[1] if found else walking.counted

    def forget(self, path: str) -> None:
        """Nothing is remembered of ``path``, and nothing of it is held open."""
        with self._lock:
            self._known.pop(path, None)
            if walking := self._walks.pop(path, None):
                walking.close()

    def close(self) -> None:
        """Nothing is held open."""
        with self._lock:
            while self._walks:
                self._walks.popitem()[1].close()

    def _keep(self, path: str, walking: _Walk) -> None:
        if other := self._walks.pop(path, None):
            other.close()
        self._walks[path] = walking
        while len(self._walks) > OPEN:
            self._walks.popitem(last=False)[1].close()

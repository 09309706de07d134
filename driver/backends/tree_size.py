"""How much a directory tree takes up, for pools whose filesystem keeps no count."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

from ..host import walk
from ..host.failure import during
from ..model.errors import Busy, InUse

SLICE = 0.2
"""Seconds of walking one question may cost."""
FRESH = 60.0
"""Seconds until a complete answer is found out anew."""
OPEN = 64
"""Walks that may be under way at once; each holds one descriptor."""
KNOWN = 10_000
"""Directories whose answer is remembered, at some hundred bytes each."""


def taken(path: str, enough: int = 0) -> int:
    """Bytes of blocks of everything below ``path``; with ``enough``, of the first so many entries. 0 when it is gone.

    Raises InUse when something is mounted inside, Busy when directories are moved meanwhile, HostFailed.
    """
    if walk.look(path) is None:
        return 0
    counted = 0
    with during(f"measuring {path}"), walk.Cursor(path) as cursor:
        for number, visit in enumerate(walk.walk(cursor), 1):
            counted += _bytes(visit)
            if number == enough:
                break
    return counted


def _bytes(visit: walk.Visit) -> int:
    """What an entry comes to; a file's blocks are shared evenly by its names, a directory counts when it is left."""
    if visit.what == "enter":
        return 0
    return visit.seen.st_blocks * 512 // (max(1, visit.seen.st_nlink) if visit.what == "leaf" else 1)


class _Walk:
    """One directory being counted."""

    def __init__(self, path: str) -> None:
        self._cursor = walk.Cursor(path)
        self._visits: Iterator[walk.Visit] = walk.walk(self._cursor)
        self.counted = 0

    def go_on(self, until: Callable[[], bool]) -> bool:
        """True at the end; False when ``until`` said so first."""
        for visit in self._visits:
            self.counted += _bytes(visit)
            if until():
                return False
        return True

    def close(self) -> None:
        self._cursor.close()


class Sizes:
    """The sizes of many directories, by path, found out by walking a little at a time. May be asked from several threads.

    Nobody who asks waits longer than a slice: a walk that is not finished by then goes on at the next question, and
    until it is, the last complete answer stands. Before the first one there is only what was counted so far.
    """

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

    def is_known(self, path: str) -> bool:
        """Whether a walk of ``path`` was completed, however long ago."""
        with self._lock:
            return path in self._known

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

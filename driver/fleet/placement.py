"""Which node a name went to: noted before the first try, so that every retry goes there, whichever controller it comes to.

Keyed by an id's part after the pool, which is derived from the name alone (driver/model/ids.py): a retried create finds
it by name, a delete by id, and lost notes are made anew from the ids that the nodes list.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec


class Note(msgspec.Struct, frozen=True):
    """A name went to ``node``. ``version`` is another after every change, and never one it had before.

    ``tries``: who has been trying to make it there since, as driver/fleet/claims.py writes and reads it.
    """

    node: str
    version: str
    tries: tuple[str, ...] = ()


class Placement(Protocol):
    """The notes, durable when a call returns. Raises domain errors only; Unavailable while they cannot be reached.

    Of callers that change one note at a time, exactly one succeeds: that alone keeps several controllers apart.
    """

    async def open(self) -> None:
        """Ready for the calls below."""

    async def close(self) -> None: ...

    async def of(self, key: str) -> Note | None:
        """The note, perhaps as it was a moment ago: a hint, which costs nothing."""

    async def now(self, key: str) -> Note | None:
        """The note as it is."""

    async def claim(self, key: str, node: str, attempt: str) -> Note:
        """The new note, with ``attempt`` alone among its tries; or the one that was first."""

    async def join(self, key: str, note: Note, tries: Sequence[str]) -> Note | None:
        """The note with these tries, its version moved on; None when it is not at ``note.version`` any more."""

    async def drop(self, key: str, note: Note) -> bool:
        """There is no note any more; False when it is at another version than ``note.version``, and stays."""

    async def learn(self, node: str, keys: Iterable[str]) -> None:
        """``node`` has objects of these keys. A note that is there already stays: it may be newer."""

    async def heard(self, node: str) -> None:
        """Every name that ``node`` has is noted."""

    async def unheard(self, nodes: Iterable[str]) -> list[str]:
        """Those of ``nodes`` whose names these notes may lack: only as long as the notes are new and not complete.

        Once every node was heard, nothing can be missing again: what is made from then on is noted first.
        """

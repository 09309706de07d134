"""What every place for notes has to hold (driver/fleet/placement.py), and one in memory for fleets that share it."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

from driver.fleet.placement import Note, Placement
from driver.model import errors

Pause = Callable[[], Awaitable[None]]


async def _no_pause() -> None:
    pass


class Notes:
    """The store that several controllers share."""

    def __init__(self) -> None:
        self.notes: dict[str, Note] = {}
        self.learned: set[str] = set()
        self.settled = False
        self.is_away = False
        self._versions = itertools.count(1)

    def change(self, key: str, node: str, tries: Sequence[str]) -> Note:
        note = self.notes[key] = Note(node, str(next(self._versions)), tuple(tries))
        return note


class SharedPlacement:
    """One controller's view of ``Notes``: before and after each request there is a ``pause``, where another may come in."""

    def __init__(self, notes: Notes, pause: Pause = _no_pause) -> None:
        self._notes = notes
        self._pause = pause
        self._hints: dict[str, Note] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    @asynccontextmanager
    async def _request(self) -> AsyncIterator[None]:
        await self._pause()
        if self._notes.is_away:
            raise errors.Unavailable("the notes cannot be reached")
        yield
        await self._pause()

    async def of(self, key: str) -> Note | None:
        """As this controller last saw it: as old as a watch may be."""
        return self._hints.get(key)

    async def now(self, key: str) -> Note | None:
        async with self._request():
            note = self._notes.notes.get(key)
        return self._see(key, note)

    async def claim(self, key: str, node: str, attempt: str) -> Note:
        async with self._request():
            note = self._notes.notes.get(key) or self._notes.change(key, node, (attempt,))
        self._see(key, note)
        return note

    async def join(self, key: str, note: Note, tries: Sequence[str]) -> Note | None:
        async with self._request():
            there = self._notes.notes.get(key)
            joined = self._notes.change(key, note.node, tries) if there and there.version == note.version else None
        return self._see(key, joined) if joined else None

    async def drop(self, key: str, note: Note) -> bool:
        async with self._request():
            there = self._notes.notes.get(key)
            is_dropped = there is None or there.version == note.version
            if is_dropped:
                self._notes.notes.pop(key, None)
        if is_dropped:
            self._see(key, None)
        return is_dropped

    async def learn(self, node: str, keys: Iterable[str]) -> None:
        for key in keys:
            if key not in self._notes.notes:
                self._notes.change(key, node, ())

    async def heard(self, node: str) -> None:
        self._notes.learned.add(node)

    async def unheard(self, nodes: Iterable[str]) -> list[str]:
        missing = sorted(set(nodes) - self._notes.learned)
        self._notes.settled = self._notes.settled or not missing
        return [] if self._notes.settled else missing

    def _see(self, key: str, note: Note | None) -> Note | None:
        if note is None:
            self._hints.pop(key, None)
        else:
            self._hints[key] = note
        return note


Reopen = Callable[[], Awaitable[Placement]]
"""Another view of the same notes: another controller's, or the same one's after a restart."""


class PlacementContract:
    """Subclass with the fixtures ``placement`` and ``reopen``. Keys are used by one test each."""

    async def test_the_first_claim_stands(self, placement: Placement, reopen: Reopen) -> None:
        """Design: claim: create, or the note that was first. Which it is shows in its tries."""
        assert await placement.now("v-one") is None
        first = await placement.claim("v-one", "node-a", "x.1")
        second = await placement.claim("v-one", "node-b", "y.1")
        assert (first.node, first.tries) == ("node-a", ("x.1",))
        assert second == first == await placement.now("v-one") == await placement.of("v-one")
        other = await reopen()
        there = await other.now("v-one")
        assert there is not None
        assert there.node == "node-a"

    async def test_a_join_moves_the_version_on(self, placement: Placement) -> None:
        """Design: a controller whose try was refused cannot drop the note under another's."""
        first = await placement.claim("v-join", "node-a", "x.1")
        joined = await placement.join("v-join", first, ("x.1", "y.1"))
        assert joined is not None
        assert (joined.node, joined.tries) == ("node-a", ("x.1", "y.1"))
        assert joined.version != first.version
        assert not await placement.drop("v-join", first)
        assert await placement.join("v-join", first, ("z.1",)) is None
        assert await placement.now("v-join") == joined
        assert await placement.drop("v-join", joined)
        assert await placement.now("v-join") is None

    async def test_a_version_never_comes_again(self, placement: Placement) -> None:
        """A name that was dropped and claimed anew is not dropped by who knew the first note only."""
        first = await placement.claim("v-again", "node-a", "x.1")
        assert await placement.drop("v-again", first)
        assert await placement.join("v-again", first, ("x.2",)) is None
        second = await placement.claim("v-again", "node-a", "x.1")
        assert not await placement.drop("v-again", first)
        assert await placement.now("v-again") == second

    async def test_what_is_gone_is_dropped(self, placement: Placement) -> None:
        """A repeated drop finds what it wanted."""
        note = await placement.claim("v-gone", "node-a", "x.1")
        assert await placement.drop("v-gone", note)
        assert await placement.drop("v-gone", note)
        assert await placement.of("v-gone") is None

    async def test_what_is_learned_does_not_replace_a_note(self, placement: Placement) -> None:
        """A list read a moment ago may be older than a create noted since."""
        note = await placement.claim("v-noted", "node-b", "x.1")
        await placement.learn("node-a", ["v-noted", "v-learned"])
        assert await placement.now("v-noted") == note
        learned = await placement.now("v-learned")
        assert learned is not None
        assert (learned.node, learned.tries) == ("node-a", ())
        joined = await placement.join("v-learned", learned, ("x.1",))
        assert joined is not None
        assert joined.version != learned.version

    async def test_new_notes_lack_the_names_of_nodes_never_heard(self, placement: Placement, reopen: Reopen) -> None:
        """A name could be on a silent node, until every one was heard once; from then on all is noted before it is made."""
        assert await placement.unheard(["a", "b"]) == ["a", "b"]
        await placement.heard("a")
        assert await placement.unheard(["a", "b"]) == ["b"]
        other = await reopen()
        assert await other.unheard(["a", "b"]) == ["b"]
        await other.heard("b")
        assert await other.unheard(["a", "b"]) == []
        assert await (await reopen()).unheard(["a", "b", "c"]) == []

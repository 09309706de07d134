"""Giving up a pool, and taking that back.

| step of giving up | a crash after it leaves |
|---|---|
| the node was asked, and does not answer | nothing |
| the decision is noted, durably | a pool given up: deletes succeed, lists do not have it; notes too many |
| its names' notes are dropped | a memory too large |
| the memory of it is dropped; so is its node, if it had nothing else and no person wrote it down | nothing |

Repeating it does what is left. A note that stays costs its few bytes; a create of its name finds its node over and drops it.
"""

import time
from typing import Generic

from ..model import errors
from .forgotten import GivenUp, given_up, sentence
from .learning import Learning
from .member import Member
from .memory import Memory
from .nodes import N
from .placement import Placement
from .releases import Releases
from .roster import Roster


class Forgetting(Generic[N]):
    def __init__(
        self, roster: Roster[N], memory: Memory, placement: Placement, releases: Releases, learning: Learning
    ) -> None:
        self._roster = roster
        self._memory = memory
        self._placement = placement
        self._releases = releases
        self._learning = learning

    async def forget(self, pool_id: str) -> GivenUp:
        """The pool will not come back: deletes of what lay in it succeed, lists do not have it, its names are free.

        FailedPrecondition while its node answers, NotFound for a pool that no node is known to have. May be repeated.
        """
        home = self._roster.at_hand(pool_id)
        if home is None:
            await self._roster.look_at_all()
            home = self._roster.at_hand(pool_id)
        if home is not None:
            found = await self._check(home, pool_id)
            await self._roster.forgotten.forget(pool_id, found)
        elif known := self._roster.forgotten.all().get(pool_id):
            found = known
        else:
            raise errors.NotFound(f"pool {pool_id} is on no node that is known here")
        for key in await self._memory.keys_in(pool_id):
            note = await self._placement.now(key)
            if note is not None and note.node == found.node:
                await self._releases.release(key, note)
        await self._memory.forget_pool(pool_id)
        if home is not None and self._roster.is_over(home) and not home.is_configured:
            await self.give_up(home.name)
        return found

    async def give_up(self, name: str) -> None:
        """The node ``name`` will not come back: nothing waits for it, and its volumes count as gone.

        FailedPrecondition while it answers.
        """
        await self._roster.give_up(name)
        await self._memory.give_up(name)

    async def _check(self, home: Member[N], pool_id: str) -> GivenUp:
        if home.is_seated:
            await self._roster.look(home)
        if home.alive:
            raise errors.FailedPrecondition(
                f"pool {pool_id} is on node {home.name}, which answers; only a pool whose node is gone for good is "
                "forgotten. Delete what is in it, or take it out of that node's configuration"
            )
        views = home.description.pools if home.description else ()
        name = next((view.name for view in views if view.id == pool_id), pool_id)
        return GivenUp(name, home.name, int(time.time()))

    async def remember(self, pool_id: str) -> None:
        """The pool is served again wherever it is. NotFound when it was not given up."""
        if pool_id not in self._roster.forgotten.all():
            raise errors.NotFound(f"pool {pool_id} was not forgotten")
        await self._roster.forgotten.remember(pool_id)
        await self._roster.look_again()
        if (home := self._roster.at_hand(pool_id)) and home.alive:
            await self._learning.begin(home)

    def gives_up(self, object_id: str) -> bool:
        """Whether it lay in a pool that was given up: it counts as deleted."""
        return given_up(self._roster.forgotten, object_id) is not None

    def check_served(self, object_id: str) -> None:
        """FailedPrecondition, with the way out, for what a node found in a pool that was given up."""
        if found := given_up(self._roster.forgotten, object_id):
            pool_id = object_id.partition(".")[0]
            raise errors.FailedPrecondition(f"{object_id} is there already, but {sentence(pool_id, found)}")

"""One node of the fleet, as it was found at the last look."""

import asyncio
from typing import Generic

from ..model import errors
from ..model.health import Ailment, Status
from .membership import Seat
from .nodes import Description, N


class Member(Generic[N]):
    def __init__(self, name: str, seat: Seat[N], known: Description | None) -> None:
        self.name = name
        self.description = known
        self.problem = f"node {name} was not asked yet"
        """Why it does not answer, naming it; empty while it does."""
        self.lost_before = False
        """Whether the last look found it lost."""
        self.looking: asyncio.Task[None] | None = None
        self._seat = seat
        self.sit(seat)

    @property
    def alive(self) -> bool:
        return not self.problem

    @property
    def is_seated(self) -> bool:
        """Whether there is something to ask."""
        return self._seat.node is not None

    @property
    def is_expected(self) -> bool:
        """Whether it may have volumes: it said so itself once, or counts as having some before it ever answered."""
        return self._seat.expected or self.description is not None

    @property
    def is_configured(self) -> bool:
        """Whether it is there because a person wrote it down, and goes only when they take it out."""
        return self._seat.expected

    @property
    def node(self) -> N:
        """What to ask. Unavailable, naming the node, when there is nothing now."""
        if self._seat.node is None:
            raise self.lost()
        return self._seat.node

    @property
    def pool_ids(self) -> set[str]:
        return {view.id for view in self.description.pools} if self.description else set()

    def lost(self) -> errors.Unavailable:
        """What to answer instead of it."""
        return errors.Unavailable(self.problem or f"node {self.name} does not answer")

    def away(self) -> Ailment:
        """What is wrong with everything it has, while it does not answer."""
        return Ailment(Status.INACCESSIBLE, "NodeLost", self.lost().message)

    def sit(self, seat: Seat[N]) -> N | None:
        """It is reached as ``seat`` says from now on; the node it was reached by before, if that is another."""
        before, self._seat = self._seat.node, seat
        if seat.node is None:
            self.problem, self.lost_before = seat.reason or f"node {self.name} is away", True
        elif seat.node is not before:
            self.problem, self.lost_before = f"node {self.name} was not asked yet at its new place", False
        return before if before is not seat.node else None

    def leave(self) -> N | None:
        """It is no member any more."""
        return self.sit(Seat(None, f"node {self.name} is not in the fleet any more"))

"""Which node a new volume goes to: of those in the most preferred place, the one with the most room.

Only the first preference counts. In Kubernetes it is the node that the scheduler chose for the pod, and the others are all
the rest of the cluster: a volume made there could keep the pod from ever running, when it may or can run on that node only
(another volume of it may be there). A refusal makes the scheduler choose again.
"""

import asyncio
from typing import Generic

import msgspec

from ..model import errors
from ..model.capacity import CapacityQuery, Room
from ..model.volume import VolumeRequest
from .member import Member
from .merge import reaches
from .nodes import N
from .roster import Roster


class Offer(msgspec.Struct, frozen=True):
    """What one node has to offer: its room, or why it would refuse."""

    name: str
    room: Room | None
    refusal: str = ""


def order(offers: list[Offer], wanted: int) -> list[str]:
    """The nodes to be tried for ``wanted`` bytes, best first: all that have room, or else the one that comes nearest.

    The nearest is asked although it has no room: its refusal says per pool why, and a purge may just have made some.
    """
    ranked = sorted(offers, key=lambda one: (-(one.room.maximum if one.room else -1), one.name))
    fitting = [one.name for one in ranked if one.room and one.room.maximum >= wanted and one.room.maximum > 0]
    if fitting:
        return fitting
    nearest = max(ranked, key=lambda one: one.room.maximum if one.room else -1, default=None)
    return [nearest.name] if nearest else []


class Choice(Generic[N]):
    def __init__(self, roster: Roster[N]) -> None:
        self._roster = roster

    async def for_volume(self, request: VolumeRequest) -> list[Member[N]]:
        """The members to try, best first; at least one.

        Unplaceable when no node is in the wanted topology, or none of those answers: somewhere else it can be made now.
        Unavailable, naming them, when no node at all answers that could be meant.
        """
        meant = [one for one in self._roster.all() if _is_meant(one, request)]
        living = [one for one in meant if one.alive]
        if not living:
            raise self._refusal(request, meant)
        withheld = {one.name: reason for one in living if (reason := self._roster.withheld(one))}
        living = [one for one in living if one.name not in withheld]
        if not living:
            raise errors.Unplaceable(f"volume {request.name} cannot be placed: {'; '.join(withheld.values())}")
        query = CapacityQuery(request.capabilities, request.parameters)
        offers = await asyncio.gather(*(self._offer(one, query) for one in living))
        named = {one.name: one for one in living}
        return [named[name] for name in order(list(offers), request.size.required)]

    async def _offer(self, member: Member[N], query: CapacityQuery) -> Offer:
        try:
            return Offer(member.name, await member.node.room(query))
        except errors.DomainError as error:
            return Offer(member.name, None, error.message)

    def _refusal(self, request: VolumeRequest, meant: list[Member[N]]) -> errors.DomainError:
        what = f"volume {request.name} cannot be placed"
        if _wanted(request) and meant:
            problems = "; ".join(one.problem for one in meant)
            return errors.Unplaceable(f"{what}: the nodes of the wanted topology do not answer: {problems}")
        silent = meant or [one for one in self._roster.all() if one.description is None]
        if silent:
            problems = "; ".join(one.problem for one in silent)
            return errors.Unavailable(f"{what}: the nodes that could take it do not answer: {problems}")
        if not self._roster.all():
            return errors.Unavailable(f"{what}: no node is configured")
        names = ", ".join(one.name for one in self._roster.all())
        return errors.Unplaceable(f"{what}: no node has a pool in the wanted topology; nodes: {names}")


def _is_meant(member: Member[N], request: VolumeRequest) -> bool:
    wanted = _wanted(request)
    return not wanted or any(reaches(member, one) for one in wanted)


def _wanted(request: VolumeRequest) -> tuple[dict[str, str], ...]:
    """Any of these; anywhere if there are none."""
    return request.preferred[:1] or request.requisite

"""What the one leading controller does: it looks at the fleet in rounds, and keeps objects and events in line with it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Generic

import structlog

from ..fleet import views
from ..fleet.fleet import Fleet
from ..fleet.member import Member
from ..fleet.nodes import N
from ..model import errors
from ..model.health import Ailment, Status
from .api import Api
from .events import Events, Subject
from .pools import HEALTH, Pools, Shown
from .volumes import PATH, Volume, volume
from .watched import Watched

LOOK = 5.0
"""Seconds between two rounds."""
HEALTH_EVERY = 60.0
"""Seconds between two readings of all volumes' health, which makes the nodes look at each."""
SETTLE = 30.0
"""Seconds a node may be silent before that is shown: an upgrade of its pod is over by then."""
PAGE = 1000

log = structlog.get_logger()

Ailing = dict[str, list[Ailment]]


class Leader(Generic[N]):
    """``run`` while leading. ``ailments`` reads an entry of the fleet's list ``health``."""

    def __init__(
        self,
        api: Api,
        driver_name: str,
        fleet: Fleet[N],
        ailments: Callable[[bytes], list[Ailment]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fleet = fleet
        self._ailments = ailments
        self._clock = clock
        self._events = Events(api, driver_name, clock)
        self._pools = Pools(api, driver_name, self._events, clock)
        self._volumes: Watched[Volume | None] = Watched(api, PATH, lambda found: volume(found, driver_name))
        self._silent: dict[str, float] = {}
        """Nodes that do not answer, and since when."""
        self._told_lost: set[str] = set()
        self._told_ailing: dict[str, frozenset[tuple[Status, str]]] = {}
        self._ailing: Ailing = {}
        self._health_read = float("-inf")

    async def run(self) -> None:
        """Never returns; nothing is written any more once it was cancelled."""
        async with asyncio.TaskGroup() as group:
            for one in (self._events, self._pools.watched, self._volumes):
                group.create_task(one.run())
            await self._pools.watched.synced.wait()
            await self._volumes.synced.wait()
            said = ""
            while True:
                try:
                    await self.round()
                    said = ""
                except errors.DomainError as error:
                    if error.message != said:
                        log.warning("pool objects not written", message=error.message)
                    said = error.message
                await asyncio.sleep(LOOK)

    async def round(self) -> None:
        """What is known of the fleet now is in the Pool objects, or will be in the next rounds; what is new was told."""
        self._watch_nodes()
        await self._read_health()
        self._tell_claims()
        roster = self._fleet.roster
        ailing_in: dict[str, list[tuple[str, list[Ailment]]]] = {}
        for volume_id, found in self._ailing.items():
            ailing_in.setdefault(volume_id.partition(".")[0], []).append((volume_id, found))
        wanted: dict[str, Shown] = {}
        for member, view in views.pools(roster):
            if not view.id or self._is_settling(member):
                continue
            # Of two nodes that say they have it, the one that calls go to.
            if view.id not in wanted or roster.at_hand(view.id) is member:
                ailing = [] if member.problem else ailing_in.get(view.id, [])
                wanted[view.id] = Shown(member.name, view, ailing)
        await self._pools.bring(wanted, self._keeps)

    def _keeps(self, pool_id: str, node: str) -> bool:
        """An object that is not wanted stays while nobody can say that its pool is elsewhere or given up."""
        member = self._fleet.roster.named(node)
        if pool_id in self._fleet.roster.forgotten.all() or member is None:
            return False
        return member.description is None or (self._is_settling(member) and pool_id in member.pool_ids)

    # -- nodes -------------------------------------------------------------------------------------------------------

    def _watch_nodes(self) -> None:
        roster = self._fleet.roster
        members = {member.name: member for member in roster.all() if member.description and not roster.is_over(member)}
        for name in self._silent.keys() - members.keys():
            self._silent.pop(name)
            self._told_lost.discard(name)
        for name, member in members.items():
            subject = Subject("v1", "Node", name, name)
            if member.alive:
                self._silent.pop(name, None)
                if name in self._told_lost:
                    self._told_lost.discard(name)
                    self._events.tell(subject, "Normal", "HoldallNodeBack", f"Holdall answers on node {name} again")
                continue
            self._silent.setdefault(name, self._clock())
            if name not in self._told_lost and not self._is_settling(member):
                self._told_lost.add(name)
                self._events.tell(
                    subject,
                    "Warning",
                    "HoldallNodeLost",
                    f"{member.problem}. Volumes of its {len(member.pool_ids)} pools cannot be made, changed or deleted till "
                    "it answers; look at its Holdall pod, or give its pools up with `holdall pool forget` if it is gone",
                )

    def _is_settling(self, member: Member[N]) -> bool:
        """Whether it has been silent for so short that it may be just being upgraded."""
        return not member.alive and self._clock() - self._silent.get(member.name, self._clock()) < SETTLE

    # -- volumes -----------------------------------------------------------------------------------------------------

    async def _read_health(self) -> None:
        """All that the nodes say is unhealthy, in order of id; as it was, when they cannot say."""
        if self._clock() - self._health_read < HEALTH_EVERY:
            return
        self._health_read = self._clock()
        found: Ailing = {}
        token = ""
        try:
            while True:
                page = await self._fleet.merge.page("health", token, PAGE)
                found |= {one.id: said for one in page.entries if (said := self._ailments(one.entry))}
                token = page.next_token
                if not token:
                    break
        except errors.DomainError as error:
            log.info("health not read", message=error.message)
            return
        self._ailing = found

    def _tell_claims(self) -> None:
        """A volume that became unhealthy, or healthy again, is told to its claim."""
        lost = {
            pool_id: member
            for member in self._fleet.roster.all()
            if not member.alive and not self._is_settling(member)
            for pool_id in member.pool_ids
            if self._fleet.roster.at_hand(pool_id) is member
        }
        there: set[str] = set()
        for one in self._volumes.objects.values():
            if one is None or one.claim is None or not one.pool_id:
                continue
            there.add(one.volume_id)
            if one.pool_id in lost:
                self._tell(one, one.claim, [lost[one.pool_id].away()])
            elif (home := self._fleet.roster.at_hand(one.pool_id)) and home.alive:
                self._tell(one, one.claim, self._ailing.get(one.volume_id, []))
        for gone in self._told_ailing.keys() - there:
            del self._told_ailing[gone]

    def _tell(self, one: Volume, claim: Subject, found: Sequence[Ailment]) -> None:
        now, before = frozenset((each.status, each.reason) for each in found), self._told_ailing.get(one.volume_id)
        if now == (before or frozenset()):
            return
        if not found:
            del self._told_ailing[one.volume_id]
            self._events.tell(claim, "Normal", "VolumeHealthy", f"volume {one.volume_id} is healthy again")
            return
        self._told_ailing[one.volume_id] = now
        worst = HEALTH[max(each.status for each in found)]
        said = "; ".join(each.message for each in found)
        self._events.tell(claim, "Warning", f"Volume{worst}", f"volume {one.volume_id}: {said}. {_cure(one, found)}")


def _cure(one: Volume, found: Sequence[Ailment]) -> str:
    if any(each.reason == "NodeLost" for each in found):
        return (
            "Bring the node back; or put its disk into another node and run `holdall pool follow "
            f"{one.pool_id}`; snapshots and data are as they were"
        )
    return f"`holdall volume show {one.volume_id}` and `holdall doctor` on its node say more"

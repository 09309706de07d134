"""The pools of the whole fleet, as shown: what their nodes said last, and what the fleet knows of it besides."""

import msgspec

from ..model.health import Ailment, Status
from ..model.pool import PoolView
from .forgotten import sentence
from .member import Member
from .nodes import N
from .roster import Roster


def pools(roster: Roster[N]) -> list[tuple[Member[N], PoolView]]:
    """By node and name. A lost node's pools are as it said last, and unreachable; none is there twice because it moved."""
    found = [(member, view) for member in roster.all() for view in _of(member, roster)]
    return sorted(found, key=lambda one: (one[0].name, one[1].name))


def _of(member: Member[N], roster: Roster[N]) -> list[PoolView]:
    views = list(member.description.pools) if member.description else []
    forgotten = roster.forgotten.all()
    if member.alive:
        return [
            _away(view, Ailment(Status.INACCESSIBLE, "Forgotten", sentence(view.id, forgotten[view.id])))
            if view.id in forgotten
            else view
            for view in views
        ]
    return [
        _away(view, member.away())
        for view in views
        if view.id not in forgotten and (not view.id or roster.at_hand(view.id) is member)
    ]


def _away(view: PoolView, ailment: Ailment) -> PoolView:
    return msgspec.structs.replace(view, reachable=False, available=0, ailments=(ailment,))

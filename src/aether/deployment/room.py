"""How many instances of a slice the members can hold.

Knows: the members as the decision about places knows them: duties, labels, pins, kinds, capacities; `max_per_node`.
Never: places anything (placement); what else runs there.
Holds: who takes nothing in that decision counts for nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from aether.deployment.fleet import Fleet, Standing
from aether.deployment.orders import View
from aether.deployment.shortage import why_short
from aether.model.artifact import Artifact
from aether.model.duty import Duty
from aether.model.ids import NodeId
from aether.model.rows import DesiredRow, MemberRow


def fleet_of(members: Iterable[MemberRow], duties: Mapping[NodeId, Duty], learners: frozenset[NodeId]) -> Fleet:
    """Members as places, with nothing on them yet."""
    known = {member.node: member for member in members}
    fleet = Fleet(View(desired={}, instances=(), members=known, duties=duties, learners=learners))
    for _ in fleet.prepare():
        pass
    return fleet


def learners_of(members: Iterable[MemberRow], voters: Callable[[], Collection[NodeId]] | None) -> frozenset[NodeId]:
    """Members that have no vote. voters  None = every member counts as one"""
    return frozenset() if voters is None else frozenset(member.node for member in members).difference(voters())


def room_for(row: DesiredRow, fleet: Fleet, *further: Artifact) -> int | None:
    """For the version in force and `further` ones together; None when nothing limits it.

    A member that offers only one of them counts as well: then the others' instances take no place from it.
    """
    offering = {s.node: s for artifact in (row.artifact, *further) for s in fleet.offering(artifact)}
    able = [standing for standing in offering.values() if standing.takes and standing.fits(row.placing)]
    if row.singleton:
        return min(1, len(able))
    limits = [_limit(row, standing) for standing in able]
    counted = [limit for limit in limits if limit is not None]
    return sum(counted) if len(counted) == len(limits) else None


def shortage(row: DesiredRow, fleet: Fleet) -> str:
    """Why not all of `row.instances` find a place; "" when they do."""
    room = room_for(row, fleet)
    if room is None or room >= row.instances:
        return ""
    why = "a singleton has one" if row.singleton and room else why_short(fleet, row, row.artifact, ())
    return f"{row.instances - room} of {row.instances} instances of {row.artifact} find no place: {why}"


def _limit(row: DesiredRow, standing: Standing) -> int | None:
    limits = [limit for limit in (row.max_per_node, standing.capacity) if limit is not None]
    return min(limits, default=None)

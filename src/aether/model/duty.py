"""The life of a member node, as a table.

Knows: the states, who may move to which; the row of an operator's word; which duty follows from rows.
Never: who moves a node, what a state does to its instances.
Holds: a move that is absent from NEXT_DUTY is illegal; a node without a row is ON_DUTY once it is ready.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from aether.model.artifact import ArtifactBase
from aether.model.ids import Incarnation, NodeId
from aether.model.rows import InstanceRow, MemberRow


class Duty(enum.StrEnum):
    """Where a node stands."""

    JOINING = "JOINING"  # started, not ready yet: gets no instances
    ON_DUTY = "ON_DUTY"
    DRAINING = "DRAINING"  # gives its instances away, takes none
    DECOMMISSIONED = "DECOMMISSIONED"  # nothing runs on it; it stays a member
    SHUTTING_DOWN = "SHUTTING_DOWN"  # its process leaves


D = Duty
NEXT_DUTY: Final[Mapping[Duty, frozenset[Duty]]] = {
    D.JOINING: frozenset({D.ON_DUTY, D.DRAINING, D.SHUTTING_DOWN}),
    D.ON_DUTY: frozenset({D.DRAINING, D.SHUTTING_DOWN}),
    D.DRAINING: frozenset({D.ON_DUTY, D.DECOMMISSIONED, D.SHUTTING_DOWN}),
    D.DECOMMISSIONED: frozenset({D.ON_DUTY, D.SHUTTING_DOWN}),
    D.SHUTTING_DOWN: frozenset({D.JOINING}),  # started again
}
assert NEXT_DUTY.keys() == set(Duty)


NO_PROCESS: Final = Incarnation("")


@attrs.frozen(kw_only=True)
class DutyRow:
    """What an operator, or the leader, said of a member. Key `duty/{node}`; outlives the process.

    by     who said it; at  wall-clock seconds
    force  a drain that waits neither for the disruption budget nor for replacements
    incarnation  of SHUTTING_DOWN: the process that shall leave; one that is started later is JOINING
    """

    node: NodeId
    duty: Duty
    by: str = ""
    at: float = 0.0
    force: bool = False
    incarnation: Incarnation = NO_PROCESS


def is_ready(member: MemberRow) -> bool:
    """Whether the member has started and caught up."""
    return bool(member.incarnation) and not member.joining


def node_duty(member: MemberRow, said: DutyRow | None, is_ready: bool) -> Duty:
    """Where a member stands. Its own word that it leaves weighs most, then an operator's."""
    if member.draining:
        return Duty.SHUTTING_DOWN
    match None if said is None else said.duty:
        case Duty.SHUTTING_DOWN if said is not None and said.incarnation == member.incarnation:
            return Duty.SHUTTING_DOWN
        case Duty.DRAINING | Duty.DECOMMISSIONED as kept:
            return kept
        case _:
            return Duty.ON_DUTY if is_ready else Duty.JOINING


def duties_of(members: Iterable[MemberRow], said: Iterable[DutyRow]) -> dict[NodeId, Duty]:
    """The duty of each member."""
    words = {row.node: row for row in said}
    return {member.node: node_duty(member, words.get(member.node), is_ready(member)) for member in members}


def still_there(node: NodeId, instances: Iterable[InstanceRow], reasons: Mapping[ArtifactBase, str]) -> list[str]:
    """What runs on a node that drains, a line for each artifact; [] when nothing does.

    reasons  why an artifact cannot be placed elsewhere
    """
    left = Counter(row.artifact.base for row in instances if row.node == node)
    return [
        f"{base}: {count} still on {node}" + (f"; no place elsewhere: {reasons[base]}" if base in reasons else "")
        for base, count in sorted(left.items())
    ]

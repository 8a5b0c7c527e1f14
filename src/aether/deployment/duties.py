"""Which duty each member has, which of them move on by themselves, and what a drain still waits for.

Knows: member rows, an operator's word, the instances that are left.
Never: writes rows; places instances (reconcile does).
Holds: an operator's word outlives the process, but SHUTTING_DOWN is said to one process: a later one joins anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import attrs

from aether.model.duty import Duty, DutyRow, duties_of, is_ready, node_duty, still_there
from aether.model.ids import NodeId
from aether.model.rows import InstanceRow, MemberRow

__all__ = ["Moved", "decide_duties", "duties_of", "forced_drains", "is_ready", "node_duty", "still_there"]

_GOING: Final = frozenset({Duty.DRAINING, Duty.SHUTTING_DOWN})


def forced_drains(said: Iterable[DutyRow]) -> frozenset[NodeId]:
    """Nodes whose instances go without waiting for budget or replacements."""
    return frozenset(row.node for row in said if row.force and row.duty in _GOING)


@attrs.frozen
class Moved:
    """A duty row to write; `row` None = delete it."""

    node: NodeId
    row: DutyRow | None


def decide_duties(
    said: Iterable[DutyRow], members: Mapping[NodeId, MemberRow], instances: Iterable[InstanceRow], now: float
) -> Iterator[Moved]:
    """What the leader writes: an emptied node is DECOMMISSIONED; a node that was started again is told nothing."""
    occupied = {row.node for row in instances}
    for row in said:
        member = members.get(row.node)
        if row.duty is Duty.DRAINING and row.node not in occupied and member is not None:
            yield Moved(row.node, attrs.evolve(row, duty=Duty.DECOMMISSIONED, at=now))
        elif row.duty is Duty.SHUTTING_DOWN and member is not None and member.incarnation != row.incarnation:
            yield Moved(row.node, None)

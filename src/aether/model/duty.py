"""The life of a member node, as a table.

Knows: the states, who may move to which; the row of an operator's word.
Never: who moves a node, what a state does to its instances.
Holds: a move that is absent from NEXT_DUTY is illegal; a node without a row is ON_DUTY once it is ready.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

import attrs

from aether.model.ids import NodeId


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


@attrs.frozen(kw_only=True)
class DutyRow:
    """What an operator, or the leader, said of a member. Key `duty/{node}`; outlives the process.

    by     who said it; at  wall-clock seconds
    force  a drain that does not wait for the disruption budget
    """

    node: NodeId
    duty: Duty
    by: str = ""
    at: float = 0.0
    force: bool = False

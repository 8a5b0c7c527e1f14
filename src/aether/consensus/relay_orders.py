"""What the leader has told each relay, and what the relays say of those whom they serve.

Knows: the numbers of orders, who stands where in the list of each, what a relay has answered.
Never: who serves whom (fan_out), entries, how messages travel.
Holds: a report counts only for the order that it names; nothing in it is ever counted as an acknowledgement, so no
       entry is committed, and no vote given, on the word of a relay. A second without news costs one short message to
       each relay and one back, however many it serves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from aether.consensus.messages import RelayOrder, RelayReport
from aether.model.ids import LogIndex, NodeId, Term


@attrs.define
class _Told:
    number: int = 0
    learners: tuple[NodeId, ...] = ()
    is_known: bool = False


@attrs.frozen
class Served:
    """One learner, as its relay sees it. held  its log is the leader's, durably, up to here; lives  it answers"""

    learner: NodeId
    held: LogIndex
    lives: bool


class RelayOrders:
    """Of one leader in one term."""

    def __init__(self, term: Term) -> None:
        self._term = term
        self._told: dict[NodeId, _Told] = {}

    def order(self, relay: NodeId, learners: Sequence[NodeId]) -> RelayOrder:
        """What to tell `relay` now: the list when it is another one, or not known to have arrived."""
        told = self._told.setdefault(relay, _Told())
        if told.number == 0 or told.learners != tuple(learners):
            told.number, told.learners, told.is_known = told.number + 1, tuple(learners), False
        return RelayOrder(term=self._term, number=told.number, learners=None if told.is_known else told.learners)

    def reported(self, relay: NodeId, report: RelayReport) -> Iterator[Served]:
        """What `relay` says; nothing when it speaks of another order than the last."""
        told = self._told.get(relay, _Told())
        told.is_known = report.number == told.number
        if told.number == 0 or not told.is_known:
            return
        behind, silent = dict(report.behind), frozenset(report.silent)
        for position, learner in enumerate(told.learners):
            yield Served(learner, behind.get(position, report.match), position not in silent)

"""Which silent nodes may still run a singleton: the leader's side of the lease that contact_manager keeps.

Knows: nodes with singletons, who answers, since when this leadership lasts.
Never: clocks (the time is passed in), what follows.
Holds: silence counts from the later of its beginning and that of this leadership: until then a leader before may have
       answered the node. A node counts as let go SINGLETON_LOST_S after that, when it has stopped by itself for long.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from aether.model.ids import NodeId
from aether.model.limits import SINGLETON_LOST_S
from aether.model.rows import InstanceRow, LeadershipRow


class Leases:
    """Of one node's cluster manager. lost_s  of silence, until a singleton may be replaced"""

    def __init__(self, lost_s: float = SINGLETON_LOST_S) -> None:
        self._lost_s = lost_s
        self._seen: tuple[object, frozenset[NodeId]] = (None, frozenset())
        self._leadership: LeadershipRow | None = None
        self._leads_since = 0.0
        self._silent_since: dict[NodeId, float] = {}

    def look(
        self, instances: Iterable[InstanceRow], live: Collection[NodeId], leadership: LeadershipRow | None, now: float
    ) -> frozenset[NodeId]:
        """The nodes that do not answer, and whose singletons must not be replaced yet. now  of a steady clock"""
        if self._seen[0] is not instances:
            self._seen = instances, frozenset(row.node for row in instances if row.token)
        if leadership != self._leadership:
            self._leadership, self._leads_since = leadership, now
        self._silent_since = {node: self._silent_since.get(node, now) for node in self._seen[1] if node not in live}
        return frozenset(node for node, since in self._silent_since.items() if self._ends(since) > now)

    def pause_s(self, now: float) -> float | None:
        """Until the next node is let go; None = nobody is waited for."""
        ends = (self._ends(since) - now for since in self._silent_since.values())
        return min((end for end in ends if end > 0), default=None)

    def _ends(self, silent_since: float) -> float:
        return max(silent_since, self._leads_since) + self._lost_s

"""Whether all nodes made the same state of the same log: their hashes at the same revisions, side by side.

Knows: what each node reported, who votes.
Never: how a hash is made, how a report travels.
Holds: a hash that a majority of the voters has is the right one; no node is judged before a majority agrees, or cannot
       any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from aether.model.ids import NodeId, Revision

REVISIONS_KEPT: Final = 8
"""Marks that are compared: a node further behind is compared at its next one."""


def decide_diverged(reports: Mapping[NodeId, bytes], voters: Collection[NodeId]) -> frozenset[NodeId]:
    """Who must stop, of those who reported. Everybody, when no hash can have a majority of the voters any more."""
    counts = Counter([state_hash for node, state_hash in reports.items() if node in voters])
    wanted = len(voters) // 2 + 1
    silent = sum(voter not in reports for voter in voters)
    best, count = counts.most_common(1)[0] if counts else (b"", 0)
    if count >= wanted:
        return frozenset(node for node, state_hash in reports.items() if state_hash != best)
    return frozenset() if count + silent >= wanted else frozenset(reports)


class Agreement:
    """The reports of the last few marks, as the leader gets them."""

    def __init__(self) -> None:
        self._reports: dict[Revision, dict[NodeId, bytes]] = {}

    def reported(
        self, node: NodeId, revision: Revision, state_hash: bytes, voters: Collection[NodeId]
    ) -> frozenset[NodeId]:
        """Who must stop, now that `node` has reported."""
        reports = self._reports.setdefault(revision, {})
        reports[node] = state_hash
        while len(self._reports) > REVISIONS_KEPT:
            del self._reports[min(self._reports)]
        return decide_diverged(reports, voters)

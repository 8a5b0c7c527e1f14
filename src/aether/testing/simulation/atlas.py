"""Which disks may be damaged: never so many that a correct system could lose what it acknowledged.

Knows: the configurations that stand in any node's log, which disks are damaged already.
Never: bytes, kinds of damage.
Holds: in each of these configurations the voters with whole disks are a quorum. A committed entry is on a quorum, which
       has one of them in common with every quorum of the whole ones: each committed entry keeps a good copy that every
       future leader has to have. So a cluster that does not recover has a bug, and no excuse.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from aether.model.ids import NodeId


class Atlas:
    """halves  gives the sets of voters whose majorities count now."""

    def __init__(self, halves: Callable[[], Iterable[Collection[NodeId]]]) -> None:
        self.damaged: set[NodeId] = set()
        self._halves = halves

    def allows(self, node: NodeId) -> bool:
        """Whether the disk of `node` may be damaged (further)."""
        return node in self.damaged or all(self._has_quorum(half, {*self.damaged, node}) for half in self._halves())

    def tolerates(self, voters: Collection[NodeId]) -> bool:
        """Whether a group of `voters` would survive the damage there is."""
        return self._has_quorum(voters, self.damaged)

    def note(self, node: NodeId) -> None:
        """The disk of `node` is damaged now."""
        self.damaged.add(node)

    @staticmethod
    def _has_quorum(voters: Collection[NodeId], without: Collection[NodeId]) -> bool:
        return 2 * sum(voter not in without for voter in voters) > len(voters)

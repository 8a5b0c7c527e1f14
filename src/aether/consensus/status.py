"""What a node knows about its consensus group, as a frozen value.

Knows: role, term, leader, indexes, voters.
Never: how they came about.
"""

from __future__ import annotations

from typing import Final

import attrs

from aether.consensus.quorum import Configuration
from aether.consensus.values import Role
from aether.model.ids import LogIndex, NodeId, Term

_NO_TERM: Final = Term(0)
_NO_INDEX: Final = LogIndex(0)
_NOBODY: Final = Configuration(())


@attrs.frozen(kw_only=True)
class ConsensusStatus:
    """One look at one node. Two are equal when roles, term, leader, members and quorum are: indexes move all the time.

    role        LEADER only while proposals are accepted: a leader whose disk stalls shows FOLLOWER
    leader      best guess; None in an election
    has_quorum  a majority answered within an election time-out (leader), or the leader was heard (others)
    voters      everybody who votes now; configuration  who belongs to the group, in force since configuration_index
    is_changing that configuration is joint, or not committed yet
    is_removed  a committed change has put this node out of the group, for ever
    reachable   voters connected with this node, itself included; like the indexes, no part of equality
    """

    node: NodeId
    role: Role = Role.FOLLOWER
    term: Term = _NO_TERM
    leader: NodeId | None = None
    voters: tuple[NodeId, ...] = ()
    configuration: Configuration = _NOBODY
    configuration_index: LogIndex = _NO_INDEX
    is_changing: bool = False
    is_removed: bool = False
    has_quorum: bool = False
    commit_index: LogIndex = attrs.field(default=_NO_INDEX, eq=False)
    applied_index: LogIndex = attrs.field(default=_NO_INDEX, eq=False)
    reachable: int = attrs.field(default=1, eq=False)

"""The Raft state machine of one node, without I/O."""

from __future__ import annotations

from collections.abc import Sequence

from aether.consensus.config import RaftConfig
from aether.consensus.messages import Message
from aether.consensus.values import Persisted, Ready, Role, Snapshot
from aether.model.ids import LogIndex, NodeId, Term


class RaftCore:
    """One node of a consensus group: values in, one `Ready` out. Skeleton: signatures are final, bodies follow."""

    def __init__(self, config: RaftConfig, persisted: Persisted) -> None:
        raise NotImplementedError

    # --- read-only state -------------------------------------------------------------------------------------------------
    @property
    def role(self) -> Role:
        raise NotImplementedError

    @property
    def term(self) -> Term:
        raise NotImplementedError

    @property
    def leader(self) -> NodeId | None:
        raise NotImplementedError

    @property
    def commit_index(self) -> LogIndex:
        raise NotImplementedError

    @property
    def applied_index(self) -> LogIndex:
        raise NotImplementedError

    @property
    def last_index(self) -> LogIndex:
        raise NotImplementedError

    @property
    def voters(self) -> tuple[NodeId, ...]:
        raise NotImplementedError

    @property
    def snapshot_index(self) -> LogIndex:
        """The index that the newest snapshot covers; 0 without one."""
        raise NotImplementedError

    def quorum_active(self) -> bool:
        """Whether a majority answered within an election time-out (leader), or the leader was heard (others)."""
        raise NotImplementedError

    # --- inputs ----------------------------------------------------------------------------------------------------------
    def tick(self) -> None:
        """One unit of time has passed."""
        raise NotImplementedError

    def step(self, sender: NodeId, message: Message) -> None:
        """Take one message from `sender`. Messages of unknown nodes are ignored."""
        raise NotImplementedError

    def propose(self, payloads: Sequence[bytes]) -> None:
        """Append all of `payloads`, or none. Raises NotLeader, Overloaded, BadInput (a payload is too long)."""
        raise NotImplementedError

    def transfer(self, to: NodeId) -> None:
        """Hand leadership to `to`; proposals are refused meanwhile. Raises NotLeader, BadInput (no other voter)."""
        raise NotImplementedError

    def persisted(self, number: int) -> None:
        """All writes up to `number` are durable."""
        raise NotImplementedError

    def applied(self, index: LogIndex) -> None:
        """The state machine has applied everything up to `index`."""
        raise NotImplementedError

    def compacted(self, snapshot: Snapshot) -> None:
        """A local snapshot at or before the applied index is durable: forget the log behind it, but for a tail."""
        raise NotImplementedError

    def peer_closed(self, peer: NodeId) -> None:
        """`peer` closed its connection and is not back within CLOSED_LEADER_GRACE_S. Of a leader: campaign now."""
        raise NotImplementedError

    # --- output ----------------------------------------------------------------------------------------------------------
    def ready(self) -> Ready | None:
        """What to write, send and apply now; None when there is nothing. Never hands the same thing out twice."""
        raise NotImplementedError

    def check(self) -> None:
        """Assert the invariants of the cursors. Cheap enough to call after every input."""
        raise NotImplementedError

"""How one consensus node is set up: who votes, how many ticks, how many bytes.

Knows: numbers, names, the injected source of randomness.
Never: clocks (a tick is whatever its driver says), files, addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from aether.consensus.lease import TICKS_LOST_MAX
from aether.consensus.messages import PRIORITY_MAX, PRIORITY_MIN
from aether.errors import BadInput
from aether.model import limits
from aether.model.ids import NodeId


class Randomness(Protocol):
    """The part of `random.Random` that consensus uses."""

    def randrange(self, start: int, stop: int, /) -> int: ...


def _voters(names: Sequence[NodeId]) -> tuple[NodeId, ...]:
    return tuple(sorted(names))


@attrs.frozen(kw_only=True)
class RaftConfig:
    """The settings of one core. Raises BadInput when they contradict each other.

    voters               the founding ones, in force until the log says otherwise; () for a node that joins a group
    random               a `random.Random`: draws election time-outs; the simulator seeds it
    election_ticks_min, election_ticks_max  a time-out is drawn from [min, max) ticks
    inflight_appends_max, inflight_bytes_max  unacknowledged at one follower; nothing more is sent beyond either
    entries_kept         log entries kept behind a snapshot for followers that lag
    kept_bytes_max       and at most so many bytes of them
    apply_bytes_max      committed entries in one Ready
    held_bytes_max       log kept longer while a snapshot travels, so that its receiver can go on with the log
    workers_direct_max   learners that a leader serves itself; voters pass the log on to the others
    snapshot_window      chunks of a snapshot on their way to one follower
    lease_reads          a leader answers reads alone while a quorum has promised to elect nobody else; see lease
    priority             among voters with equal logs the highest is wished for as leader; never needed to have one
    """

    node: NodeId
    voters: tuple[NodeId, ...] = attrs.field(converter=_voters)
    random: Randomness
    heartbeat_ticks: int = limits.HEARTBEAT_TICKS
    election_ticks_min: int = limits.ELECTION_TICKS_MIN
    election_ticks_max: int = limits.ELECTION_TICKS_MAX
    append_bytes_max: int = limits.APPEND_BYTES_MAX
    inflight_appends_max: int = limits.INFLIGHT_APPENDS_MAX
    inflight_bytes_max: int = limits.INFLIGHT_BYTES_MAX
    uncommitted_bytes_max: int = limits.UNCOMMITTED_BYTES_MAX
    proposal_bytes_max: int = limits.PROPOSAL_BYTES_MAX
    snapshot_chunk_bytes: int = limits.SNAPSHOT_CHUNK_BYTES
    snapshot_bytes_max: int = limits.SNAPSHOT_BYTES_MAX
    snapshot_window: int = limits.SNAPSHOT_CHUNKS_IN_FLIGHT
    entries_kept: int = limits.LOG_ENTRIES_KEPT_BEHIND_SNAPSHOT
    kept_bytes_max: int = limits.LOG_BYTES_KEPT_BEHIND_SNAPSHOT
    apply_bytes_max: int = limits.APPLY_BYTES_MAX
    held_bytes_max: int = limits.UNCOMMITTED_BYTES_MAX
    workers_direct_max: int = limits.WORKERS_SERVED_BY_LEADER_MAX
    reads_pending_max: int = limits.READS_PENDING_MAX
    lease_reads: bool = False
    priority: int = 0

    def __attrs_post_init__(self) -> None:
        problems: list[str] = []
        if len(set(self.voters)) != len(self.voters):
            problems.append(f"voters {', '.join(self.voters)}: each may stand there once")
        if self.voters and self.node not in self.voters:
            problems.append(f"node {self.node!r} is not among the voters {', '.join(self.voters)}; add it")
        if not 0 < self.heartbeat_ticks < self.election_ticks_min < self.election_ticks_max:
            problems.append("0 < heartbeat_ticks < election_ticks_min < election_ticks_max must hold")
        if self.lease_reads and self.election_ticks_min <= TICKS_LOST_MAX:
            problems.append(f"lease_reads needs election_ticks_min above {TICKS_LOST_MAX}: a lease would not last")
        if not PRIORITY_MIN <= self.priority <= PRIORITY_MAX:
            problems.append(f"priority {self.priority} must lie between {PRIORITY_MIN} and {PRIORITY_MAX}")
        if self.workers_direct_max < 1:
            problems.append("workers_direct_max must be at least 1: only the leader sends snapshots to learners")
        if problems:
            raise BadInput("consensus cannot start", tuple(problems))

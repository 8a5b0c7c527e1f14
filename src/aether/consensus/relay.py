"""A voter that passes the log on to learners which its leader named.

Knows: what is committed here, the progress of those learners.
Never: entries that are not committed, snapshots (the leader sends those itself), votes.
Holds: it serves for one leader in one term, and only as long as that leader says so again.
"""

from __future__ import annotations

from collections import Counter

from aether.consensus.config import RaftConfig
from aether.consensus.log import RaftLog
from aether.consensus.messages import (
    AppendEntries,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    Relayed,
    RelayOrder,
    RelayReport,
    SnapshotReply,
)
from aether.consensus.outbox import Outbox
from aether.consensus.replication import Replication
from aether.consensus.values import ChunkOrder
from aether.model.ids import LogIndex, NodeId, Term


class _InTheNameOf:
    """Says whose log it is."""

    def __init__(self, leader: NodeId, outbox: Outbox) -> None:
        self._leader = leader
        self._outbox = outbox

    def order(self, order: ChunkOrder) -> None:
        raise AssertionError(f"a relay has no snapshot to send to {order.to}")

    def send(self, to: NodeId, message: AppendEntries | Heartbeat) -> None:
        self._outbox.send(to, Relayed(leader=self._leader, message=message))


def _most_of(held: list[LogIndex]) -> LogIndex:
    """What the greatest number hold, of equal ones the least."""
    counts = Counter(held)
    return min(counts, key=lambda index: (-counts[index], index), default=LogIndex(0))


class Relay:
    """One node's service to the learners of one leader."""

    def __init__(self, config: RaftConfig, term: Term, leader: NodeId, log: RaftLog, outbox: Outbox) -> None:
        self.term = term
        self._config = config
        self._log = log
        self._leader = leader
        self._outbox = outbox
        self._number = 0
        self._learners: tuple[NodeId, ...] = ()
        self._answered: dict[NodeId, int] = {}  # when, in our ticks
        sending = _InTheNameOf(leader, outbox)
        self._replication = Replication(config, term, log, sending, None, lambda: log.committed)
        self._round = 0
        self._until = 0
        self._report_at = 0

    def ordered(self, order: RelayOrder) -> None:
        """The leader wants exactly these to be served, for the next while.

        It hears how far they are before it looks again, and not before they can have moved.
        """
        if order.number < self._number:
            return  # late
        if order.learners is not None and order.number > self._number:
            self._number, self._learners = order.number, order.learners
        if order.number == self._number:
            self._until = self._replication.now + 2 * self._config.election_ticks_max
            self._serve()
        self._report_at = self._replication.now + self._config.election_ticks_min // 2

    def _serve(self) -> None:
        progress = self._replication.progress
        for learner in progress.keys() - set(self._learners):
            self._replication.forget(learner)
            self._answered.pop(learner, None)
        fresh = [learner for learner in self._learners if learner not in progress]
        self._replication.follow(fresh, LogIndex(self._log.committed + 1))

    def _report(self) -> RelayReport:
        replication = self._replication
        held = [replication.progress[learner].match for learner in self._learners if learner in replication.progress]
        if len(held) < len(self._learners):
            return RelayReport(term=self.term, number=0, match=LogIndex(0))  # the order has ended meanwhile
        most, oldest = _most_of(held), replication.now - self._config.election_ticks_max
        return RelayReport(
            term=self.term,
            number=self._number,
            match=most,
            behind=tuple((place, match) for place, match in enumerate(held) if match != most),
            silent=tuple(n for n, each in enumerate(self._learners) if self._answered.get(each, -1) < oldest),
        )

    def tick(self, *, leader_lives: bool) -> None:
        """One unit of time: now and then a heartbeat, if the leader itself was heard; an order not repeated ends."""
        replication = self._replication
        replication.now += 1
        if replication.now >= self._until:
            for learner in list(replication.progress):
                replication.forget(learner)
        if replication.now == self._report_at:
            self._outbox.send(self._leader, self._report())
        if leader_lives and replication.now % self._config.election_ticks_min == 0:
            self._round += 1
            for learner in replication.progress:
                replication.heartbeat(learner, self._round)

    def send_all(self) -> None:
        """To each learner what is committed."""
        self._replication.send_all()

    def take(self, learner: NodeId, reply: AppendReply | HeartbeatReply | SnapshotReply) -> None:
        """An answer of this term."""
        progress = self._replication.progress.get(learner)
        if progress is None:
            return
        progress.active_tick = self._answered[learner] = self._replication.now
        if isinstance(reply, AppendReply):
            self._replication.append_reply(learner, reply)
        elif isinstance(reply, HeartbeatReply):
            self._replication.heard_heartbeat(learner)

    def peer_closed(self, learner: NodeId) -> None:
        """What was on its way to it is lost."""
        self._replication.peer_closed(learner)

    def check(self) -> None:
        """Assert the invariants of every learner's progress."""
        self._replication.check()

"""One term of leading: what each follower is sent, what counts as committed, when to step down.

Knows: the progress of every follower, the log, the configuration; the messages a leader sends and gets.
Never: elections, storage, how this leadership began or what follows it.
Holds: only entries of its own term are committed by counting (Raft 5.4.2); the leader counts itself like any voter,
       up to what its own storage acknowledged; a read is answered once a quorum answered a heartbeat sent after it.
Paper: Raft 5.3, 5.4.2, 7; dissertation 3.10 (transfer), 6.2 (check-quorum), 6.4 (reads), 10.2.1 (pipelining, disk
       beside network).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from aether.consensus.config import RaftConfig
from aether.consensus.entry import EntryKind, new_entries
from aether.consensus.fan_out import FanOut
from aether.consensus.handover import Handover
from aether.consensus.lease import LeaseRounds
from aether.consensus.log import RaftLog
from aether.consensus.membership import MembershipChange, encode_configuration, next_configuration
from aether.consensus.messages import (
    AppendReply,
    HeartbeatReply,
    RelayReport,
    SnapshotReply,
    TimeoutNow,
)
from aether.consensus.outbox import Outbox
from aether.consensus.progress import Mode, Progress, heir_of
from aether.consensus.quorum import Configuration
from aether.consensus.reads import Read, ReadRounds
from aether.consensus.relay_orders import RelayOrders
from aether.consensus.replication import Replication
from aether.consensus.values import StoredSnapshot
from aether.errors import BadInput, Conflict, NotLeader, Overloaded
from aether.model.ids import LogIndex, NodeId, Term


class Leadership:
    """State that only a leader has. Made when an election is won, dropped when it steps down."""

    def __init__(
        self,
        config: RaftConfig,
        term: Term,
        log: RaftLog,
        outbox: Outbox,
        snapshot: StoredSnapshot | None,
    ) -> None:
        self.term = term
        self.replication: Replication = Replication(config, term, log, outbox, snapshot, lambda: log.last_index)
        self.handover: Handover = Handover(term, outbox)
        self.reads: ReadRounds = ReadRounds(config.reads_pending_max)
        self._lease = LeaseRounds()
        self._config = config
        self._log = log
        self._outbox = outbox
        self._round = 0
        self._tick_round = 0  # the newest round that a tick began
        self._leaving: dict[NodeId, int] = {}  # removed members, and the tick until which they are still served
        self._fan_out = FanOut(config.workers_direct_max)
        self._orders = RelayOrders(term)
        self._acks_changed = True
        start = LogIndex(log.last_index + 1)
        self._progress = self.replication.progress
        self.replication.follow(self._others(), start)
        self._own_start = start
        self.append((b"",), EntryKind.NO_OP)

    def _others(self) -> list[NodeId]:
        return [member for member in self._configuration.members() if member != self._config.node]

    def _other_voters(self) -> list[NodeId]:
        return [voter for voter in self._configuration.voting() if voter != self._config.node]

    @property
    def _now(self) -> int:
        return self.replication.now

    @property
    def _configuration(self) -> Configuration:
        return self._log.configurations.current

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self) -> bool:
        """One unit of time. False: step down, because a quorum is silent."""
        self.replication.now += 1
        self.handover.tick(self._now)
        self._forget_leavers()
        if not self.quorum_active():
            return False
        if self._now % self._config.heartbeat_ticks == 0:
            voting = self._configuration.voting()
            others = self.replication.direct
            self._begin_round(
                [p for p, progress in others if p in voting or p in self._leaving or self._is_due(progress)]
            )
            self._tick_round = self._round
        if self._now % self._config.election_ticks_min == 1:
            self._assign_relays()
        return True

    def quorum_active(self) -> bool:
        """Whether a quorum, this node included, was heard within the shortest election time-out, and can write.

        Else a leader would stay that hears enough of those who follow, and gets nothing committed by them.
        """
        ticks = self._config.election_ticks_min
        active = [voter for voter in self._other_voters() if self.replication.is_able(voter, ticks)]
        return self._configuration.has_quorum((*active, self._config.node))

    def _begin_round(self, receivers: Sequence[NodeId]) -> None:
        self._round += 1
        if self._log.committed >= self._own_start:
            self.reads.begun(self._round, self._log.committed)
        for peer in receivers:
            self.replication.heartbeat(peer, self._round)

    def _is_due(self, learner: Progress) -> bool:
        """Whether a learner gets this heartbeat: one that has everything hears of us once in a while."""
        return learner.match != self._log.last_index or self._now % self._config.election_ticks_min == 0

    def _assign_relays(self, lost: NodeId | None = None) -> None:
        """Learners that are too many for this leader get the log from other voters. lost  one that is gone just now"""
        configuration = self._configuration
        ticks = self._config.election_ticks_min
        others = [voter for voter in configuration.voters if voter != self._config.node]
        live = [voter for voter in others if voter != lost and self.replication.is_heard(voter, ticks)]
        followers = [learner for learner in configuration.learners if learner != self._config.node]  # it may be demoted
        is_heard = partial(self.replication.is_heard, ticks=ticks)
        orders = self._fan_out.look(followers, live, self._progress, self._log, is_heard)
        for learner, relay in self._fan_out.serving.items():
            self.replication.serve(learner, by_relay=relay is not None)
        for relay, learners in orders.items():
            self._outbox.send(relay, self._orders.order(relay, learners))

    # --- appending and committing ------------------------------------------------------------------------------------

    def propose(self, payloads: Sequence[bytes]) -> None:
        """Append commands, all or none. Raises Overloaded, BadInput."""
        longest = max(map(len, payloads), default=0)
        if longest > self._config.proposal_bytes_max:
            raise BadInput(
                f"a proposal of {longest} bytes", (f"at most {self._config.proposal_bytes_max} are allowed",)
            )
        waiting, limit = self._log.bytes_after(self._log.committed), self._config.uncommitted_bytes_max
        if waiting > 0 and waiting + sum(map(len, payloads)) > limit:
            raise Overloaded("the replicated log (uncommitted bytes)", limit)
        self.append(payloads, EntryKind.COMMAND)

    def append(self, payloads: Sequence[bytes], kind: EntryKind) -> None:
        """Add one entry of this term for each payload."""
        self._log.append(new_entries(LogIndex(self._log.last_index + 1), self.term, kind, payloads))
        if kind is EntryKind.CONFIGURATION:
            self._reconfigure()

    def storage_advanced(self) -> None:
        """This node's own durable index may have moved."""
        self._acks_changed = True

    def advance_commit(self) -> None:
        """Commit what a quorum holds, if it is of this term; what precedes it is committed with it (Raft 5.4.2)."""
        if not self._acks_changed:
            return
        self._acks_changed = False
        match = {voter: self._progress[voter].match for voter in self._other_voters()}
        match[self._config.node] = self._log.durable
        index = self._configuration.committed_index(match)
        if index > self._log.committed and self._may_commit(index):
            self._log.commit_to(index)
        self._end_change()

    def _may_commit(self, index: LogIndex) -> bool:
        return self._log.matches(index, self.term)

    # --- reads --------------------------------------------------------------------------------------------------------

    def advance_reads(self) -> list[tuple[Read, LogIndex]]:
        """The reads that are confirmed now; begins a round for others at once.

        They wait until an entry of this term is committed: until then an earlier leader may have committed more than
        this node knows of.
        """
        confirmed = self.reads.confirm(self._is_answered)
        if self.reads.wants_round and self._log.committed >= self._own_start:
            self._begin_round(self._other_voters())  # nobody else can vouch for this leader
            confirmed += self.reads.confirm(self._is_answered)  # nobody to wait for in a group of one
        return confirmed

    def asked(self, read: Read, term: Term) -> LogIndex | None:
        """A follower of `term` asks. Where it and this leader are a quorum, its question is the heartbeat's answer.

        It was sent after the read began, by a node that had voted for no later leader: in a group of three nothing more
        is needed, and no round begins. Otherwise the read waits for one. Raises Overloaded.
        """
        vouched = term == self.term and self._configuration.has_quorum((read.asker, self._config.node))
        if vouched and self._log.committed >= self._own_start:
            return self._log.committed
        self.reads.gather(read)
        return None

    @property
    def begun_round(self) -> int:
        """The newest round of heartbeats."""
        return self._round

    @property
    def leased_round(self) -> int:
        """The newest round that may carry a lease; 0 for none.

        None any more once a handover was begun: the word to campaign, which breaks promises, may still be on its way.
        """
        if self.handover.was_tried or self._log.committed < self._own_start or not self._config.lease_reads:
            return 0
        return self._lease.newest(self._configuration, self._config.node, self._round)

    def _is_answered(self, number: int) -> bool:
        """Whether a quorum, this node included, obeyed this leader when round `number` had begun."""
        heard = [voter for voter in self._other_voters() if self._progress[voter].heard_round >= number]
        return self._configuration.has_quorum((*heard, self._config.node))

    # --- answers ------------------------------------------------------------------------------------------------------

    def take(self, peer: NodeId, reply: AppendReply | HeartbeatReply | SnapshotReply | RelayReport) -> None:
        """One answer of this term."""
        progress = self._progress.get(peer)
        if progress is None:
            return
        is_first = progress.active_tick < self.replication.now  # of this tick
        progress.active_tick = self.replication.now
        if isinstance(reply, HeartbeatReply) and not reply.round:  # it lives, and its disk hangs
            if is_first:
                self.replication.heard_heartbeat(peer)
            return
        progress.able_tick = self.replication.now
        match reply:
            case AppendReply():
                self.append_reply(peer, reply)
            case HeartbeatReply():
                self._lease.answered(peer, min(reply.round, self._round), promised=reply.leases)
                self.heartbeat_reply(peer, reply.round)
            case SnapshotReply():
                self.replication.snapshot_reply(peer, reply)
            case RelayReport():
                self._relay_report(peer, reply)

    def append_reply(self, peer: NodeId, reply: AppendReply) -> None:
        """A follower stored entries, or does not hold the one before them."""
        if self.replication.append_reply(peer, reply):
            self._acks_changed = True
        self.handover.acknowledged(peer, self._progress[peer].match, self._log.last_index)

    def heartbeat_reply(self, peer: NodeId, number: int) -> None:
        """A follower lives: send again what may have been lost, once for each round of a tick."""
        progress = self._progress[peer]
        before = progress.heard_round
        if not before < number <= self._round:
            return  # late, doubled, or never sent
        progress.heard_round = number
        # Rounds for reads follow each other fast: what is on its way now would look lost.
        if before < self._tick_round <= number:
            self.replication.heard_heartbeat(peer)

    def _relay_report(self, relay: NodeId, report: RelayReport) -> None:
        """How far those are whom `relay` serves."""
        for served in self._orders.reported(relay, report):
            progress = self._progress.get(served.learner)
            if progress is None or not progress.is_relayed:
                continue
            progress.passed = max(progress.passed, min(served.held, self._log.committed))
            if served.lives:
                progress.active_tick = self._now

    def peer_closed(self, peer: NodeId) -> None:
        """What was on its way to `peer` is lost; whom it served go to others at once."""
        self.replication.peer_closed(peer)
        if self._fan_out.is_relay(peer):
            self._assign_relays(lost=peer)

    # --- membership ---------------------------------------------------------------------------------------------------

    def propose_change(self, change: MembershipChange, expected_index: LogIndex) -> None:
        """See RaftCore.propose_change. Not before an entry of this term is committed (Ongaro, raft-dev 2015)."""
        known, committed = self._log.configurations, self._log.committed
        if committed < self._own_start:
            raise NotLeader(self._config.node, None)
        if known.index != expected_index:
            reason = f"entry {known.index} changed it, and this change was made for entry {expected_index}; look again"
            raise Conflict("the membership", reason)
        if known.index > committed:
            raise Conflict("the membership", f"the change of entry {known.index} is under way; wait until it has ended")
        configuration = next_configuration(known.current, change)
        for node in change.promote:
            if not self._is_caught_up(node):
                reason = f"it holds entry {self._progress[node].held} of {self._log.last_index}; wait until it has all"
                raise Conflict(f"learner {node} cannot vote yet", reason)
        self.append((encode_configuration(configuration),), EntryKind.CONFIGURATION)

    def _is_caught_up(self, node: NodeId) -> bool:
        """Whether one message would bring it up to date, and it lives."""
        progress = self._progress[node]
        if self._log.term_at(progress.held) is None:
            return False  # what it lacks is compacted
        lives = self.replication.is_heard(node, self._config.election_ticks_max)
        behind = self._log.bytes_after(progress.held)
        sends = progress.is_relayed or progress.mode is Mode.REPLICATE
        return lives and sends and behind <= self._config.append_bytes_max

    def _reconfigure(self) -> None:
        """A configuration entry was appended, and is in force: follow its members, and for a while those who leave."""
        members = set(self._others())
        for node in self._leaving.keys() & members:  # it is added again, and may have lost what it held
            self._forget(node)
        self.replication.follow(sorted(members - self._progress.keys()), LogIndex(self._log.last_index + 1))
        for node in self._progress.keys() - members - self._leaving.keys():
            self._leaving[node] = self._now + self._config.election_ticks_max  # so that it hears that it is out
        for node in {*self._configuration.voting(), *self._leaving} & self._progress.keys():
            self.replication.serve(node, by_relay=False)
        self._acks_changed = True

    def _forget_leavers(self) -> None:
        if self._log.configurations.index > self._log.committed:  # they cannot hear yet that it is
            self._leaving = dict.fromkeys(self._leaving, self._now + self._config.election_ticks_max)
        for node in [node for node, until in self._leaving.items() if self._now >= until]:
            self._forget(node)

    def _forget(self, node: NodeId) -> None:
        del self._leaving[node]
        self.replication.forget(node)
        self._lease.forget(node)

    def _end_change(self) -> None:
        """The voters of both halves have committed the joint configuration: leave the old half behind.

        Whoever leads then does it, once: afterwards the configuration in force is no joint one.
        """
        known = self._log.configurations
        if known.current.is_joint and self._own_start <= self._log.committed >= known.index:
            self.append((encode_configuration(known.current.left()),), EntryKind.CONFIGURATION)

    @property
    def is_over(self) -> bool:
        """Whether this leader is no voter any more, by a change that is committed: another one has to lead."""
        outside = self._config.node not in self._configuration.voting()
        return outside and self._log.configurations.index <= self._log.committed

    def bequeath(self) -> None:
        """Tell the voter with the longest log to campaign at once."""
        heir = heir_of(self.replication.describe(), self._configuration.voters)
        assert heir is not None, "a configuration has voters, and this leader follows all of them"
        self._outbox.send(heir, TimeoutNow(term=self.term))

    # --- other --------------------------------------------------------------------------------------------------------

    def transfer(self, to: NodeId) -> None:
        """Make `to` lead: it is told to campaign once its log is complete. Given up after one election time-out."""
        others = [voter for voter in self._configuration.voters if voter != self._config.node]
        if to not in others:
            raise BadInput(f"leadership cannot go to {to}", (f"choose one of {', '.join(sorted(others)) or 'no one'}",))
        self.handover.begin(to, self._now + self._config.election_ticks_min)
        self.handover.acknowledged(to, self._progress[to].match, self._log.last_index)

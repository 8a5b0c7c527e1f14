"""The Raft state machine of one node: values in, one `Ready` out.

Knows: roles, terms, votes; when to campaign, whom to believe; that promises wait for storage.
Never: clocks (time is a tick), sockets, disks, the meaning of a command. Randomness is injected.
Holds: one vote per term, durable before anybody hears of it; the term never falls; the commit index never falls;
       `ready` hands nothing out twice.
Paper: Raft 5 and 7; dissertation 3.10 (transfer), 4.2.3 and 9.6 (pre-vote, disruptive servers), 6.2 (check-quorum),
       6.4 (reads).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aether.consensus.config import RaftConfig
from aether.consensus.elector import Elector
from aether.consensus.following import Following
from aether.consensus.leadership import Leadership
from aether.consensus.log import RaftLog
from aether.consensus.membership import MembershipChange
from aether.consensus.messages import (
    AppendEntries,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    Message,
    ReadReply,
    ReadRequest,
    Relayed,
    RelayOrder,
    RelayReport,
    SnapshotChunk,
    SnapshotReply,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)
from aether.consensus.outbox import Outbox
from aether.consensus.quorum import Configuration
from aether.consensus.reads import Read
from aether.consensus.relay import Relay
from aether.consensus.restart import check_persisted
from aether.consensus.values import Persisted, Ready, Role, SnapshotMeta, StorageWrite, StoredSnapshot
from aether.errors import NotLeader
from aether.model.ids import LogIndex, NodeId

_ANSWERS: Final = (VoteReply, AppendReply, HeartbeatReply, SnapshotReply, RelayReport)


class RaftCore(Elector):
    """One node of a consensus group.

    Its driver calls an input, then `ready()` until it gives None, carries each Ready out, and reports writes with
    `persisted` and applied entries with `applied`. Several writes may be under way at once; they become durable in
    order.
    """

    def __init__(self, config: RaftConfig, persisted: Persisted) -> None:
        """Raises BadInput when `persisted` is impossible: no correct node can have left it."""
        check_persisted(config, persisted)
        meta = persisted.snapshot.meta if persisted.snapshot else None
        founding = Configuration(config.voters)
        log = RaftLog(persisted.entries, meta, persisted.hard_state.commit, founding)
        super().__init__(config, persisted.hard_state, log, Outbox())
        self._snapshot = persisted.snapshot
        self._following = Following(
            self._log,
            self._outbox,
            config.snapshot_bytes_max,
            persisted.partial,
            leases=self._loyalty.is_promised,
        )
        self._relay: Relay | None = None  # of the term in which it was ordered
        if self.configuration.voting() == (config.node,):
            self._start_campaign(pre=True)  # nobody to wait for

    # --- read-only state ----------------------------------------------------------------------------------------------

    @property
    def commit_index(self) -> LogIndex:
        return self._log.committed

    @property
    def applied_index(self) -> LogIndex:
        return self._log.applied

    @property
    def last_index(self) -> LogIndex:
        return self._log.last_index

    @property
    def snapshot_index(self) -> LogIndex:
        """The index that the newest snapshot covers; 0 without one."""
        return self._log.snapshot_index

    @property
    def is_restoring(self) -> bool:
        """Whether a received snapshot is not with the state machine yet."""
        return self._log.restoring

    @property
    def snapshots_travelling(self) -> frozenset[StoredSnapshot]:
        """Those on their way to followers, which storage must not lose meanwhile."""
        return self._leadership.replication.snapshots_travelling if self._leadership is not None else frozenset()

    def snapshot_meta(self) -> SnapshotMeta:
        """What to call a snapshot of the state machine as it is after `applied_index`, which must not be 0."""
        term = self._log.term_at(self._log.applied)
        assert term, f"nothing is applied yet, or entry {self._log.applied} is compacted"
        index, configuration = self._log.configurations.at(self._log.applied)
        return SnapshotMeta(self._log.applied, term, configuration, index)

    # --- inputs -------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """One unit of time has passed."""
        self._log.free()
        self._loyalty.tick()
        self._writes.tick()
        if self._leadership is not None:
            # A leader whose disk hangs still answers heartbeats; the others cannot see it, so it has to go by itself.
            if self._disk_stands_still or not self._leadership.tick():
                self._become_follower(self._term, None)
            return
        if self._relay is not None:
            led = self._relay.term == self._term and self._leader is not None
            self._relay.tick(leader_lives=led and self._elapsed < self._config.election_ticks_min)
        self._wait_for_leader()

    def step(self, sender: NodeId, message: Message) -> None:
        """Take one message from `sender`, which the transport has let in.

        A node that this one does not know as a member may lead already, or ask for its vote (its configuration is
        newer), so both are heard. Its answers count for nothing.
        """
        if sender == self._config.node:
            return
        match message:
            case VoteRequest():
                self._on_vote_request(sender, message)
            case ReadRequest() | ReadReply():
                asked = self._leadership.asked if self._leadership is not None else None
                self._read_answers.step(sender, message, asked)
            case _ if isinstance(message, _ANSWERS) and not self._is_answerable(sender):
                pass
            case _:
                if message.term > self._term:
                    self._become_follower(message.term, None)
                self._step_in_term(sender, message)

    def _step_in_term(self, sender: NodeId, message: Message) -> None:
        """Its term is ours or a past one."""
        match message:
            case VoteReply():
                self._on_vote_reply(sender, message)
            case AppendEntries() | Heartbeat() | SnapshotChunk():
                self._on_leader_message(sender, sender, message)
            case Relayed():
                self._on_leader_message(message.leader, sender, message.message)
            case RelayOrder():
                self._on_relay_order(sender, message)
            case TimeoutNow():
                if message.term == self._term and self._role is Role.FOLLOWER and sender == self._leader:
                    self._start_campaign(pre=False, transfer=True)
            case AppendReply() | HeartbeatReply() | SnapshotReply():
                serving = self._leadership or self._relay
                if serving is not None and serving.term == message.term == self._term:
                    serving.take(sender, message)
            case RelayReport():
                if self._leadership is not None and message.term == self._term:
                    self._leadership.take(sender, message)
            case VoteRequest() | ReadRequest() | ReadReply():
                raise AssertionError(f"{message} is answered whatever the term")

    def _is_answerable(self, sender: NodeId) -> bool:
        """Whether a word of `sender` counts: it is a member, or this leader still tells it that it is none."""
        return self.configuration.has_member(sender) or sender in self.followers

    def _on_relay_order(self, sender: NodeId, order: RelayOrder) -> None:
        if order.term != self._term or sender != self._leader or self._leadership is not None:
            return
        if self._relay is None or self._relay.term != self._term:
            self._relay = Relay(self._config, self._term, sender, self._log, self._outbox)
        self._relay.ordered(order)

    def propose(self, payloads: Sequence[bytes]) -> None:
        """Append all of `payloads`, or none.

        Raises NotLeader (also while leadership is handed over), Overloaded when uncommitted entries fill their limit,
        BadInput when a payload is too long.
        """
        self._proposing().propose(payloads)

    def propose_change(self, change: MembershipChange, expected_index: LogIndex) -> None:
        """Change the membership, if the configuration in force is still the one of `expected_index`.

        The voters change through a joint configuration, which this or the next leader ends by itself. Raises NotLeader,
        Conflict (another change came first or is under way, or a learner lags too far to vote), BadInput.
        """
        self._proposing().propose_change(change, expected_index)

    def _proposing(self) -> Leadership:
        """What takes proposals here. Raises NotLeader, also while leadership is handed over."""
        leadership = self._leadership
        if leadership is None or leadership.handover.to is not None:
            raise NotLeader(self._config.node, leadership.handover.to if leadership else self._leader)
        return leadership

    def read_index(self, context: int) -> None:
        """Ask behind which log index a read is linearizable; `Ready.reads` or `Ready.reads_refused` names `context`.

        A follower asks its leader; when that is not answered the message is lost: ask again, with another context.
        Raises NotLeader (none is known), Overloaded.
        """
        read = Read(self._config.node, context)
        if self._leadership is not None:
            self._leadership.reads.gather(read)
        elif self._leader is not None:
            self._outbox.send(self._leader, ReadRequest(term=self._term, context=context))
        else:
            raise NotLeader(self._config.node, None)

    def transfer(self, to: NodeId) -> None:
        """Hand leadership to `to`; proposals are refused meanwhile. Raises NotLeader, BadInput (no other voter)."""
        if self._leadership is None:
            raise NotLeader(self._config.node, self._leader)
        self._leadership.transfer(to)

    def persisted(self, number: int) -> None:
        """All writes up to `number` are durable."""
        if not self._writes.acknowledged(number):
            return
        self._log.persisted(number)
        if self._leadership is not None:
            self._leadership.storage_advanced()
        self._release()

    def applied(self, index: LogIndex) -> None:
        """The state machine has applied everything up to `index`."""
        self._log.applied_to(index)

    def restored(self, snapshot: StoredSnapshot) -> None:
        """The state machine holds what `Ready.restore` named: entries behind it follow."""
        self._following.restored(snapshot)

    def snapshot_gone(self, snapshot: StoredSnapshot) -> None:
        """A chunk was ordered of a snapshot that storage does not hold (any more)."""
        if self._leadership is not None:
            self._leadership.replication.snapshot_gone(snapshot)

    def keep_from(self, index: LogIndex) -> LogIndex:
        """The first entry to keep behind a snapshot at `index`, for followers that lag."""
        return self._log.tail_from(index, self._config.entries_kept, self._config.kept_bytes_max)

    def compacted(self, snapshot: StoredSnapshot) -> None:
        """A local snapshot at or before the applied index is durable: forget the log behind it, but for a tail."""
        index = snapshot.meta.index
        if index <= self._log.snapshot_index:
            return
        self._snapshot = snapshot
        keep_from = self.keep_from(index)
        if self._leadership is not None:
            self._leadership.replication.snapshots.newest = snapshot
            keep_from = min(keep_from, self._leadership.replication.wanted_from())
        self._log.compact(index, keep_from)

    def peer_closed(self, peer: NodeId) -> None:
        """`peer` closed its connection and is not back within CLOSED_LEADER_GRACE_S. Of a leader: campaign now."""
        if self._leadership is not None:
            self._leadership.peer_closed(peer)
            return
        if self._relay is not None:
            self._relay.peer_closed(peer)
        if peer == self._leader:
            self._leader_closed()

    # --- output -------------------------------------------------------------------------------------------------------

    def ready(self) -> Ready | None:
        """What to write, send and apply now; None when there is nothing."""
        self._note_membership()
        if self._leadership is not None:
            self._leadership.advance_commit()
            self._leadership.replication.send_all()
            if self._leadership.is_over:
                self._leadership.bequeath()
                self._become_follower(self._term, None)
        if self._leadership is not None:
            for read, index in self._leadership.advance_reads():
                self._read_answers.give(read, index)
        if self._relay is not None and self._relay.term == self._term:
            self._relay.send_all()
        write = self._next_write()
        chunks = self._outbox.take_orders()
        restore = self._following.hand_to_restore(self._writes.durable)
        committed = self._log.hand_to_apply(self._config.apply_bytes_max)
        messages = self._outbox.take()
        reads, refused = self._read_answers.take()
        if not (write or messages or chunks or restore or committed or reads or refused):
            return None
        return Ready(write, messages, chunks, restore, committed, reads, refused)

    def _next_write(self) -> StorageWrite | None:
        write = self._writes.next(self._term, self._vote, self._log, self._following)
        if self._outbox.has_promises:
            self._outbox.attach(self._writes.number)  # and without a new write they rest on older ones
            self._release()
        return write

    def _release(self) -> None:
        for to, message in self._outbox.release(self._writes.durable):
            self._deliver(to, message)

    def _deliver(self, to: NodeId, message: Message) -> None:
        """A promise is safe now: send it, or take it when it is our own vote."""
        if to != self._config.node:
            self._outbox.send(to, message)
        elif isinstance(message, VoteReply) and message.term == self._term:
            self._on_vote_reply(to, message)

    # --- roles --------------------------------------------------------------------------------------------------------

    def _become_leader(self) -> None:
        self._role, self._leader = Role.LEADER, self._config.node
        self._leadership = Leadership(self._config, self._term, self._log, self._outbox, self._snapshot)

    # --- from the leader ----------------------------------------------------------------------------------------------

    def _on_leader_message(
        self, leader: NodeId, sender: NodeId, message: AppendEntries | Heartbeat | SnapshotChunk
    ) -> None:
        """sender  the leader itself or a relay; it gets the answer."""
        if message.term < self._term:
            # It leads no more and must hear so, or a node with a higher term could never take part again.
            self._outbox.send(leader, HeartbeatReply(term=self._term))
            return
        if leader == self._config.node and sender != leader:
            return  # a relay of our own, with an old list
        if self._leadership is not None:  # no `assert`: it must not pass with `python -O` either
            problem = f"{leader} also leads term {self._term}: a node lost its vote, or its id is used twice"
            raise AssertionError(problem)
        if self._role is not Role.FOLLOWER:
            self._become_follower(self._term, leader)
        self._hear(leader)
        match message:
            case AppendEntries():
                self._following.append(sender, message)
            case Heartbeat():
                self._following.heartbeat(sender, message, hangs=self._disk_stands_still)
            case SnapshotChunk():
                self._following.chunk(sender, message)
                self._snapshot = self._following.unwritten or self._snapshot

    # --- invariants ---------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Assert the invariants of roles and cursors. Cheap enough to call after every input."""
        self._log.check()
        assert (self._role is Role.LEADER) == (self._leadership is not None), f"{self._role} with {self._leadership}"
        if self._leadership is not None:
            assert self._leadership.term == self._term, f"leads {self._leadership.term} in term {self._term}"
            self._leadership.replication.check()
        if self._relay is not None:
            self._relay.check()

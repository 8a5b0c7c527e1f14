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

from aether.consensus.campaign import Campaign, outranks
from aether.consensus.config import RaftConfig
from aether.consensus.following import Following
from aether.consensus.leadership import Leadership
from aether.consensus.log import RaftLog
from aether.consensus.messages import (
    AppendEntries,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    Message,
    ReadReply,
    ReadRequest,
    SnapshotChunk,
    SnapshotReply,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)
from aether.consensus.outbox import Outbox
from aether.consensus.quorum import Configuration, Vote
from aether.consensus.reads import REFUSED, Read, ReadAnswers
from aether.consensus.restart import check_persisted
from aether.consensus.values import Persisted, Ready, Role, Snapshot, SnapshotMeta, StorageWrite
from aether.consensus.writes import WriteLedger
from aether.errors import NotLeader
from aether.model.ids import LogIndex, NodeId, Term


class RaftCore:
    """One node of a consensus group.

    Its driver calls an input, then `ready()` until it gives None, carries each Ready out, and reports writes with
    `persisted` and applied entries with `applied`. Several writes may be under way at once; they become durable in
    order.
    """

    def __init__(self, config: RaftConfig, persisted: Persisted) -> None:
        """Raises BadInput when `persisted` is impossible: no correct node can have left it."""
        check_persisted(config, persisted)
        self._config = config
        self._configuration = Configuration(config.voters)
        self._members = self._configuration.members()
        self._term = persisted.hard_state.term
        self._vote = persisted.hard_state.vote
        self._leader: NodeId | None = None
        self._role = Role.FOLLOWER
        self._snapshot = persisted.snapshot
        meta = persisted.snapshot.meta if persisted.snapshot else None
        self._log = RaftLog(persisted.entries, meta, persisted.hard_state.commit)
        self._outbox = Outbox()
        self._read_answers = ReadAnswers(config.node, self._outbox)
        self._following = Following(self._log, self._outbox, config.snapshot_bytes_max)
        self._leadership: Leadership | None = None
        self._campaign = Campaign(0, pre=True, transfer=False)
        self._writes = WriteLedger(persisted.hard_state)
        self._rest()
        if config.voters == (config.node,):
            self._start_campaign(pre=True)  # nobody to wait for

    # --- read-only state ----------------------------------------------------------------------------------------------

    @property
    def node(self) -> NodeId:
        return self._config.node

    @property
    def role(self) -> Role:
        return self._role

    @property
    def term(self) -> Term:
        return self._term

    @property
    def leader(self) -> NodeId | None:
        return self._leader

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
    def voters(self) -> tuple[NodeId, ...]:
        return self._members

    @property
    def snapshot_index(self) -> LogIndex:
        """The index that the newest snapshot covers; 0 without one."""
        return self._log.snapshot_index

    def snapshot_meta(self) -> SnapshotMeta:
        """What to call a snapshot of the state machine as it is after `applied_index`, which must not be 0."""
        term = self._log.term_at(self._log.applied)
        assert term, f"nothing is applied yet, or entry {self._log.applied} is compacted"
        return SnapshotMeta(self._log.applied, term, self._members)

    def quorum_active(self) -> bool:
        """Whether a majority answered within an election time-out (leader), or the leader was heard (others)."""
        if self._leadership is not None:
            return self._leadership.quorum_active()
        return self._leader is not None and self._elapsed < self._config.election_ticks_max

    # --- inputs -------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """One unit of time has passed."""
        if self._leadership is not None:
            if not self._leadership.tick():
                self._become_follower(self._term, None)
            return
        self._elapsed += 1
        if self._elapsed >= self._election_ticks:
            self._start_campaign(pre=True)

    def step(self, sender: NodeId, message: Message) -> None:
        """Take one message from `sender`. Messages of nodes that are no members are ignored."""
        if sender == self._config.node or sender not in self._members:
            return
        if isinstance(message, VoteRequest):
            self._on_vote_request(sender, message)
            return
        if isinstance(message, ReadRequest | ReadReply):
            self._read_answers.step(sender, message, self._leadership.asked if self._leadership is not None else None)
            return
        if message.term > self._term:
            self._become_follower(message.term, None)
        match message:
            case VoteReply():
                self._on_vote_reply(sender, message)
            case AppendEntries() | Heartbeat() | SnapshotChunk():
                self._on_leader_message(sender, message)
            case TimeoutNow():
                if message.term == self._term and self._role is Role.FOLLOWER and sender == self._leader:
                    self._start_campaign(pre=False, transfer=True)
            case AppendReply() | HeartbeatReply() | SnapshotReply():
                if self._leadership is not None and message.term == self._term:
                    self._leadership.take(sender, message)

    def propose(self, payloads: Sequence[bytes]) -> None:
        """Append all of `payloads`, or none.

        Raises NotLeader (also while leadership is handed over), Overloaded when uncommitted entries fill their limit,
        BadInput when a payload is too long.
        """
        leadership = self._leadership
        if leadership is None or leadership.transferee is not None:
            raise NotLeader(self._config.node, leadership.transferee if leadership else self._leader)
        leadership.propose(payloads)

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

    def compacted(self, snapshot: Snapshot) -> None:
        """A local snapshot at or before the applied index is durable: forget the log behind it, but for a tail."""
        index = snapshot.meta.index
        if index <= self._log.snapshot_index:
            return
        self._snapshot = snapshot
        keep_from = LogIndex(index - self._config.entries_kept + 1)
        if self._leadership is not None:
            self._leadership.snapshot = snapshot
            keep_from = min(keep_from, self._leadership.wanted_from())
        self._log.compact(index, keep_from)

    def peer_closed(self, peer: NodeId) -> None:
        """`peer` closed its connection and is not back within CLOSED_LEADER_GRACE_S. Of a leader: campaign now."""
        if self._leadership is not None:
            self._leadership.peer_closed(peer)
        elif peer == self._leader:
            self._leader = None
            self._start_campaign(pre=True)

    # --- output -------------------------------------------------------------------------------------------------------

    def ready(self) -> Ready | None:
        """What to write, send and apply now; None when there is nothing."""
        if self._leadership is not None:
            self._leadership.advance_commit()
            self._leadership.send_all()
            for read, index in self._leadership.advance_reads():
                self._read_answers.give(read, index)
        write = self._next_write()
        restore = self._following.hand_to_restore(self._writes.durable)
        committed = self._log.hand_to_apply(self._config.apply_bytes_max)
        messages = self._outbox.take()
        reads, refused = self._read_answers.take()
        if write is None and not messages and restore is None and not committed and not reads and not refused:
            return None
        return Ready(write, messages, restore, committed, reads, refused)

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

    def _become_follower(self, term: Term, leader: NodeId | None) -> None:
        if term > self._term:
            self._term, self._vote = term, None
        for read in self._leadership.reads.give_up() if self._leadership is not None else ():
            self._read_answers.give(read, REFUSED)
        self._role, self._leader, self._leadership = Role.FOLLOWER, leader, None
        self._rest()

    def _start_campaign(self, *, pre: bool, transfer: bool = False) -> None:
        """Ask for votes. A pre-vote changes neither term nor vote, so a node that was cut off disturbs nobody."""
        self._rest()
        self._leader = None
        self._campaign = Campaign(self._campaign.number + 1, pre=pre, transfer=transfer)
        if pre:
            self._role = Role.PRE_CANDIDATE
            self._ask_for_votes()
            self._count(self._config.node, granted=True)
            return
        self._role = Role.CANDIDATE
        self._term, self._vote = Term(self._term + 1), self._config.node
        # Nobody is asked before our own vote is durable: else this node could crash, forget that it led
        # this term, win it again, and fill the same indexes differently.
        self._ask_for_votes()
        own = VoteReply(term=self._term, granted=True, campaign=self._campaign.number)
        self._outbox.promise(self._config.node, own)

    def _ask_for_votes(self, *peers: NodeId) -> None:
        pre = self._campaign.pre
        term = Term(self._term + 1) if pre else self._term
        request = self._campaign.request(term, self._log.last_index, self._log.last_term)
        post = self._outbox.send if pre else self._outbox.promise
        for peer in peers or self._members:
            if peer != self._config.node:
                post(peer, request)

    def _become_leader(self) -> None:
        self._role, self._leader = Role.LEADER, self._config.node
        self._leadership = Leadership(
            self._config, self._configuration, self._term, self._log, self._outbox, self._snapshot
        )

    def _rest(self) -> None:
        config = self._config
        self._elapsed = 0  # ticks since the leader was heard, a vote was given, or a campaign began
        self._election_ticks = config.random.randrange(config.election_ticks_min, config.election_ticks_max)

    # --- votes --------------------------------------------------------------------------------------------------------

    def _on_vote_request(self, sender: NodeId, request: VoteRequest) -> None:
        # A leader that asks for votes itself has restarted: it leads no more.
        leader_lives = self._leader not in (None, sender) and (
            self._leadership is not None or self._elapsed < self._config.election_ticks_min
        )
        refused = leader_lives and not request.transfer
        if request.pre:
            granted = not refused and self._grants_pre_vote(sender, request)
            reply = VoteReply(term=self._term, granted=granted, pre=True, campaign=request.campaign)
            self._outbox.send(sender, reply)
            return
        if request.term > self._term and not refused:
            self._become_follower(request.term, None)
        granted = self._grants_vote(sender, request)
        if granted:
            self._vote = sender
            self._elapsed = 0
        reply = VoteReply(term=self._term, granted=granted, campaign=request.campaign)
        self._outbox.promise(sender, reply)

    def _grants_vote(self, sender: NodeId, request: VoteRequest) -> bool:
        if request.term != self._term:
            return False
        free = self._vote == sender or (self._vote is None and self._leader is None)
        return free and self._log.is_up_to_date(request.last_index, request.last_term)

    def _grants_pre_vote(self, sender: NodeId, request: VoteRequest) -> bool:
        if request.term <= self._term or not self._log.is_up_to_date(request.last_index, request.last_term):
            return False
        if self._role is Role.PRE_CANDIDATE:
            # Two that lost the same leader at once would split the vote: the lower one yields.
            theirs = (request.last_term, request.last_index, sender)
            ours = (self._log.last_term, self._log.last_index, self._config.node)
            if self._elapsed == 0 and outranks(ours, theirs):
                self._ask_for_votes(sender)  # it may have refused us while it still believed in the leader
                return False
            self._become_follower(self._term, None)
        return True

    def _on_vote_reply(self, sender: NodeId, reply: VoteReply) -> None:
        campaign = self._campaign
        role = Role.PRE_CANDIDATE if campaign.pre else Role.CANDIDATE
        if self._role is role and (reply.pre, reply.campaign) == (campaign.pre, campaign.number):
            self._count(sender, granted=reply.granted)

    def _count(self, voter: NodeId, *, granted: bool) -> None:
        match self._campaign.count(voter, granted, self._configuration):
            case Vote.WON if self._campaign.pre:
                self._start_campaign(pre=False)
            case Vote.WON:
                self._become_leader()
            case Vote.LOST:
                self._become_follower(self._term, None)
            case Vote.OPEN:
                pass

    # --- from the leader ----------------------------------------------------------------------------------------------

    def _on_leader_message(self, sender: NodeId, message: AppendEntries | Heartbeat | SnapshotChunk) -> None:
        if message.term < self._term:
            # It leads no more and must hear so, or a node with a higher term could never take part again.
            self._outbox.send(sender, HeartbeatReply(term=self._term))
            return
        assert self._leadership is None, (
            f"{sender} also leads term {self._term}: a node lost its vote, or its id is used twice"
        )
        if self._role is not Role.FOLLOWER:
            self._become_follower(self._term, sender)
        self._leader = sender
        self._elapsed = 0
        match message:
            case AppendEntries():
                self._following.append(sender, message)
            case Heartbeat():
                self._following.heartbeat(sender, message)
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
            self._leadership.check()

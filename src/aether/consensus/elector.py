"""Term, vote and role of one node: when to campaign, whom to grant a vote, whom to believe.

Knows: the log's end, the configuration in force, ticks since the leader was heard.
Never: entries and snapshots on their way, what a leader does (leadership).
Holds: one vote per term; the term never falls; a promise waits until storage holds what it rests on; only a voter of
       the configuration in force campaigns, and none whose disk hangs.
Paper: Raft 5.1, 5.2, 5.4.1; dissertation 4.2.3 and 9.6 (pre-vote, disruptive servers).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

from aether.consensus.campaign import Campaign, Rank, outranks
from aether.consensus.config import RaftConfig
from aether.consensus.leadership import Leadership
from aether.consensus.lease import Loyalty
from aether.consensus.log import RaftLog
from aether.consensus.messages import VoteReply, VoteRequest
from aether.consensus.outbox import Outbox
from aether.consensus.progress import FollowerState
from aether.consensus.quorum import Configuration, Vote
from aether.consensus.reads import REFUSED, ReadAnswers
from aether.consensus.values import HardState, Role
from aether.consensus.writes import WriteLedger
from aether.model.ids import LogIndex, NodeId, Term

_LEARNER_PATIENCE: Final = 4  # it hears an idle leader seldom, and nothing depends on its noticing


class Elector(ABC):
    """The part of a core that elections move. `_become_leader` is the core's."""

    def __init__(self, config: RaftConfig, hard_state: HardState, log: RaftLog, outbox: Outbox) -> None:
        self._config = config
        self._log = log
        self._outbox = outbox
        self._writes = WriteLedger(hard_state)
        self._read_answers = ReadAnswers(config.node, outbox)
        self._term = hard_state.term
        self._vote = hard_state.vote
        self._leader: NodeId | None = None
        self._role = Role.FOLLOWER
        self._leadership: Leadership | None = None
        self._campaign = Campaign(0, pre=True, transfer=False)
        self._loyalty = Loyalty(config.election_ticks_min if config.lease_reads else 0)
        self._has_claimed = False  # its priority, since a leader was heard: once is enough, or it could block all
        self._was_member = config.node in config.voters  # by a committed configuration
        self._note_membership()
        self._rest()

    # --- how it looks -------------------------------------------------------------------------------------------------

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
    def voters(self) -> tuple[NodeId, ...]:
        """Everybody who votes now, in either half of a joint configuration."""
        return self.configuration.voting()

    @property
    def configuration(self) -> Configuration:
        """The one in force: the newest that stands in the log, committed or not."""
        return self._log.configurations.current

    @property
    def configuration_index(self) -> LogIndex:
        """Of its entry; 0 for the founding one. A change is proposed against it."""
        return self._log.configurations.index

    @property
    def is_removed(self) -> bool:
        """Whether a committed change has put this node out of the group: for ever, it may stop.

        One that lags may not have come to the entry that takes it in: who never was a member is not removed.
        """
        committed = self._log.configurations.at(self._log.committed)[1]
        return self._was_member and not committed.has_member(self._config.node)

    @property
    def followers(self) -> Mapping[NodeId, FollowerState]:
        """What this node, as leader, knows of the other members; empty when it does not lead."""
        return self._leadership.replication.describe() if self._leadership is not None else {}

    def quorum_active(self) -> bool:
        """Whether a majority answered within an election time-out (leader), or the leader was heard (others)."""
        if self._leadership is not None:
            return self._leadership.quorum_active()
        return self._leader is not None and self._elapsed < self._config.election_ticks_max

    @property
    def transferee(self) -> NodeId | None:
        """Whom this leader hands over to just now."""
        return self._leadership.handover.to if self._leadership is not None else None

    @property
    def _is_promotable(self) -> bool:
        """Whether this node may lead: it votes, its disk answers, its state machine has each snapshot received.

        A candidate whose disk hangs wins nothing, not even its own vote; but others would yield to its log, and answer
        its terms with higher ones.
        One that a change puts out votes until that is committed: it may be the only one who holds the entry that says
        so, and those who stay cannot win an election without it (dissertation 4.2.2).
        """
        committed = self._log.configurations.at(self._log.committed)[1]
        votes = self._config.node in self.configuration.voting() or self._config.node in committed.voting()
        return votes and not self._log.restoring and not self._disk_hangs

    @property
    def _disk_hangs(self) -> bool:
        """Whether no vote could be made durable: a write waits as long as a follower for its leader."""
        return self._writes.waited >= self._config.election_ticks_min

    @property
    def _disk_stands_still(self) -> bool:
        """Whether this node is of no use for a majority, leading or following."""
        return self._writes.waited > self._config.election_ticks_max

    @property
    def begun_round(self) -> int:
        """The newest round of heartbeats that this leader has begun in its term; 0 when it does not lead."""
        return self._leadership.begun_round if self._leadership is not None else 0

    @property
    def leased_round(self) -> int:
        """The newest round that may carry a lease (see lease.LeaseClock); 0 for none, or when this node does not lead.

        While the driver's clock says that its lease lasts, `commit_index` is a read index.
        """
        return self._leadership.leased_round if self._leadership is not None else 0

    @abstractmethod
    def _become_leader(self) -> None: ...

    def _note_membership(self) -> None:
        """Once a member: what says so may be compacted later."""
        if not self._was_member:
            self._was_member = self._log.configurations.includes(self._config.node, self._log.committed)

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
        if not self._is_promotable:
            self._role = Role.FOLLOWER  # it cannot lead, and waits to hear of somebody who does
            return
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
        request = self._campaign.request(term, self._log.last_index, self._log.last_term, self._config.priority)
        post = self._outbox.send if pre else self._outbox.promise
        for peer in peers or self.configuration.voting():
            if peer != self._config.node:
                post(peer, request)

    def _rest(self) -> None:
        config = self._config
        self._elapsed = 0  # ticks since the leader was heard, a vote was given, or a campaign began
        least, most = config.election_ticks_min, config.election_ticks_max
        middle = least + max(1, (most - least) // 2)
        if config.priority:  # who is wished for comes first, who is not waits for the others
            least, most = (least, middle) if config.priority > 0 else (min(middle, most - 1), most)
        self._election_ticks = config.random.randrange(least, most)

    def _wait_for_leader(self) -> None:
        """One tick without a leader's word."""
        self._elapsed += 1
        patience = 1 if self._is_promotable else _LEARNER_PATIENCE
        if self._elapsed >= patience * self._election_ticks:
            self._start_campaign(pre=True)

    def _hear(self, leader: NodeId) -> None:
        """The leader of this term lives."""
        self._leader = leader
        self._elapsed = 0
        self._has_claimed = False
        self._loyalty.heard(leader)

    def _leader_closed(self) -> None:
        """The leader closed its connection and did not come back: campaign now, or when promises allow it."""
        self._leader = None
        if not self._loyalty.is_promised:
            self._start_campaign(pre=True)
            return
        # It may live, and read under a lease that the others keep. One tick more, so that theirs is over as well.
        self._election_ticks = min(self._election_ticks, self._config.election_ticks_min + 1)

    # --- votes --------------------------------------------------------------------------------------------------------

    def _on_vote_request(self, sender: NodeId, request: VoteRequest) -> None:
        # A leader that asks for votes itself has restarted: it leads no more.
        leader_lives = self._leader not in (None, sender) and (
            self._leadership is not None or self._elapsed < self._config.election_ticks_min
        )
        refused = (leader_lives or self._loyalty.refuses(sender)) and not request.transfer
        if request.pre:
            granted = not refused and self._grants_pre_vote(sender, request)
            reply = VoteReply(term=self._term, granted=granted, pre=True, campaign=request.campaign)
            self._outbox.send(sender, reply)
            return
        if request.term > self._term and not refused:
            self._become_follower(request.term, None)
        granted = not refused and self._grants_vote(sender, request)
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
        if self._disk_hangs:
            return False  # a vote that is promised now may never be given
        theirs = (request.last_term, request.last_index, request.priority, sender)
        ours = (self._log.last_term, self._log.last_index, self._config.priority, self._config.node)
        if self._claims_priority(ours, theirs):
            self._has_claimed = True
            self._start_campaign(pre=True)
            return False
        if self._role is not Role.PRE_CANDIDATE:
            return True
        # Two that lost the same leader at once would split the vote: the lower one yields. The higher one goes on; but
        # it may be one that cannot win, so after its first tick it grants as well.
        if not outranks(ours, theirs):
            self._become_follower(self._term, None)
        elif self._elapsed == 0:
            self._ask_for_votes(sender)  # it may have refused us while it still believed in the leader
            return False
        return True

    def _claims_priority(self, ours: Rank, theirs: Rank) -> bool:
        """Whether this voter asks for votes itself instead, as the more wished for of two with equal logs."""
        if self._role is not Role.FOLLOWER or self._has_claimed or not self._is_promotable:
            return False
        return ours[:2] == theirs[:2] and ours[2] > theirs[2]

    def _on_vote_reply(self, sender: NodeId, reply: VoteReply) -> None:
        campaign = self._campaign
        role = Role.PRE_CANDIDATE if campaign.pre else Role.CANDIDATE
        if reply.granted and not reply.pre and reply.term != self._term:
            return  # campaigns are numbered from 1 in each life of a node: it may answer one of an earlier life
        if self._role is role and (reply.pre, reply.campaign) == (campaign.pre, campaign.number):
            self._count(sender, granted=reply.granted)

    def _count(self, voter: NodeId, *, granted: bool) -> None:
        match self._campaign.count(voter, granted, self.configuration):
            case Vote.WON if self._campaign.pre:
                self._start_campaign(pre=False)
            case Vote.WON:
                self._become_leader()
            case Vote.LOST:
                self._become_follower(self._term, None)
            case Vote.OPEN:
                pass

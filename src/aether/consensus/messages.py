"""What consensus peers say to each other.

Knows: the fourteen messages, their fields and units.
Never: who sends what and when (core), how they are spelt (spelling).
Holds: a value of these classes is well formed.
Paper: Raft figures 2, 13 (RequestVote, AppendEntries, InstallSnapshot); dissertation 3.10 (TimeoutNow), 6.4 (reads),
       9.6 (PreVote).
"""

from __future__ import annotations

from typing import Final, TypeAlias

from attrs import field, frozen
from attrs.validators import ge

from aether.consensus.entry import Entry
from aether.consensus.quorum import Configuration
from aether.model.ids import LogIndex, NodeId, Term

_TERM = ge(Term(1))
_TERM_OR_NONE = ge(Term(0))
_INDEX = ge(LogIndex(0))
_COUNT = ge(0)

PRIORITY_MIN: Final = -1_000
PRIORITY_MAX: Final = 1_000


@frozen(kw_only=True)
class VoteRequest:
    """Candidate to voter: may I lead `term`?

    term        campaigned for; of a pre-vote the next one, which nobody adopts
    last_index  of the candidate's log; last_term  of that entry
    pre         only asks whether a vote would be given
    transfer    the old leader asked for this election, so a live leader is no reason to refuse
    campaign    counts the candidate's campaigns; the reply repeats it, so that a late one is recognised
    priority    how much the candidate is wished for as leader, among those with equal logs
    """

    term: Term = field(validator=_TERM)
    last_index: LogIndex = field(validator=_INDEX)
    last_term: Term = field(validator=_TERM_OR_NONE)
    pre: bool = False
    transfer: bool = False
    campaign: int = field(default=0, validator=_COUNT)
    priority: int = 0


@frozen(kw_only=True)
class VoteReply:
    """Voter to candidate. term  the voter's own after its decision; pre and campaign as in the request."""

    term: Term = field(validator=_TERM_OR_NONE)
    granted: bool
    pre: bool = False
    campaign: int = field(default=0, validator=_COUNT)


@frozen(kw_only=True)
class AppendEntries:
    """Leader to follower: extend your log, or (no entries) learn the commit index.

    prev_index    just before entries[0]; 0 = from the start of the log
    prev_term     of the entry at prev_index; 0 only when prev_index is 0
    entries       consecutive from prev_index + 1; together at most APPEND_BYTES_MAX bytes, or one entry
    commit_index  the leader's; the receiver commits min(this, prev_index + len(entries))
    """

    term: Term = field(validator=_TERM)
    prev_index: LogIndex = field(validator=_INDEX)
    prev_term: Term = field(validator=_TERM_OR_NONE)
    commit_index: LogIndex = field(validator=_INDEX)
    entries: tuple[Entry, ...] = ()


@frozen(kw_only=True)
class AppendReply:
    """Follower to leader.

    match_index  accepted: the log equals the leader's, durably, up to here; rejected: prev_index of the request
    hint_index, hint_term  rejected only: the last entry of the follower that may equal the leader's
    """

    term: Term = field(validator=_TERM_OR_NONE)
    match_index: LogIndex = field(validator=_INDEX)
    rejected: bool = False
    hint_index: LogIndex = field(default=LogIndex(0), validator=_INDEX)
    hint_term: Term = field(default=Term(0), validator=_TERM_OR_NONE)


@frozen(kw_only=True)
class Heartbeat:
    """Leader to follower: I still lead.

    commit_index  at most what this follower has acknowledged
    round         counts the leader's heartbeats; 0 = only tells the commit index, and wants no reply
    """

    term: Term = field(validator=_TERM)
    commit_index: LogIndex = field(validator=_INDEX)
    round: int = field(default=0, validator=_COUNT)


@frozen(kw_only=True)
class HeartbeatReply:
    """Follower to leader: heard you.

    round   as in the request; 0 from a follower that lives while its disk hangs
    leases  nobody else gets the sender's vote for a while: the leader may answer reads alone (RaftConfig.lease_reads)
    """

    term: Term = field(validator=_TERM_OR_NONE)
    round: int = field(default=0, validator=_COUNT)
    leases: bool = False


@frozen(kw_only=True)
class SnapshotChunk:
    """Leader to follower: bytes `offset` .. of the snapshot that covers the log up to `index`.

    total_bytes, checksum  of the whole snapshot; the receiver installs when it has all, and they match
    """

    term: Term = field(validator=_TERM)
    index: LogIndex = field(validator=ge(LogIndex(1)))
    snapshot_term: Term = field(validator=_TERM)
    configuration: Configuration
    configuration_index: LogIndex = field(validator=_INDEX)
    offset: int = field(validator=_COUNT)
    total_bytes: int = field(validator=_COUNT)
    checksum: int = field(validator=_COUNT)
    chunk: bytes


@frozen(kw_only=True)
class SnapshotReply:
    """Follower to leader: of the snapshot at `index` send on from byte `offset`.

    gap  a later chunk came first, so the one at `offset` is lost or late: send from there again. Said once of each
    """

    term: Term = field(validator=_TERM_OR_NONE)
    index: LogIndex = field(validator=_INDEX)
    offset: int = field(validator=_COUNT)
    gap: bool = False


@frozen(kw_only=True)
class TimeoutNow:
    """Leader to the follower that shall lead next: campaign at once."""

    term: Term = field(validator=_TERM)


@frozen(kw_only=True)
class Relayed:
    """Voter to learner: what `leader` says to you, about entries that are committed. Answers go to the sender."""

    leader: NodeId
    message: AppendEntries | Heartbeat

    @property
    def term(self) -> Term:
        """The leader's."""
        return self.message.term


@frozen(kw_only=True)
class RelayOrder:
    """Leader to voter: pass the log on to these learners, and to no others, until you hear otherwise or nothing.

    number    of the order; grows when the list changes; learners  None: those that order `number` named
    """

    term: Term = field(validator=_TERM)
    number: int = field(validator=ge(1))
    learners: tuple[NodeId, ...] | None


@frozen(kw_only=True)
class RelayReport:
    """Relay to leader, in answer to an order: how far those are whom it serves, by their places in its list.

    number  of the order that the places refer to; 0 = none is known here
    match   what each holds durably that is not `behind`; behind  place and index; silent  who does not answer
    """

    term: Term = field(validator=_TERM)
    number: int = field(validator=_COUNT)
    match: LogIndex = field(validator=_INDEX)
    behind: tuple[tuple[int, LogIndex], ...] = ()
    silent: tuple[int, ...] = ()


@frozen(kw_only=True)
class ReadRequest:
    """Follower to leader: behind which log index is a read linearizable?

    term     the asker's, while it follows the receiver; context  its own, never used twice
    """

    term: Term = field(validator=_TERM)
    context: int = field(validator=_COUNT)


@frozen(kw_only=True)
class ReadReply:
    """Leader to follower. index  committed, confirmed after the request arrived; 0 = refused: this node leads no more.

    It carries no term: the index is right whatever happened since.
    """

    context: int = field(validator=_COUNT)
    index: LogIndex = field(validator=_INDEX)


Message: TypeAlias = (
    VoteRequest
    | VoteReply
    | AppendEntries
    | AppendReply
    | Heartbeat
    | HeartbeatReply
    | SnapshotChunk
    | SnapshotReply
    | TimeoutNow
    | ReadRequest
    | ReadReply
    | Relayed
    | RelayOrder
    | RelayReport
)

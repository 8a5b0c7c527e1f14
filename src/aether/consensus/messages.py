"""What consensus peers say to each other, and how it is spelt as plain values.

Knows: the eleven messages, their fields, units and tags.
Never: who sends what and when (core), frames and lanes (room wire).
Holds: a value of these classes is well formed; whatever arrives otherwise is BadInput. Tags are never reused.
Paper: Raft figures 2, 13 (RequestVote, AppendEntries, InstallSnapshot); dissertation 3.10 (TimeoutNow), 6.4 (reads),
       9.6 (PreVote).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from attrs import field, frozen
from attrs.validators import ge

from aether.consensus.entry import Entry, EntryKind, decode_entry, encode_entry
from aether.consensus.fields import Fields, malformed
from aether.consensus.membership import configuration_of, decode_configuration, plain_configuration
from aether.consensus.quorum import Configuration
from aether.model.ids import LogIndex, Term

_TERM = ge(Term(1))
_TERM_OR_NONE = ge(Term(0))
_INDEX = ge(LogIndex(0))
_COUNT = ge(0)


@frozen(kw_only=True)
class VoteRequest:
    """Candidate to voter: may I lead `term`?

    term        campaigned for; of a pre-vote the next one, which nobody adopts
    last_index  of the candidate's log; last_term  of that entry
    pre         only asks whether a vote would be given
    transfer    the old leader asked for this election, so a live leader is no reason to refuse
    campaign    counts the candidate's campaigns; the reply repeats it, so that a late one is recognised
    """

    term: Term = field(validator=_TERM)
    last_index: LogIndex = field(validator=_INDEX)
    last_term: Term = field(validator=_TERM_OR_NONE)
    pre: bool = False
    transfer: bool = False
    campaign: int = field(default=0, validator=_COUNT)


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
    """Follower to leader: heard you. round as in the request."""

    term: Term = field(validator=_TERM_OR_NONE)
    round: int = field(default=0, validator=_COUNT)


@frozen(kw_only=True)
class SnapshotChunk:
    """Leader to follower: bytes `offset` .. of the snapshot that covers the log up to `index`.

    total_bytes  of the whole snapshot; the receiver installs when it has all
    """

    term: Term = field(validator=_TERM)
    index: LogIndex = field(validator=ge(LogIndex(1)))
    snapshot_term: Term = field(validator=_TERM)
    configuration: Configuration
    configuration_index: LogIndex = field(validator=_INDEX)
    offset: int = field(validator=_COUNT)
    total_bytes: int = field(validator=_COUNT)
    chunk: bytes


@frozen(kw_only=True)
class SnapshotReply:
    """Follower to leader: of the snapshot at `index` send on from byte `offset`."""

    term: Term = field(validator=_TERM_OR_NONE)
    index: LogIndex = field(validator=_INDEX)
    offset: int = field(validator=_COUNT)


@frozen(kw_only=True)
class TimeoutNow:
    """Leader to the follower that shall lead next: campaign at once."""

    term: Term = field(validator=_TERM)


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
)


# --- spelling ---------------------------------------------------------------------------------------------------------


def _encode_vote_request(m: VoteRequest) -> Sequence[object]:
    return (m.term, m.last_index, m.last_term, m.pre, m.transfer, m.campaign)


def _decode_vote_request(values: Sequence[object]) -> VoteRequest:
    f = Fields("VoteRequest", values, 6)
    return VoteRequest(
        term=Term(f.number(1)),
        last_index=LogIndex(f.number()),
        last_term=Term(f.number()),
        pre=f.flag(),
        transfer=f.flag(),
        campaign=f.number(),
    )


def _encode_vote_reply(m: VoteReply) -> Sequence[object]:
    return (m.term, m.granted, m.pre, m.campaign)


def _decode_vote_reply(values: Sequence[object]) -> VoteReply:
    f = Fields("VoteReply", values, 4)
    return VoteReply(term=Term(f.number()), granted=f.flag(), pre=f.flag(), campaign=f.number())


def _encode_append(m: AppendEntries) -> Sequence[object]:
    return (m.term, m.prev_index, m.prev_term, m.commit_index, [e.encoded or encode_entry(e) for e in m.entries])


def _decode_append(values: Sequence[object]) -> AppendEntries:
    f = Fields("AppendEntries", values, 5)
    term, prev_index, prev_term, commit = f.number(1), f.number(), f.number(), f.number()
    if (prev_index == 0) != (prev_term == 0) or prev_term > term:
        raise malformed("AppendEntries", f"prev_index {prev_index} with prev_term {prev_term} in term {term}")
    entries: list[Entry] = []
    index, last_term = prev_index, max(prev_term, 1)
    for raw in f.sequence():
        if type(raw) is not bytes:
            raise malformed("AppendEntries", f"an entry is {type(raw).__name__}, bytes expected")
        entry = decode_entry(raw)
        index += 1
        if entry.index != index or not last_term <= entry.term <= term:
            raise malformed("AppendEntries", f"entry {entry.index} of term {entry.term} stands at {index}, term {term}")
        if entry.kind is EntryKind.CONFIGURATION:
            decode_configuration(entry.payload)  # refused here, where the sender can be blamed
        last_term = entry.term
        entries.append(entry)
    return AppendEntries(
        term=Term(term),
        prev_index=LogIndex(prev_index),
        prev_term=Term(prev_term),
        commit_index=LogIndex(commit),
        entries=tuple(entries),
    )


def _encode_append_reply(m: AppendReply) -> Sequence[object]:
    return (m.term, m.match_index, m.rejected, m.hint_index, m.hint_term)


def _decode_append_reply(values: Sequence[object]) -> AppendReply:
    f = Fields("AppendReply", values, 5)
    return AppendReply(
        term=Term(f.number()),
        match_index=LogIndex(f.number()),
        rejected=f.flag(),
        hint_index=LogIndex(f.number()),
        hint_term=Term(f.number()),
    )


def _encode_heartbeat(m: Heartbeat) -> Sequence[object]:
    return (m.term, m.commit_index, m.round)


def _decode_heartbeat(values: Sequence[object]) -> Heartbeat:
    f = Fields("Heartbeat", values, 3)
    return Heartbeat(term=Term(f.number(1)), commit_index=LogIndex(f.number()), round=f.number())


def _encode_heartbeat_reply(m: HeartbeatReply) -> Sequence[object]:
    return (m.term, m.round)


def _decode_heartbeat_reply(values: Sequence[object]) -> HeartbeatReply:
    f = Fields("HeartbeatReply", values, 2)
    return HeartbeatReply(term=Term(f.number()), round=f.number())


def _encode_chunk(m: SnapshotChunk) -> Sequence[object]:
    configuration = plain_configuration(m.configuration)
    return (m.term, m.index, m.snapshot_term, configuration, m.configuration_index, m.offset, m.total_bytes, m.chunk)


def _decode_chunk(values: Sequence[object]) -> SnapshotChunk:
    f = Fields("SnapshotChunk", values, 8)
    term, index, snapshot_term = f.number(1), f.number(1), f.number(1)
    configuration, configuration_index = configuration_of(f.sequence()), f.number()
    if not configuration.voters or configuration_index > index:
        raise malformed("SnapshotChunk", f"configuration {configuration_index} of snapshot {index}: {configuration}")
    offset, total_bytes, chunk = f.number(), f.number(), f.binary()
    if snapshot_term > term or offset + len(chunk) > total_bytes:
        raise malformed(
            "SnapshotChunk", f"{len(chunk)} bytes at {offset} of {total_bytes}, term {snapshot_term} in {term}"
        )
    return SnapshotChunk(
        term=Term(term),
        index=LogIndex(index),
        snapshot_term=Term(snapshot_term),
        configuration=configuration,
        configuration_index=LogIndex(configuration_index),
        offset=offset,
        total_bytes=total_bytes,
        chunk=chunk,
    )


def _encode_snapshot_reply(m: SnapshotReply) -> Sequence[object]:
    return (m.term, m.index, m.offset)


def _decode_snapshot_reply(values: Sequence[object]) -> SnapshotReply:
    f = Fields("SnapshotReply", values, 3)
    return SnapshotReply(term=Term(f.number()), index=LogIndex(f.number()), offset=f.number())


def _encode_timeout_now(m: TimeoutNow) -> Sequence[object]:
    return (m.term,)


def _decode_timeout_now(values: Sequence[object]) -> TimeoutNow:
    return TimeoutNow(term=Term(Fields("TimeoutNow", values, 1).number(1)))


def _encode_read_request(m: ReadRequest) -> Sequence[object]:
    return (m.term, m.context)


def _decode_read_request(values: Sequence[object]) -> ReadRequest:
    f = Fields("ReadRequest", values, 2)
    return ReadRequest(term=Term(f.number(1)), context=f.number())


def _encode_read_reply(m: ReadReply) -> Sequence[object]:
    return (m.context, m.index)


def _decode_read_reply(values: Sequence[object]) -> ReadReply:
    f = Fields("ReadReply", values, 2)
    return ReadReply(context=f.number(), index=LogIndex(f.number()))


Encode: TypeAlias = Callable[[Any], Sequence[object]]
Decode: TypeAlias = Callable[[Sequence[object]], Message]

MESSAGES: Final[Mapping[int, tuple[type[Message], Encode, Decode]]] = {
    1: (VoteRequest, _encode_vote_request, _decode_vote_request),
    2: (VoteReply, _encode_vote_reply, _decode_vote_reply),
    3: (AppendEntries, _encode_append, _decode_append),
    4: (AppendReply, _encode_append_reply, _decode_append_reply),
    5: (Heartbeat, _encode_heartbeat, _decode_heartbeat),
    6: (HeartbeatReply, _encode_heartbeat_reply, _decode_heartbeat_reply),
    7: (SnapshotChunk, _encode_chunk, _decode_chunk),
    8: (SnapshotReply, _encode_snapshot_reply, _decode_snapshot_reply),
    9: (TimeoutNow, _encode_timeout_now, _decode_timeout_now),
    10: (ReadRequest, _encode_read_request, _decode_read_request),
    11: (ReadReply, _encode_read_reply, _decode_read_reply),
}
"""tag -> (class, encode to plain msgpack values, decode: BadInput when malformed). Tags 1 to 19 belong to consensus."""

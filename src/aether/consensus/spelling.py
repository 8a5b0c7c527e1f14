"""Messages as plain values, and back.

Knows: each message's tag and the order of its fields.
Never: who sends what and when (core), frames and lanes (room wire).
Holds: whatever arrives malformed is BadInput. Tags are never reused. A field that came later is spelt only where it
       differs from its default: a group that does not use it speaks as before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from aether.consensus.entry import Entry, EntryKind, decode_entry, encode_entry
from aether.consensus.fields import Fields, malformed
from aether.consensus.membership import configuration_of, decode_configuration, names_of, plain_configuration
from aether.consensus.messages import (
    PRIORITY_MIN,
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
from aether.model.ids import LogIndex, Term


def _encode_vote_request(m: VoteRequest) -> Sequence[object]:
    plain = (m.term, m.last_index, m.last_term, m.pre, m.transfer, m.campaign)
    return (*plain, m.priority) if m.priority else plain


def _decode_vote_request(values: Sequence[object]) -> VoteRequest:
    f = Fields("VoteRequest", values, 7 if len(values) == 7 else 6)
    return VoteRequest(
        term=Term(f.number(1)),
        last_index=LogIndex(f.number()),
        last_term=Term(f.number()),
        pre=f.flag(),
        transfer=f.flag(),
        campaign=f.number(),
        priority=f.number(PRIORITY_MIN) if len(values) == 7 else 0,
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
    index, last_term, configuration = prev_index, max(prev_term, 1), EntryKind.CONFIGURATION
    for raw in f.sequence():
        if type(raw) is not bytes:
            raise malformed("AppendEntries", f"an entry is {type(raw).__name__}, bytes expected")
        entry = decode_entry(raw)
        index += 1
        at, of_term, kind, payload, _ = entry
        if at != index or not last_term <= of_term <= term:
            raise malformed("AppendEntries", f"entry {at} of term {of_term} stands at {index}, term {term}")
        if kind is configuration:
            decode_configuration(payload)  # refused here, where the sender can be blamed
        last_term = of_term
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
    return (m.term, m.round, True) if m.leases else (m.term, m.round)


def _decode_heartbeat_reply(values: Sequence[object]) -> HeartbeatReply:
    f = Fields("HeartbeatReply", values, 3 if len(values) == 3 else 2)
    return HeartbeatReply(term=Term(f.number()), round=f.number(), leases=f.flag() if len(values) == 3 else False)


def _encode_chunk(m: SnapshotChunk) -> Sequence[object]:
    configuration = plain_configuration(m.configuration)
    covers = (m.term, m.index, m.snapshot_term, configuration, m.configuration_index)
    return (*covers, m.offset, m.total_bytes, m.checksum, m.chunk)


def _decode_chunk(values: Sequence[object]) -> SnapshotChunk:
    f = Fields("SnapshotChunk", values, 9)
    term, index, snapshot_term = f.number(1), f.number(1), f.number(1)
    configuration, configuration_index = configuration_of(f.sequence()), f.number()
    if not configuration.voters or configuration_index > index:
        raise malformed("SnapshotChunk", f"configuration {configuration_index} of snapshot {index}: {configuration}")
    offset, total_bytes, checksum, chunk = f.number(), f.number(), f.number(), f.binary()
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
        checksum=checksum,
        chunk=chunk,
    )


def _encode_snapshot_reply(m: SnapshotReply) -> Sequence[object]:
    return (m.term, m.index, m.offset, True) if m.gap else (m.term, m.index, m.offset)


def _decode_snapshot_reply(values: Sequence[object]) -> SnapshotReply:
    gap = len(values) == 4
    f = Fields("SnapshotReply", values, 4 if gap else 3)
    return SnapshotReply(
        term=Term(f.number()), index=LogIndex(f.number()), offset=f.number(), gap=f.flag() if gap else False
    )


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


def _encode_relayed(m: Relayed) -> Sequence[object]:
    if isinstance(m.message, Heartbeat):
        return (m.leader, 5, _encode_heartbeat(m.message))
    return (m.leader, 3, _encode_append(m.message))


def _decode_relayed(values: Sequence[object]) -> Relayed:
    f = Fields("Relayed", values, 3)
    leader, tag, inner = f.name(), f.number(), f.sequence()
    if tag not in _PASSED_ON:
        raise malformed("Relayed", f"a message of kind {tag} is not passed on")
    return Relayed(leader=leader, message=_PASSED_ON[tag](inner))


_PASSED_ON: Final[Mapping[int, Callable[[Sequence[object]], AppendEntries | Heartbeat]]] = {
    3: _decode_append,
    5: _decode_heartbeat,
}


def _encode_relay_order(m: RelayOrder) -> Sequence[object]:
    return (m.term, m.number, m.learners is not None, m.learners or ())


def _decode_relay_order(values: Sequence[object]) -> RelayOrder:
    f = Fields("RelayOrder", values, 4)
    term, number, named, learners = Term(f.number(1)), f.number(1), f.flag(), names_of(f.sequence())
    return RelayOrder(term=term, number=number, learners=learners if named else None)


def _encode_relay_report(m: RelayReport) -> Sequence[object]:
    return (m.term, m.number, m.match, [number for pair in m.behind for number in pair], m.silent)


def _decode_relay_report(values: Sequence[object]) -> RelayReport:
    f = Fields("RelayReport", values, 5)
    term, number, match = Term(f.number(1)), f.number(), LogIndex(f.number())
    behind, silent = f.numbers(), f.numbers()
    if len(behind) % 2:
        raise malformed("RelayReport", "a place without an index")
    pairs = zip(behind[::2], map(LogIndex, behind[1::2]), strict=True)
    return RelayReport(term=term, number=number, match=match, behind=tuple(pairs), silent=silent)


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
    12: (Relayed, _encode_relayed, _decode_relayed),
    14: (RelayOrder, _encode_relay_order, _decode_relay_order),
    15: (RelayReport, _encode_relay_report, _decode_relay_report),
}
"""tag -> (class, encode to plain msgpack values, decode: BadInput when malformed). Tags 1 to 19 belong to consensus.

13 was an order without a number; no tag is used twice."""

"""How messages are spelt: golden bytes, and refusal of everything else."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.consensus.entry import Entry, EntryKind, decode_entry, encode_entry, new_entry
from aether.consensus.messages import (
    AppendEntries,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
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
from aether.consensus.quorum import Configuration
from aether.consensus.spelling import MESSAGES
from aether.errors import BadInput

ENTRY = new_entry(8, 2, EntryKind.COMMAND, b"x")

GOLDEN = [
    (1, VoteRequest(term=3, last_index=7, last_term=2, pre=True, campaign=5), "96030702c3c205"),
    (2, VoteReply(term=3, granted=True, campaign=5), "9403c3c205"),
    (
        3,
        AppendEntries(term=3, prev_index=7, prev_term=2, commit_index=6, entries=(ENTRY,)),
        "950307020691c40794080200c40178",
    ),
    (4, AppendReply(term=3, match_index=7, rejected=True, hint_index=5, hint_term=1), "950307c30501"),
    (5, Heartbeat(term=3, commit_index=6, round=9), "93030609"),
    (6, HeartbeatReply(term=3, round=9), "920309"),
    (
        7,
        SnapshotChunk(
            term=3,
            index=9,
            snapshot_term=2,
            configuration=Configuration(("a", "b")),
            configuration_index=1,
            offset=0,
            total_bytes=4,
            checksum=7,
            chunk=b"ab",
        ),
        "990309029492a161a16290909001000407c4026162",
    ),
    (8, SnapshotReply(term=3, index=9, offset=2), "93030902"),
    (9, TimeoutNow(term=3), "9103"),
    (10, ReadRequest(term=3, context=2**61), "9203cf2000000000000000"),
    (11, ReadReply(context=2**61, index=7), "92cf200000000000000007"),
    (12, Relayed(leader="a", message=Heartbeat(term=3, commit_index=6, round=9)), "93a1610593030609"),
    (14, RelayOrder(term=3, number=2, learners=("d", "e")), "940302c392a164a165"),
    (15, RelayReport(term=3, number=2, match=7, behind=((1, 5),), silent=(0,)), "950302079201059100"),
]


@pytest.mark.parametrize(("tag", "message", "golden"), GOLDEN, ids=lambda v: type(v).__name__)
def test_a_message_keeps_its_tag_and_its_bytes_for_ever(tag, message, golden):
    """Nodes of two versions talk to each other during an update: a changed spelling would split the cluster."""
    cls, encode, decode = MESSAGES[tag]
    assert type(message) is cls
    raw = msgpack.packb(encode(message))
    assert raw.hex() == golden
    assert decode(msgpack.unpackb(raw)) == message


def test_every_message_has_a_golden_spelling():
    """A new message without one could change unseen."""
    assert [tag for tag, _, _ in GOLDEN] == list(MESSAGES)
    assert all(1 <= tag <= 19 for tag in MESSAGES)


@pytest.mark.parametrize(
    ("tag", "message", "golden"),
    [
        (1, VoteRequest(term=3, last_index=7, last_term=2, priority=-9), "97030702c2c200f7"),
        (6, HeartbeatReply(term=3, round=9, leases=True), "930309c3"),
        (8, SnapshotReply(term=3, index=9, offset=2, gap=True), "94030902c3"),
    ],
)
def test_a_field_that_came_later_is_spelt_only_where_it_is_used(tag, message, golden):
    """A group that uses neither leases nor priorities talks to nodes that know of neither."""
    _, encode, decode = MESSAGES[tag]
    raw = msgpack.packb(encode(message))
    assert raw.hex() == golden
    assert decode(msgpack.unpackb(raw)) == message


def broken(tag):
    """Every field of the golden message replaced by what it must not be."""
    message = next(message for number, message, _ in GOLDEN if number == tag)
    good = list(MESSAGES[tag][1](message))
    yield []
    yield [*good, "more"]
    yield [*good, 1, 1]
    yield good[:-1]
    for position, value in enumerate(good):
        for bad in (None, -1, "1", 1.5, 2**63, [[1]], {"a": 1}, b"", not value if isinstance(value, int) else 7):
            if bad == b"" and isinstance(value, bytes):
                continue
            if type(bad) is type(value) and bad != -1 and bad != 2**63:
                continue
            yield [*good[:position], bad, *good[position + 1 :]]


@pytest.mark.parametrize("tag", MESSAGES)
def test_a_field_of_the_wrong_type_or_range_is_refused(tag):
    """A peer may be broken or hostile: nothing but BadInput may come of it."""
    cases = list(broken(tag))
    assert len(cases) > 8
    for values in cases:
        with pytest.raises(BadInput, match="malformed"):
            MESSAGES[tag][2](values)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([3, 0, 2, 0, []], "prev_index 0 with prev_term 2"),
        ([3, 7, 0, 0, []], "prev_index 7 with prev_term 0"),
        ([3, 7, 4, 0, []], "prev_term 4 in term 3"),
        ([3, 7, 2, 0, [encode_entry(Entry(9, 2, EntryKind.COMMAND, b""))]], "entry 9 of term 2 stands at 8"),
        ([3, 7, 2, 0, [encode_entry(Entry(8, 1, EntryKind.COMMAND, b""))]], "entry 8 of term 1 stands at 8"),
        ([3, 7, 2, 0, [encode_entry(Entry(8, 4, EntryKind.COMMAND, b""))]], "entry 8 of term 4"),
        ([3, 7, 2, 0, ["text"]], "bytes expected"),
        ([3, 7, 2, 0, [b"\x94\x08\x02\x09\xc4\x00"]], "kind 9 is unknown"),
        ([3, 7, 2, 0, [b"\xc1"]], "malformed log entry"),
    ],
)
def test_entries_that_do_not_follow_each_other_are_refused(values, why):
    """The core trusts that an append is consecutive and that terms never fall: this is where it is made true."""
    with pytest.raises(BadInput, match=why):
        MESSAGES[3][2](values)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([3, 9, 2, [[], [], [], []], 0, 0, 4, 7, b"ab"], "configuration"),
        ([3, 9, 2, [["a", "a"], [], [], []], 0, 0, 4, 7, b"ab"], "each once"),
        ([3, 9, 2, [["-"], [], [], []], 0, 0, 4, 7, b"ab"], "no node ids"),
        ([3, 9, 4, [["a"], [], [], []], 0, 0, 4, 7, b"ab"], "term 4 in 3"),
        ([3, 9, 2, [["a"], [], [], []], 0, 3, 4, 7, b"ab"], "2 bytes at 3 of 4"),
    ],
)
def test_a_snapshot_chunk_that_contradicts_itself_is_refused(values, why):
    """A chunk past the end or without voters could only be installed wrongly."""
    with pytest.raises(BadInput, match=why):
        MESSAGES[7][2](values)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.binary(max_size=8), st.lists))
@settings(max_examples=200)
def test_b31_no_plain_values_break_a_decoder(values):
    """Fuzz: whatever msgpack can carry gives a message or BadInput."""
    for _, _, decode in MESSAGES.values():
        try:
            decode(values if isinstance(values, list) else [values])
        except BadInput:
            continue


@given(st.integers(1, 2**40), st.integers(1, 2**40), st.sampled_from(EntryKind), st.binary(max_size=64))
@settings(max_examples=100)
def test_an_entry_survives_its_encoding_and_keeps_it(index, term, kind, payload):
    """Encoded once: the same bytes go to the disk and to every peer."""
    entry = new_entry(index, term, kind, payload)
    decoded = decode_entry(entry.encoded)
    assert decoded == entry == Entry(index, term, kind, payload)
    assert decoded.encoded == encode_entry(Entry(index, term, kind, payload))
    assert hash(decoded) == hash(Entry(index, term, kind, payload))


@given(st.binary(max_size=40))
@settings(max_examples=200)
def test_random_bytes_are_an_entry_or_bad_input(raw):
    """Entries arrive from peers and from disks."""
    try:
        entry = decode_entry(raw)
    except BadInput:
        return
    assert entry.encoded == raw


def test_an_order_that_repeats_another_names_nobody():
    """An empty list would mean: serve nobody."""
    _, encode, decode = MESSAGES[14]
    for learners in (None, (), ("d",)):
        order = RelayOrder(term=3, number=2, learners=learners)
        assert decode(msgpack.unpackb(msgpack.packb(encode(order)))) == order


@pytest.mark.parametrize("plain", [(3, 2, 7, [1], []), (3, 2, 7, [1, True], []), (3, 2, 7, [], ["a"]), (3, 2, 7, [])])
def test_a_malformed_report_is_refused(plain):
    """A relay may be broken."""
    with pytest.raises(BadInput):
        MESSAGES[15][2](plain)

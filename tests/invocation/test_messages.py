"""The three messages of a call survive the wire, and hostile ones are refused."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.invocation.hops import CHILDREN_MAX, DEPTH_MAX, Hop, decode_hop, describe, encode_hop, path_text
from aether.invocation.messages import MESSAGES, CallCancel, CallReply, CallRequest
from aether.invocation.reply import Abandoned, Done, Failed, Faulted, Form, NotStarted, TimedOut
from aether.invocation.stream_messages import (
    StreamCredit,
    StreamEnd,
    StreamItem,
    StreamOpened,
    StreamRequest,
    StreamStop,
)
from aether.model.ids import InstanceId
from aether.model.limits import STREAM_INPUTS_MAX
from aether.slice_api.faults import FaultPlain

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
TEXT = st.text(max_size=8)
SECONDS = st.floats(0, 1e6)
HOPS = st.recursive(
    st.builds(Hop, TEXT, SECONDS, st.booleans()),
    lambda inner: st.builds(Hop, TEXT, SECONDS, st.booleans(), st.lists(inner, max_size=2).map(tuple)),
    max_leaves=5,
)
OUTCOMES = st.one_of(
    st.builds(Done, PLAIN),
    st.builds(
        Faulted,
        st.builds(FaultPlain, TEXT, st.integers(400, 599), TEXT, TEXT, st.dictionaries(TEXT, PLAIN, max_size=2)),
    ),
    st.builds(Failed, kind=TEXT, message=TEXT, traceback=TEXT, slice=TEXT, instance=TEXT, attempt=st.integers(1, 9)),
    st.builds(NotStarted, TEXT, st.integers(0, 9)),
    st.builds(TimedOut, HOPS),
    st.builds(Abandoned, TEXT),
)
COUNTS = st.integers(0, 60_000)
CALL_IDS = st.integers(0, 2**63)
ALL = st.one_of(
    st.builds(
        CallRequest,
        CALL_IDS,
        TEXT,
        TEXT.map(InstanceId),
        TEXT,
        st.sampled_from(Form),
        SECONDS,
        PLAIN,
        st.integers(1, 9),
        st.dictionaries(TEXT, PLAIN, max_size=3),
    ),
    st.builds(CallReply, CALL_IDS, OUTCOMES),
    st.builds(CallCancel, CALL_IDS, TEXT),
    st.builds(
        StreamRequest,
        CALL_IDS,
        TEXT,
        TEXT.map(InstanceId),
        TEXT,
        st.sampled_from(Form),
        SECONDS | st.just(float("inf")),
        PLAIN,
        st.integers(1, 9),
        COUNTS,
        COUNTS,
        st.dictionaries(TEXT, PLAIN, max_size=STREAM_INPUTS_MAX),
        st.dictionaries(TEXT, PLAIN, max_size=3),
    ),
    st.builds(StreamOpened, CALL_IDS, COUNTS, COUNTS, PLAIN),
    st.builds(StreamItem, CALL_IDS, COUNTS, COUNTS, st.binary(max_size=9)),
    st.builds(StreamCredit, CALL_IDS, COUNTS, COUNTS, COUNTS),
    st.builds(StreamEnd, CALL_IDS, COUNTS, COUNTS, OUTCOMES),
    st.builds(StreamStop, CALL_IDS, COUNTS, TEXT),
)
SPECS = {spec.cls: spec for spec in MESSAGES}


@given(ALL)
def test_a_message_arrives_as_it_was_sent(message):
    spec = SPECS[type(message)]

    assert spec.decode(msgpack.unpackb(msgpack.packb(spec.encode(message)))) == message


@given(st.sampled_from(MESSAGES), st.lists(PLAIN, max_size=9))
def test_fields_that_do_not_fit_are_bad_input_and_nothing_else(spec, fields):
    """Any other exception would end the connection's reader with a traceback that blames us."""
    try:
        spec.decode(fields)
    except BadInput:
        return


GOLDEN = [
    (
        67,
        StreamRequest(
            1,
            "g:a",
            InstanceId("i"),
            "m",
            Form.WIRE,
            2.0,
            {"x": 1},
            1,
            1024,
            1048576,
            {"numbers": None},
            {"prio": "high"},
        ),
        (
            "9c01a3673a61a169a16da477697265cb400000000000000081a1780101cd0400ce0010000081"
            "a76e756d62657273c081a47072696fa468696768"
        ),
    ),
    (68, StreamOpened(1, 1024, 1048576), "9401cd0400ce00100000c0"),
    (69, StreamItem(1, 0, 2, b"\x03"), "94010002c40103"),
    (70, StreamCredit(1, 0, 1536, 1048576), "940100cd0600ce00100000"),
    (71, StreamEnd(1, 0, 3, Done(None)), "9401000392a4646f6e65c0"),
    (72, StreamStop(1, 0, "left"), "930100a46c656674"),
]


@pytest.mark.parametrize(("tag", "message", "golden"), GOLDEN, ids=lambda v: type(v).__name__)
def test_a_message_of_a_stream_keeps_its_tag_and_its_bytes_for_ever(tag, message, golden):
    """Nodes of two versions talk to each other while one after the other is updated."""
    spec = SPECS[type(message)]

    assert spec.tag == tag
    assert msgpack.packb(spec.encode(message)).hex() == golden
    assert spec.decode(msgpack.unpackb(bytes.fromhex(golden))) == message


@pytest.mark.parametrize("spec", MESSAGES, ids=lambda spec: spec.cls.__name__)
def test_no_fields_are_refused(spec):
    with pytest.raises(BadInput):
        spec.decode([])


def test_a_hop_tree_is_cut_to_its_bounds():
    """A slice that makes ten thousand calls must not make its time-out reply larger than a frame."""
    wide = Hop("wide", 1.0, True, tuple(Hop(f"c{n}", 0.1) for n in range(10 * CHILDREN_MAX)))
    deep = Hop("leaf", 0.1)
    for _ in range(3 * DEPTH_MAX):
        deep = Hop("level", 0.1, False, (deep,))

    assert len(decode_hop(encode_hop(wide)).children) == CHILDREN_MAX
    decode_hop(encode_hop(deep))
    plain: object = ["leaf", 0.1, False, []]
    for _ in range(DEPTH_MAX):
        plain = ["level", 0.1, False, [plain]]
    with pytest.raises(BadInput):
        decode_hop(plain)


def test_a_time_out_says_in_one_line_where_the_time_went():
    """The line that a user sees first; only the innermost running hop is marked."""
    hops = Hop("Order.place", 1.0, True, (Hop("Stock.take", 0.3), Hop("Price.quote", 0.7, True)))

    assert path_text(hops) == "Order.place 1.00 s / Price.quote 0.70 s <- still running"
    assert describe(hops).splitlines() == [
        "Order.place 1.00 s",
        "  Stock.take 0.30 s",
        "  Price.quote 0.70 s <- still running",
    ]

"""The message table: tags stand for one class for ever, and hostile payloads become BadInput."""

import tracemalloc

import attrs
import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.model.limits import FRAME_BYTES_MAX, REQUEST_ID_CHARS_MAX
from aether.wire.frames import FrameTooLarge
from aether.wire.lane import Lane
from aether.wire.table import MessageTable, Unknown


@attrs.frozen
class Note:
    text: str
    count: int


@attrs.frozen
class Other:
    value: object


def decode_note(fields) -> Note:
    text, count = fields
    if type(text) is not str or type(count) is not int:
        raise ValueError(f"text {text!r}, count {count!r}")
    return Note(text, count)


@pytest.fixture
def table() -> MessageTable:
    table = MessageTable()
    table.register(7, Note, Lane.CALLS, lambda m: (m.text, m.count), decode_note)
    return table


def test_a_message_and_its_request_id_survive(table):
    """The request id is what ties the log lines of two nodes together."""
    lane, payload = table.encode(Note("hé", 3), "req-1")

    assert lane is Lane.CALLS
    assert table.decode(payload) == (Note("hé", 3), "req-1")


def test_a_message_of_a_newer_release_is_unknown_and_not_malformed(table):
    """Both releases share a cluster while it is upgraded, and the newer one has more to say."""
    assert table.decode(msgpack.packb([99, "r", ["whatever", 1, None]])) == (Unknown(99), "r")


def test_a_tag_is_never_given_twice(table):
    """Two classes under one tag would be read as each other."""
    with pytest.raises(ValueError, match="tag 7 is taken by Note; give Other another"):
        table.register(7, Other, Lane.BULK, lambda m: (m.value,), lambda f: Other(f[0]))


def test_a_class_has_one_tag(table):
    """Which of two would be sent?"""
    with pytest.raises(ValueError, match="Note has tag 7 already"):
        table.register(8, Note, Lane.BULK, lambda m: (), decode_note)


@pytest.mark.parametrize("tag", [-1, 0x10000])
def test_a_tag_outside_its_range_is_refused(table, tag):
    """The range is part of the format."""
    with pytest.raises(ValueError, match="outside"):
        table.register(tag, Other, Lane.BULK, lambda m: (), lambda f: Other(0))


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "malformed message"),
        (b"\xc1", "malformed message"),
        (msgpack.packb([7, "r", ["a", 1]]) + b"x", "malformed message"),
        (msgpack.packb({"tag": 7}), "malformed message"),
        (msgpack.packb([7, "r"]), "malformed message"),
        (msgpack.packb("abc"), "envelope"),
        (msgpack.packb([True, "r", ["a", 1]]), "envelope"),
        (msgpack.packb([7, 1, ["a", 1]]), "envelope"),
        (msgpack.packb([7, "r", {"a": 1}]), "envelope"),
        (msgpack.packb([7, "r" * (REQUEST_ID_CHARS_MAX + 1), ["a", 1]]), "request id of 129 characters"),
        (msgpack.packb([-1, "r", []]), "a message tag of -1"),
        (msgpack.packb([0x10000, "r", []]), "a message tag of 65536"),
        (msgpack.packb([7, "r", ["a"]]), "malformed Note"),
        (msgpack.packb([7, "r", ["a", "b"]]), "malformed Note: text 'a', count 'b'"),
        (msgpack.packb([7, "r", [msgpack.Timestamp(1), 1]]), "malformed message"),
        (msgpack.packb([7, "r", [msgpack.ExtType(5, b"abc"), 1]]), "malformed message"),
        (msgpack.packb([7, "r", [{1: 2}, 1]]), "malformed message"),
        (b"\xdd\xff\xff\xff\xff", "malformed message"),
        (b"\x91" * 5000, "malformed message"),
    ],
)
def test_a_bad_payload_is_bad_input_that_says_why(table, payload, message):
    """The reader ends the connection with this text; nothing else may come out."""
    with pytest.raises(BadInput, match=message):
        table.decode(payload)


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats()
        | st.text(max_size=5)
        | st.binary(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | st.integers(0, 5), inner, max_size=3)
        ),
        max_leaves=8,
    ).map(lambda v: msgpack.packb([7, "", v]))
)
@settings(max_examples=300, deadline=None)
def test_hostile_payloads_raise_bad_input_or_decode(payload):
    """A peer may send anything."""
    table = MessageTable()
    table.register(7, Note, Lane.CALLS, lambda m: (m.text, m.count), decode_note)
    try:
        message, request_id = table.decode(payload)
    except BadInput:
        return
    assert isinstance(message, Note)
    assert request_id == ""


def test_a_decoder_that_trips_over_its_fields_is_bad_input_too():
    """A decoder reads what a stranger wrote: indexing, attributes and arithmetic may all fail on it."""
    table = MessageTable()

    def careless(fields) -> Other:
        return Other(fields[0].name[fields[1]] / fields[2])

    table.register(1, Other, Lane.CALLS, lambda m: (m.value,), careless)
    for fields in ([], [1], [None, 1, 0]):
        with pytest.raises(BadInput, match="malformed Other"):
            table.decode(msgpack.packb([1, "", fields]))


def test_a_message_too_long_for_a_frame_is_refused_at_the_sender(table):
    """The caller learns that its arguments are too large, instead of losing the connection."""
    with pytest.raises(FrameTooLarge, match=f"limit of {FRAME_BYTES_MAX}"):
        table.encode(Note("x" * FRAME_BYTES_MAX, 1), "")


def test_nested_announcements_do_not_allocate_what_they_announce():
    """Each level may announce an array as long as the payload; 500 levels of it must not become gigabytes."""
    size = 200_000
    bomb = (b"\xdd" + size.to_bytes(4, "big")) * 400
    bomb += b"\xc0" * (size - len(bomb))
    tracemalloc.start()
    try:
        with pytest.raises(BadInput):
            MessageTable().decode(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 64 * 2**20  # msgpack reserves at most 80 kB for each of at most 512 levels

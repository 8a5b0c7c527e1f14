"""Commands: one encoding, with limits on both sides."""

import contextlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.kv import keys
from aether.kv.commands import (
    STAMP_BYTES,
    Apply,
    Batch,
    Compare,
    Delete,
    EndSession,
    OpenSession,
    Put,
    decode_command,
    decode_payload,
    encode_command,
    plain_batch,
    stamped,
)
from aether.model.limits import BATCH_OPERATIONS_MAX, KEY_BYTES_MAX, PROPOSAL_BYTES_MAX, VALUE_BYTES_MAX

COUNTS = st.integers(0, 2**63 - 1)
TEXTS = st.text(st.characters(max_codepoint=126, min_codepoint=33), min_size=1, max_size=12)
COMMANDS = st.one_of(
    st.builds(
        Apply,
        COUNTS,
        COUNTS,
        COUNTS,
        st.lists(st.tuples(TEXTS, COUNTS), max_size=4).map(tuple),
        st.lists(st.tuples(TEXTS, st.none() | st.binary(max_size=9)), max_size=4).map(tuple),
    ),
    st.builds(OpenSession, TEXTS, TEXTS, COUNTS),
    st.builds(EndSession, COUNTS),
)


@given(COMMANDS, COUNTS)
def test_a_command_and_its_stamp_survive_the_log(command, stamp_ms):
    """All nodes decode what one encoded."""
    decoded = decode_payload(stamped(encode_command(command), stamp_ms))

    assert decoded == (stamp_ms, command)
    assert type(decoded[1]) is type(command)


def test_the_bytes_of_a_command_are_fixed():
    """Logs and snapshots outlive a version of the code."""
    assert encode_command(Apply(1, 2, 1, (("a", 0),), (("a", b"x"), ("b", None)))).hex() == (
        "96010102019192a161009292a161c4017892a162c0"
    )
    assert encode_command(OpenSession("n", "i", 1)).hex() == "9402a16ea16901"
    assert encode_command(EndSession(5)).hex() == "920305"
    assert stamped(b"", 258) == b"\0\0\0\0\0\0\1\2"


def test_a_batch_becomes_texts_versions_and_bytes():
    """Typed at the caller, plain in the log."""
    key = keys.blueprint_current("app")
    batch = Batch((Compare(key, 3),), (Put(key, 7), Delete(keys.map_entry("m", b"k"))))

    assert plain_batch(batch) == ([(key.text, 3)], [(key.text, msgpack.packb(7)), ("maps/m/k", None)])


KEY = keys.map_entry("m", b"k")


def test_limits_are_exact_at_the_caller():
    """The largest allowed batch, value and proposal pass; one more of each is refused, with its number."""
    plain_batch(Batch(changes=(Delete(KEY),) * BATCH_OPERATIONS_MAX))
    with pytest.raises(BadInput, match=str(BATCH_OPERATIONS_MAX + 1)):
        plain_batch(Batch((Compare(KEY, 0),), (Delete(KEY),) * BATCH_OPERATIONS_MAX))
    plain_batch(Batch(changes=(Put(KEY, bytes(VALUE_BYTES_MAX)),)))
    with pytest.raises(BadInput, match=str(VALUE_BYTES_MAX + 1)):
        plain_batch(Batch(changes=(Put(KEY, bytes(VALUE_BYTES_MAX + 1)),)))

    def sized(extra):
        return Apply(1, 1, 1, (), (("a", bytes(VALUE_BYTES_MAX)), ("b", bytes(VALUE_BYTES_MAX - 100 + extra))))

    room = PROPOSAL_BYTES_MAX - STAMP_BYTES - len(encode_command(sized(0)))
    assert decode_command(encode_command(sized(room))) == sized(room)
    with pytest.raises(BadInput, match=str(PROPOSAL_BYTES_MAX)):
        encode_command(sized(room + 1))


@pytest.mark.parametrize(
    "plain",
    [
        [],
        1,
        None,
        "apply",
        [99, 1],
        [True, 1, 1, 1, [], []],
        [1, 1, 1],
        [1, -1, 1, 1, [], []],
        [1, 1, True, 1, [], []],
        [1, 1, 1, 2**63, [], []],
        [1, 1, 1, 1, [["k", "0"]], []],
        [1, 1, 1, 1, [["k"]], []],
        [1, 1, 1, 1, {}, []],
        [1, 1, 1, 1, [], [["", b"v"]]],
        [1, 1, 1, 1, [], [["é", b"v"]]],
        [1, 1, 1, 1, [], [[b"k", b"v"]]],
        [1, 1, 1, 1, [], [["k", "text"]]],
        [1, 1, 1, 1, [], [["k" * (KEY_BYTES_MAX + 1), b"v"]]],
        [1, 1, 1, 1, [], [["k", bytes(VALUE_BYTES_MAX + 1)]]],
        [1, 1, 1, 1, [], [["k", None]] * (BATCH_OPERATIONS_MAX + 1)],
        [True, 1, 1, 1, [], [["k", b"v"]]],
        [1, True, 1, 1, [], [["k", b"v"]]],
        [1, 1, -1, 1, [], [["k", b"v"]]],
        [1, 1, 1, 2**63, [], [["k", b"v"]]],
        [1, 1.0, 1, 1, [], [["k", b"v"]]],
        [1, 1, 1, 1, None, [["k", b"v"]]],
        [1, 1, 1, 1, {}, [["k", b"v"]]],
        [1, 1, 1, 1, [], {"kv": 1}],
        [1, 1, 1, 1, [], ["kv"]],
        [1, 1, 1, 1, [], [["k", b"v", 1]]],
        [2, "n", "i"],
        [2, "n" * 64, "i", 1],
        [2, b"n", "i", 1],
        [3],
        [3, 1, 1],
        [3, "1"],
    ],
)
def test_a_malformed_command_is_refused_by_the_receiver(plain):
    """Limits hold for what peers send, too: they may be broken or hostile."""
    with pytest.raises(BadInput, match="malformed command"):
        decode_command(msgpack.packb(plain))


def test_an_unknown_tag_names_the_remedy():
    """A newer node wrote it: guessing would let states diverge."""
    with pytest.raises(BadInput, match="upgrade this node"):
        decode_command(msgpack.packb([42]))


@given(st.binary(max_size=64))
def test_any_bytes_are_a_command_or_refused(raw):
    """No other exception leaves the decoder."""
    with contextlib.suppress(BadInput):
        decode_payload(raw)


def test_a_proposal_beyond_the_limit_is_refused_before_it_is_decoded():
    """Size first: decoding it is already the damage."""
    with pytest.raises(BadInput, match="at most"):
        decode_command(bytes(PROPOSAL_BYTES_MAX))

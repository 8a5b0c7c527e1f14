"""Forwarded proposals on the wire."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.kv.messages import (
    MESSAGES,
    AskApplied,
    HasApplied,
    ProposeReply,
    ProposeRequest,
    ProposeRequests,
    Refusal,
    StateReport,
    StateVerdict,
)
from aether.model.limits import PROPOSAL_BYTES_MAX

COUNTS = st.integers(0, 2**63 - 1)
ANY = st.one_of(
    st.builds(ProposeRequest, COUNTS, st.binary(max_size=20)),
    st.builds(
        ProposeRequests,
        st.lists(st.builds(ProposeRequest, COUNTS, st.binary(max_size=20)), max_size=4).map(tuple),
    ),
    st.builds(ProposeReply, COUNTS, st.sampled_from(Refusal), st.none() | st.text(max_size=9), st.text(max_size=9)),
    st.builds(StateReport, st.integers(1, 2**63 - 1), st.binary(min_size=1, max_size=64)),
    st.builds(StateVerdict, st.integers(1, 2**63 - 1)),
    st.builds(AskApplied, st.integers(1, 2**63 - 1)),
    st.builds(HasApplied, st.integers(1, 2**63 - 1)),
)


@given(ANY)
def test_a_message_survives_the_wire(message):
    """By the row of the table that its class has."""
    ((_, encode, decode),) = [row for row in MESSAGES.values() if row[0] is type(message)]

    assert decode(msgpack.unpackb(msgpack.packb(encode(message)))) == message


@pytest.mark.parametrize(
    ("tag", "fields"),
    [
        (20, []),
        (20, [1]),
        (20, [-1, b""]),
        (20, ["1", b""]),
        (20, [1, "text"]),
        (20, [1, bytes(PROPOSAL_BYTES_MAX + 1)]),
        (21, [1, 1, None]),
        (21, [1, 9, None, ""]),
        (21, [1, 1, 5, ""]),
        (21, [1, 1, "a", b""]),
        (22, [0, b"h"]),
        (22, [1, b""]),
        (22, [1, bytes(65)]),
        (22, [1, "h"]),
        (23, [0]),
        (23, [1, 2]),
        (24, [1, b""]),
        (24, [[1, b""], [1]]),
        (24, [[1, b""], [1, "text"]]),
    ],
)
def test_a_malformed_message_is_refused(tag, fields):
    """A peer may be broken, older, or hostile."""
    with pytest.raises(BadInput):
        MESSAGES[tag][2](fields)

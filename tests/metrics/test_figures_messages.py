"""What nodes tell each other of figures, and what they do not believe."""

from array import array
from math import inf, isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.kv.packing import pack
from aether.metrics.figures import FIGURES
from aether.metrics.figures_messages import (
    MESSAGES,
    FiguresPing,
    FiguresPong,
    NodeFigures,
    SnapshotsTold,
    read_told,
    spell_told,
)
from aether.model.ids import NodeId
from aether.model.limits import CALL_SNAPSHOT_BYTES_MAX, FIGURES_TOLD_MAX
from aether.node.messages_table import messages_table
from aether.wire.lane import Lane

WIDTH = len(FIGURES)
rows = st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=WIDTH, max_size=WIDTH).map(lambda v: array("f", v))
told = st.lists(
    st.builds(
        NodeFigures,
        st.sampled_from([NodeId("a"), NodeId("node-2")]),
        st.integers(0, 2**62),
        st.integers(0, 10_000_000).map(lambda ms: ms / 1e3),
        rows,
    ),
    max_size=5,
).map(tuple)


@given(told)
def test_what_is_told_is_read_as_it_was(figures):
    assert read_told(spell_told(figures)) == figures


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(raw):
    try:
        found = read_told(raw)
    except BadInput:
        return
    assert all(len(each.row) == WIDTH for each in found)


def test_a_row_of_a_later_version_is_read_as_far_as_it_is_known_and_one_of_an_older_one_ends_in_the_unknown():
    longer = array("f", range(WIDTH + 3))
    shorter = array("f", [1.0, 2.0])
    newer, older = read_told(pack([["a", 1, 0, longer.tobytes()], ["b", 1, 0, shorter.tobytes()]]))

    assert list(newer.row) == list(range(WIDTH))
    assert list(older.row[:2]) == [1.0, 2.0]
    assert all(isnan(value) for value in older.row[2:])


def test_what_is_no_number_is_not_known():
    (seen,) = read_told(pack([["a", 1, 0, array("f", [inf, -inf, nan, 3.0]).tobytes()]]))

    assert [isnan(value) for value in seen.row[:4]] == [True, True, True, False]


@pytest.mark.parametrize(
    "plain",
    [
        {},
        [1],
        [["a", 1, 0]],
        [["a", 1, -1, b""]],
        [["a", 1, 10**9, b""]],
        [["a", -1, 0, b""]],
        [["a", True, 0, b""]],
        [["not a name", 1, 0, b""]],
        [["a", 1, 0, b"abc"]],
        [["a", 1, 0, bytes(4 * 1025)]],
        [["a", 1, 0, b""]] * (FIGURES_TOLD_MAX + 1),
    ],
)
def test_what_nobody_can_have_measured_is_refused(plain):
    with pytest.raises(BadInput):
        read_told(pack(plain))


@pytest.mark.parametrize(
    "message", [FiguresPing(b"abc"), FiguresPong(b""), SnapshotsTold(((NodeId("a"), b"x"), (NodeId("b"), b"")))]
)
def test_messages_cross_the_wire_and_only_snapshots_are_bulk(message):
    table = messages_table()
    lane, payload = table.encode(message, "")

    assert table.decode(payload) == (message, "")
    assert lane is (Lane.BULK if isinstance(message, SnapshotsTold) else Lane.CALLS)


@pytest.mark.parametrize(
    ("tag", "fields"),
    [
        (40, [1]),
        (40, []),
        (41, ["text"]),
        (42, [{}]),
        (42, [[["a"]]]),
        (42, [[["no name", b""]]]),
        (42, [[["a", bytes(CALL_SNAPSHOT_BYTES_MAX + 1)]]]),
        (42, [[["a", b""]] * 300]),
    ],
)
def test_malformed_messages_are_refused(tag, fields):
    with pytest.raises((BadInput, ValueError)):
        MESSAGES[tag][2](fields)


def test_ten_nodes_are_told_of_in_less_than_two_kibibytes():
    """That is what each follower hears each second."""
    figures = [NodeFigures(NodeId(f"node-{n}"), 1_700_000_000_000, 0.5, array("f", [1.5] * WIDTH)) for n in range(10)]

    assert len(spell_told(figures)) < 2048

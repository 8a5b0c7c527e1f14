"""The state as a stream of bytes: its format, its pieces, and a new state that grows beside the present one."""

from __future__ import annotations

import gc

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.consensus.entry import Entry, EntryKind
from aether.errors import BadInput
from aether.kv import keys
from aether.kv.commands import Apply, OpenSession, encode_command, stamped
from aether.kv.snapshot import State, StateReader, decode_state, encode_pieces
from aether.kv.store import Store
from aether.model.limits import SNAPSHOT_PIECE_BYTES, VALUE_BYTES_MAX

KEYS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12)
ROWS = st.dictionaries(KEYS, st.tuples(st.binary(max_size=40), st.integers(0, 2**62)), max_size=40)


def store_of(*writes, session=False):
    """A store after these (key, value) writes; with a session that made them, and their answers."""
    store = Store()
    commands = [OpenSession("n", "i", 1)] if session else []
    for sequence, (key, value) in enumerate(writes, 1):
        commands.append(Apply(int(session), sequence, 0, (), ((key, value),)))
    payloads = [stamped(encode_command(command), 7) for command in commands]
    store.apply([Entry(index, 1, EntryKind.COMMAND, payload) for index, payload in enumerate(payloads, 1)])
    return store


def restored(store, pieces, index):
    restoration = store.restoration(index)
    fed(restoration, pieces)
    restoration.finish()


def fed(restoration, pieces):
    for piece in pieces:
        restoration.feed(piece)


def cut(snapshot, size):
    return [snapshot[at : at + size] for at in range(0, len(snapshot), size)]


def as_read(state):
    """As it is read back: lists and dictionaries of its own."""
    return State(state.revision, state.log_time_ms, state.hash, list(state.keys), dict(state.rows), [])


def test_golden_stream():
    """Snapshots outlive releases: whoever changes this raises FORMAT."""
    store = Store()
    store.apply(
        [
            Entry(index, 1, EntryKind.COMMAND, stamped(encode_command(command), 7))
            for index, command in enumerate(
                [
                    OpenSession("n", "i", 1),
                    Apply(1, 1, 0, (), (("a", b"on"),)),
                    Apply(1, 2, 0, (("a", 9),), (("a", b"no"),)),
                ],
                1,
            )
        ]
    )
    assert store.snapshot().hex() == (
        "96020307c410000000000000000000000000e1a1e83d010193a161c4026f6e029701a16ea169010700029201930002c09202930003a161"
    )


@given(ROWS, st.integers(1, 300))
@settings(max_examples=80)
def test_what_was_written_is_read_back_however_it_is_cut(rows, size):
    """Pieces of the wire, of the disk and of the machine have different lengths."""
    state = State(7, 5, bytes(16), sorted(rows), rows, ())
    snapshot = b"".join(encode_pieces(state))
    assert decode_state(cut(snapshot, size)) == as_read(state)
    reader = StateReader()
    read = [row for piece in cut(snapshot, size) for row in reader.take(piece)]
    assert read == [(key, *rows[key]) for key in sorted(rows)]
    assert reader.finish(7).revision == 7


@given(st.data())
@settings(max_examples=60)
def test_sessions_and_answers_are_read_back_however_they_are_cut(data):
    """A repeat that comes after an installation is recognised by what was in the snapshot."""
    store = store_of(("a", b"1"), ("b", b"2"), ("a", None), session=True)
    snapshot = store.snapshot()
    other = Store()
    restored(other, cut(snapshot, data.draw(st.integers(1, len(snapshot)))), store.revision)
    assert other.snapshot() == snapshot
    assert [other.decided(1, sequence) for sequence in (1, 2, 3, 4)] == [
        store.decided(1, sequence) for sequence in (1, 2, 3, 4)
    ]
    assert other.state_hash == store.state_hash


def test_no_piece_is_longer_than_a_turn_may_take():
    """The bound of each step of taking and installing; wall time would measure the machine."""
    value = bytes(1_000)
    rows = {f"k{number:05d}": (value, number) for number in range(1_000)}
    rows["large"] = (bytes(VALUE_BYTES_MAX), 1)
    pieces = list(encode_pieces(State(2_000, 0, bytes(16), sorted(rows), rows, ())))
    assert max(map(len, pieces)) < SNAPSHOT_PIECE_BYTES + VALUE_BYTES_MAX + 100
    assert sorted(map(len, pieces))[-2] < SNAPSHOT_PIECE_BYTES + 1_100
    assert len(pieces) >= 1_000_000 // SNAPSHOT_PIECE_BYTES


def test_a_session_with_many_answers_is_cut_as_well():
    """8,192 answers in one array would be one long step."""
    store = store_of(*[("k", b"v")] * 5_000, session=True)
    snapshot = store.snapshot()
    assert max(map(len, store.freeze())) < SNAPSHOT_PIECE_BYTES + 1_100
    unpacker = msgpack.Unpacker()
    unpacker.feed(snapshot)
    assert max(len(array) for array in unpacker) == 7


def test_pieces_are_made_when_they_are_asked_for():
    """Freezing is all that the loop has to do; the frozen state waits, and nothing is encoded before."""
    store = store_of(*[(f"k{number}", bytes(100)) for number in range(2_000)])
    frozen = store.freeze()
    first = next(frozen)
    assert len(first) < SNAPSHOT_PIECE_BYTES + 200
    rest = b"".join(frozen)
    assert first + rest == store.snapshot()


def test_the_present_state_is_readable_until_the_new_one_is_complete():
    """Installing takes a while, in which readers are served."""
    present, new = store_of(("a", b"old"), ("b", b"old")), store_of(("a", b"new"), ("c", b"new"), ("c", b"newer"))
    told = []
    present.listen(told.append)
    *most, last = cut(new.snapshot(), 7)
    restoration = present.restoration(3)
    for piece in most:
        restoration.feed(piece)
    assert [(key, row.value) for key, row in present.scan("")] == [("a", b"old"), ("b", b"old")]
    assert (present.revision, told) == (2, [])
    restoration.feed(last)
    restoration.finish()
    assert [(key, row.value) for key, row in present.scan("")] == [("a", b"new"), ("c", b"newer")]
    assert [applied.restored for applied in told] == [True]


def test_what_did_not_change_is_not_held_twice():
    """A follower that missed a little holds one state, and not nearly two, while it installs."""
    written = [(f"k{number:03d}", bytes(50)) for number in range(100)]
    present = store_of(*written)
    new = store_of(*written, ("k007", b"changed"), ("k050x", b"added"), ("k099", None))
    before = {key: (key, value, present._versions[key]) for key, value in present._values.items()}
    restored(present, cut(new.snapshot(), 999), new.revision)
    assert present.snapshot() == new.snapshot()
    for place, held in ((1, present._values), (2, present._versions)):
        assert sum(key in before and held[key] is before[key][place] for key in held) == 98
        assert all(key is before[key][0] for key in held if key in before)


def test_the_garbage_collector_looks_at_no_row():
    """With 200,000 of them it held the loop for 20 ms after each snapshot, and for 60 ms now and then."""
    store = store_of(*((f"k{number:03d}", bytes(50)) for number in range(100)))
    restored(store, cut(store.snapshot(), 999), store.revision)

    assert not gc.is_tracked(store._values)
    assert not gc.is_tracked(store._versions)
    assert not gc.is_tracked(store._values.copy())


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([b"", b"1", b"2", None])), max_size=20),
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([b"", b"1", b"2", None])), max_size=20),
    st.integers(1, 60),
)
def test_a_restored_store_is_the_new_one_whatever_was_there(before, after, size):
    """The walk beside the present rows must not show in the result."""
    present, new = store_of(*before), store_of(*after)
    restored(present, cut(new.snapshot(), size), new.revision)
    assert present.snapshot() == new.snapshot()
    assert list(present.scan("")) == list(new.scan(""))


def test_quotas_count_what_was_restored():
    """They follow from the rows: a map that is full stays full."""
    definition = keys.MAP_DEFINITION.encode(keys.MapRow(entries_max=2, bytes_max=1_000))
    store = store_of(("maps/m", definition), ("maps/m/x", b"1"), ("maps/m/y", b"22"), ("maps/other/z", b""))
    other = store_of(("maps/m/old", b"forgotten"))
    restored(other, [store.snapshot()], 4)
    assert other.map_usage("m") == store.map_usage("m") == (2, len("maps/m/x") + len("maps/m/y") + 3)
    assert other.map_usage("other") == store.map_usage("other")
    payload = stamped(encode_command(Apply(0, 5, 0, (), (("maps/m/third", b""),))), 9)
    other.apply([Entry(5, 1, EntryKind.COMMAND, payload)])
    assert other.get("maps/m/third") is None


@pytest.mark.parametrize("length", [0, 1, 20, 100, 150])
def test_a_stream_that_ends_early_is_refused(length):
    """The new state would be half of one."""
    store = store_of(("a", bytes(50)), ("b", bytes(50)), session=True)
    snapshot = store.snapshot()
    assert length < len(snapshot)
    other = Store()
    restoration = other.restoration(store.revision)
    restoration.feed(snapshot[:length])
    with pytest.raises(BadInput, match="malformed store snapshot"):
        restoration.finish()
    assert other.revision == 0


def test_a_stream_that_does_not_end_is_refused_before_it_fills_the_memory():
    """Whatever follows the last row is bounded."""
    store = store_of(("a", b"1"))
    restoration = Store().restoration(1)
    restoration.feed(store.snapshot())
    with pytest.raises(BadInput, match="malformed store snapshot"):
        fed(restoration, [bytes(SNAPSHOT_PIECE_BYTES)] * 100)

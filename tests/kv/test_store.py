"""The state machine: the same log gives the same state, and each batch is all or nothing."""

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.consensus.entry import Entry, EntryKind
from aether.errors import BadInput
from aether.kv import keys
from aether.kv.commands import Apply, BatchResult, EndSession, OpenSession, encode_command, stamped
from aether.kv.outcome import Refused, RefusedBy
from aether.kv.store import Store
from aether.model.limits import SESSION_ANSWERS_MAX, SESSION_IDLE_S

IDLE_MS = int(SESSION_IDLE_S * 1000)
TEXTS = st.sampled_from(["a", "b/1", "b/2", "c", "maps/m", "maps/m/x", "maps/m/y", "maps/n/x"])
SMALL_MAP = keys.MAP_DEFINITION.encode(keys.MapRow(entries_max=1, bytes_max=40))
VALUES = st.none() | st.sampled_from([b"", b"v", bytes(30), SMALL_MAP])
APPLIES = st.builds(
    Apply,
    st.sampled_from([0, 1, 2, 3]),
    st.integers(0, 6),
    st.integers(0, 5),
    st.lists(st.tuples(TEXTS, st.integers(0, 8)), max_size=2).map(tuple),
    st.lists(st.tuples(TEXTS, VALUES), max_size=4).map(tuple),
)
COMMANDS = st.one_of(
    APPLIES,
    APPLIES,
    APPLIES,
    st.builds(OpenSession, st.sampled_from("mn"), st.sampled_from("ij"), st.integers(1, 2)),
    st.builds(EndSession, st.integers(1, 3)),
)
LOGS = st.lists(st.tuples(COMMANDS, st.sampled_from([0, 1, IDLE_MS, 2 * IDLE_MS])), max_size=25)


def entries_of(log):
    payloads = [stamped(encode_command(command), stamp_ms) for command, stamp_ms in log]
    return [Entry(index, 1, EntryKind.COMMAND, payload) for index, payload in enumerate(payloads, 1)]


@settings(max_examples=60)
@given(LOGS, st.integers(1, 5))
def test_the_same_log_gives_the_same_state_however_it_is_cut(log, cut):
    """Nodes apply in batches of different sizes; their states and hashes must not show it."""
    entries = entries_of(log)
    one, other = Store(), Store()
    one.apply(entries)
    for start in range(0, len(entries), cut):
        other.apply(entries[start : start + cut])

    assert one.snapshot() == other.snapshot()
    assert one.state_hash == other.state_hash
    assert one.revision == len(entries)


@settings(max_examples=60)
@given(LOGS, st.integers(0, 25))
def test_a_restored_snapshot_continues_as_the_original(log, at):
    """Rows, versions, sessions, quotas, log time and hash: whatever is forgotten would show in what follows."""
    entries = entries_of(log)
    at = min(at, len(entries))
    original, restored = Store(), Store()
    original.apply(entries[:at])
    restored.apply(entries_of([(Apply(0, 0, 0, (), (("to be", b"forgotten"), ("maps/m/z", b"too"))), 5)]))
    restored.restore(original.snapshot(), at)
    assert restored.snapshot() == original.snapshot()

    original.apply(entries[at:])
    restored.apply(entries[at:])

    assert restored.snapshot() == original.snapshot()
    assert list(restored.scan("")) == list(original.scan(""))


class NaiveModel:
    """Sequential compare-and-set over a dict, without sessions or quotas."""

    def __init__(self):
        self.rows = {}

    def apply(self, index, compares, changes):
        if any(self.rows.get(key, (None, 0))[1] != version for key, version in compares):
            return False
        for key, value in changes:
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = (value, index)
        return True


PLAIN = st.sampled_from(["a", "b", "b/1", "b/2", "c"])


@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(PLAIN, st.integers(0, 6)), max_size=2),
            st.lists(st.tuples(PLAIN, st.none() | st.binary(max_size=3)), max_size=4),
        ),
        max_size=15,
    )
)
def test_batches_are_atomic_like_a_naive_model(writer, batches):
    """All changes of a batch, or none; the conflict names a key that really differs."""
    write, model = writer(Store()), NaiveModel()
    session = write.session()
    for sequence, (compares, changes) in enumerate(batches):
        outcome = write.apply(session, sequence, *changes, compares=compares)
        before = dict(model.rows)
        applied = model.apply(write.store.revision, compares, changes)

        assert outcome.applied == applied
        assert outcome.revision == write.store.revision
        if not applied:
            assert any(k == outcome.conflict and before.get(k, (None, 0))[1] != v for k, v in compares)
        assert {key: tuple(row) for key, row in write.store.scan("")} == model.rows


def test_versions_are_log_indexes_also_behind_entries_without_commands(write):
    """A revision says how much of the log was applied; no-ops count."""
    write.entry(Entry(1, 1, EntryKind.NO_OP, b""))
    session = write.session()
    write.entry(Entry(3, 1, EntryKind.CONFIGURATION, b"anything"))
    write.apply(session, 1, ("k", b"v"))

    assert write.store.version("k") == write.store.revision == 4
    assert write.store.version("absent") == 0


def test_a_conflict_names_the_first_key_that_differed(write):
    """The caller re-reads exactly that row."""
    session = write.session()
    write.apply(session, 1, ("a", b"v"), ("b", b"v"))
    version = write.store.version("a")

    outcome = write.apply(session, 2, ("c", b"v"), compares=[("a", version), ("b", 1), ("c", 9)])

    assert outcome == BatchResult(False, write.store.revision, "b")
    assert write.store.get("c") is None


def test_b44_a_repeat_gets_the_first_answer_and_changes_nothing(write):
    """The reply was lost, the request came again, perhaps long after others."""
    session = write.session()
    first = write.apply(session, 1, ("k", b"1"))
    write.apply(session, 2, ("k", b"2"))

    again = write.apply(session, 1, ("k", b"1"))

    assert again == first
    assert write.store.get("k").value == b"2"


def test_a_refused_compare_stays_refused_when_it_is_repeated(write):
    """Otherwise a repeat might succeed after its caller was told that it did not happen."""
    session = write.session()
    first = write.apply(session, 1, ("k", b"v"), compares=[("other", 7)])
    assert not first.applied
    while write.store.revision < 6:
        write.apply(session, write.store.revision, ("x", b""))
    write.apply(session, 50, ("other", b""))
    assert write.store.version("other") == 7

    assert write.apply(session, 1, ("k", b"v"), compares=[("other", 7)]) == first
    assert write.store.get("k") is None


def test_an_acknowledged_request_that_comes_late_is_not_applied(write):
    """A message delayed beyond the acknowledgement has no answer left to compare with."""
    session = write.session()
    write.apply(session, 1, ("k", b"1"))
    write.apply(session, 2, ("k", b"2"), answered_below=2)

    assert write.apply(session, 1, ("k", b"1")).by is RefusedBy.STALE
    assert write.store.get("k").value == b"2"


def test_b44_a_restored_session_still_refuses_what_it_acknowledged(write, writer):
    """What was forgotten before the snapshot is as decided as what is in it."""
    session = write.session()
    write.apply(session, 1, ("k", b"1"))
    write.apply(session, 2, ("k", b"2"), answered_below=2)
    restored = writer(Store())
    restored.store.restore(write.store.snapshot(), write.store.revision)

    assert restored.apply(session, 1, ("k", b"1")).by is RefusedBy.STALE
    assert restored.apply(session, 2, ("k", b"1")).applied
    assert restored.store.get("k").value == b"2"


def test_requests_may_arrive_in_any_order_above_the_acknowledged(write):
    """Callers run side by side; sequence order is not log order."""
    session = write.session()
    for sequence in (3, 1, 2):
        assert write.apply(session, sequence, (f"k{sequence}", b"v")).applied


def test_a_session_keeps_at_most_its_limit_of_answers(write):
    """One that never acknowledges is refused, not remembered without bound."""
    session = write.session()
    assert write.apply(session, SESSION_ANSWERS_MAX - 1, ("k", b"v")).applied

    assert write.apply(session, SESSION_ANSWERS_MAX, ("k", b"w")).by is RefusedBy.FULL
    assert write.store.get("k").value == b"v"
    assert write.apply(session, SESSION_ANSWERS_MAX, ("k", b"w"), answered_below=1).applied


def test_an_acknowledgement_far_ahead_is_as_cheap_as_any(write):
    """A hostile number must not make the store count to it."""
    session = write.session()
    write.apply(session, 1, ("k", b"v"))

    assert write.apply(session, 2**62, ("k", b"w"), answered_below=2**62).applied


@pytest.mark.parametrize("end", ["idle", "command", "incarnation", "number"])
def test_a_request_of_an_ended_session_is_never_applied(write, end):
    """Its answers are forgotten, so a repeat could not be told from a first."""
    session = write.session("n", "i", 1)
    write.apply(session, 1, ("k", b"v"))
    stamp_ms = IDLE_MS if end == "idle" else 0
    if end == "command":
        write.command(EndSession(session))
    elif end == "incarnation":
        write.session("n", "j", 1)
    elif end == "number":
        write.session("n", "i", 2)

    assert write.apply(session, 2, ("k", b"w"), stamp_ms=stamp_ms) == Refused(RefusedBy.EXPIRED)
    assert write.store.get("k").value == b"v"


def test_use_keeps_a_session_alive(write):
    """Idleness is counted from the last request, in log time."""
    session = write.session(stamp_ms=1)
    for turn in range(1, 5):
        assert write.apply(session, turn, stamp_ms=1 + turn * (IDLE_MS - 1)).applied


def test_log_time_never_goes_back(write):
    """A new leader's clock may be behind: sessions are judged by the highest stamp."""
    session = write.session(stamp_ms=10 * IDLE_MS)
    assert write.apply(session, 1, stamp_ms=5).applied
    assert write.store.log_time_ms == 10 * IDLE_MS
    write.session("other", stamp_ms=11 * IDLE_MS - 1)
    assert write.store.has_session(session)


def test_opening_twice_is_opening_once(write):
    """The request to open is repeated like any other, and has no session to protect it."""
    first = write.session("n", "i", 1)
    write.session("n", "i", 1)

    assert write.store.sessions() == [(OpenSession("n", "i", 1), first)]
    write.session("n", "i", 2)
    write.session("n", "i", 1)  # a late repeat must not end the newer one
    assert [request.number for request, _ in write.store.sessions()] == [2]


def test_a_gap_in_the_log_stops_the_store(write):
    """Applied anyway, it would be a silent divergence."""
    with pytest.raises(AssertionError, match="gap"):
        write.store.apply([Entry(2, 1, EntryKind.NO_OP, b"")])


def test_an_unknown_command_stops_the_store(write):
    """Skipped, it would be a silent divergence."""
    with pytest.raises(BadInput, match="upgrade this node"):
        write.store.apply([Entry(1, 1, EntryKind.COMMAND, stamped(msgpack.packb([42]), 0))])


@given(st.lists(st.text("ab/~\x7f", min_size=1, max_size=4), unique=True), st.text("ab/~", max_size=3))
def test_a_scan_gives_exactly_the_rows_under_a_prefix_in_order(writer, texts, prefix):
    """Also for prefixes that end in the last characters of the alphabet."""
    write = writer(Store())
    write.apply(0, 0, *[(text, b"") for text in texts])

    assert [key for key, _ in write.store.scan(prefix)] == sorted(t for t in texts if t.startswith(prefix))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda head, *rest: [],
        lambda head, *rest: [5, *rest],
        lambda head, *rest: [None, head, *rest],
        lambda head, *rest: [[1, *head[1:]], *rest],
        lambda head, *rest: [head[:-1], *rest],
        lambda head, *rest: [[head[0], head[1] + 1, *head[2:]], *rest],
        lambda head, *rest: [[*head[:3], b"short", *head[4:]], *rest],
        lambda head, *rest: [[*head[:4], -1, head[5]], *rest],
        lambda head, *rest: [head, *rest[:-1]],
        lambda head, *rest: [head, *rest, [2, [0]]],
        lambda head, *rest: [head, rest[1], rest[0], *rest[2:]],
        lambda head, *rest: [head, rest[0], rest[0], *rest[2:]],
        lambda head, *rest: [head, ["k", "text", 1], *rest[1:]],
        lambda head, *rest: [head, ["k", b"v", -1], *rest[1:]],
        lambda head, *rest: [head, ["k", b"v"], *rest[1:]],
        lambda head, *rest: [head, 7, *rest[1:]],
        lambda head, *rest: [head, *rest[:2], [1, 2, 3], rest[3]],
        lambda head, *rest: [head, *rest[:3], [1, [9]]],
        lambda head, *rest: [head, *rest[:3], [1, [1, 99, "", 0, ""]]],
    ],
)
def test_a_malformed_snapshot_changes_nothing(write, spoil):
    """The node keeps what it has, and the error says what is wrong."""
    session = write.session()
    write.apply(session, 1, ("k", b"v"), ("l", b"w"))
    before = write.store.snapshot()
    unpacker = msgpack.Unpacker()
    unpacker.feed(before)
    spoilt = b"".join(map(msgpack.packb, spoil(*unpacker)))

    with pytest.raises(BadInput, match="malformed store snapshot"):
        write.store.restore(spoilt, write.store.revision)
    assert write.store.snapshot() == before


def test_the_hash_tells_two_logs_apart(writer):
    """Same rows in the end, another history: a divergence that comparing rows would miss."""
    one, other = writer(Store()), writer(Store())
    one.apply(0, 0, ("k", b"v"))
    other.apply(0, 0, ("k", b"v"), compares=[("k", 0)])

    assert [tuple(row) for _, row in one.store.scan("")] == [tuple(row) for _, row in other.store.scan("")]
    assert one.store.state_hash != other.store.state_hash


def test_the_listener_hears_what_changed(write):
    """Watches and waiting callers depend on nothing else."""
    told = []
    session = write.session()
    write.apply(session, 1, ("gone", b""))
    write.store._listener = None
    write.store.listen(told.append)
    write.command(Apply(session, 2, 0, (), (("a", b"1"), ("gone", None), ("never was", None), ("a", b"2"))))
    write.command(Apply(session, 3, 0, (("a", 99),), (("b", b"1"),)))
    write.store.restore(write.store.snapshot(), write.store.revision)

    assert [applied.changed for applied in told] == [["a", "gone", "a"], [], []]
    assert [len(applied.outcomes) for applied in told] == [1, 1, 0]
    assert [applied.restored for applied in told] == [False, False, True]


def test_a_frozen_state_is_not_changed_by_what_is_applied_later(write):
    """It is encoded in another thread while the log goes on: rows, sessions and answers must be those of its index."""
    session = write.session()
    write.apply(session, 1, ("a", b"old"), ("b", b"x"))
    before = write.store.snapshot()

    frozen = write.store.freeze()
    write.apply(session, 2, ("a", b"new"), ("b", None), ("c", b"y"), answered_below=2)
    write.session("another")

    assert b"".join(frozen) == before
    assert write.store.snapshot() != before


@pytest.mark.parametrize("prefix", ["b/\U0010ffff", "\U0010ffff\U0010ffff", "b/\ud7ff", "b/\x7f"])
def test_any_character_may_end_a_prefix(prefix):
    """A client may ask for the last one that there is, which has none behind it."""
    store = Store()
    store.apply(entries_of([(Apply(0, 0, 0, (), (("a", b"v"), ("b/1", b"v"), ("c", b"v"))), 0)]))
    assert list(store.scan(prefix)) == store.page(prefix, "", 9) == []

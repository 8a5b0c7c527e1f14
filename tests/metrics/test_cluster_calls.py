"""What nodes tell each other of their calls, and what all of it comes to on one of them."""

import contextlib
import math

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.metrics import cluster_calls
from aether.metrics.call_snapshot import CallSnapshot, MethodRow, SlowRow, combined, decode_snapshot, encode_snapshot
from aether.metrics.cluster_calls import KEPT_S, ClusterCalls
from aether.metrics.method_counters import OTHER, MethodCounters
from aether.metrics.slow_calls import Fixed, SlowCall
from aether.model.artifact import Artifact
from aether.model.call_counts import SECONDS_MAX, CallCounts
from aether.model.ids import NodeId
from aether.model.limits import CALL_SNAPSHOT_BYTES_MAX, FIGURE_NODES_MAX, METHODS_TOLD_MAX, SLOW_CALLS_TOLD_MAX
from aether.model.sketch import BUCKETS, COUNT_MAX, Sketch

PRICING = Artifact.parse("shop:pricing:1.0.0")
NEXT = Artifact.parse("shop:pricing:1.1.0")

sketches = st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 2**40), max_size=8).map(Sketch)


@st.composite
def counts(draw):
    latencies = draw(sketches)
    errors = draw(st.integers(0, 99))
    return CallCounts(
        requests=latencies.count + errors, errors=errors, seconds=draw(st.floats(0, 1e6)), latencies=latencies
    )


methods = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)
keys = st.tuples(st.sampled_from([PRICING, NEXT, None]), methods)
rows = st.builds(
    MethodRow, key=keys, in_flight=st.integers(0, 99), slow=st.integers(0, 99), total=counts(), recent=counts()
)
slow_calls = st.builds(
    SlowCall,
    at_s=st.floats(-1e9, 1e9),
    latency_s=st.floats(0, 1e6),
    request_id=st.text(max_size=20),
    instance=st.text(max_size=20),
    error=st.text(max_size=20),
    trace_id=st.text(max_size=20),
)
snapshots = st.builds(
    CallSnapshot,
    span_s=st.floats(0.001, 1000),
    methods=st.lists(rows, max_size=6, unique_by=lambda row: row.key).map(
        lambda each: tuple(sorted(each, key=lambda row: -row.total.requests))
    ),
    slow=st.lists(st.builds(SlowRow, keys, slow_calls), max_size=4).map(tuple),
)


@given(snapshots)
def test_a_snapshot_survives_the_wire(snapshot):
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot


@given(snapshots, st.data())
def test_bytes_that_were_damaged_are_read_or_refused_and_nothing_else(snapshot, data):
    raw = bytearray(encode_snapshot(snapshot))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadInput):
        decode_snapshot(bytes(raw))


@given(st.binary(max_size=80))
def test_bytes_of_strangers_are_refused(raw):
    with pytest.raises(BadInput):
        decode_snapshot(raw)


def packed(*parts):
    return msgpack.packb(parts)


@pytest.mark.parametrize(
    "raw",
    [
        packed(2, 10.0, [], []),
        packed(1, 0.0, [], []),
        packed(1, float("nan"), [], []),
        packed(1, 1e-300, [], []),
        packed(1, 10.0, [packed("", "quote", 0, 0, [1, 0, 1e308, [0, 1]], [0, 0, 0.0, []])], []),
        packed(1, 10.0, [packed("shop", "quote", 0, 0, [0, 0, 0.0, []], [0, 0, 0.0, []])], []),
        packed(1, 10.0, [packed("", "", 0, 0, [0, 0, 0.0, []], [0, 0, 0.0, []])], []),
        packed(1, 10.0, [packed("", "a\nb", 0, 0, [0, 0, 0.0, []], [0, 0, 0.0, []])], []),
        packed(1, 10.0, [packed("", "a" * 300, 0, 0, [0, 0, 0.0, []], [0, 0, 0.0, []])], []),
        packed(1, 10.0, [packed("", "quote", -1, 0, [0, 0, 0.0, []], [0, 0, 0.0, []])], []),
        packed(1, 10.0, [packed("", "quote", 0, 0, [0, 1, 0.0, []], [0, 0, 0.0, []])], []),
        packed(1, 10.0, [packed("", "quote", 0, 0, [0, 0, 0.0, [-1, 1]], [0, 0, 0.0, []])], []),
        packed(1, 10.0, [packed("", "quote", 0, 0, [0, 0, 0.0, []])], []),
        packed(1, 10.0, [b""] * (METHODS_TOLD_MAX + 1), []),
        packed(1, 10.0, [], [b""] * (SLOW_CALLS_TOLD_MAX + 1)),
        packed(1, 10.0, ["text"], []),
        b"\xc1",
        b"0" * (CALL_SNAPSHOT_BYTES_MAX + 1),
    ],
    ids=lambda raw: repr(raw)[:60],
)
def test_what_no_node_can_have_counted_is_refused(raw):
    with pytest.raises(BadInput):
        decode_snapshot(raw)


@given(st.lists(rows, max_size=8))
def test_methods_added_up_count_as_much_as_each_alone(given_rows):
    whole = combined(given_rows, (None, OTHER))
    assert whole.total.requests == sum(row.total.requests for row in given_rows)
    assert whole.recent.latencies.count == sum(row.recent.latencies.count for row in given_rows)


def test_of_many_methods_those_called_most_are_told_and_no_call_is_lost():
    told = [MethodRow(key=(PRICING, f"m{n}"), total=CallCounts(requests=n)) for n in range(METHODS_TOLD_MAX + 50)]
    read = decode_snapshot(encode_snapshot(CallSnapshot(span_s=10.0, methods=told)))

    assert len(read.methods) == METHODS_TOLD_MAX
    assert read.methods[0].key == (PRICING, f"m{METHODS_TOLD_MAX + 49}")
    assert read.methods[-1].key == (None, OTHER)
    assert sum(row.total.requests for row in read.methods) == sum(row.total.requests for row in told)


def test_the_largest_snapshot_fits_its_limit():
    full = CallCounts(requests=COUNT_MAX, seconds=1.0, latencies=Sketch(dict.fromkeys(range(BUCKETS), 2**50)))
    told = [MethodRow(key=(PRICING, "m" * 190 + str(n)), total=full, recent=full) for n in range(METHODS_TOLD_MAX)]
    call = SlowCall(at_s=1.0, latency_s=1.0, request_id="r" * 200, instance="i" * 200, error="é" * 200, trace_id="t")
    slow = [SlowRow((PRICING, "m" * 200), call)] * (SLOW_CALLS_TOLD_MAX + 9)
    raw = encode_snapshot(CallSnapshot(span_s=10.0, methods=told, slow=slow))

    assert len(raw) <= CALL_SNAPSHOT_BYTES_MAX
    assert decode_snapshot(raw).methods[-1].key == (None, OTHER)


# --- several nodes ----------------------------------------------------------------------------------------------------


class Node:
    """One node's calls, in a time of its own."""

    def __init__(self, name, now=0.0):
        self.name = NodeId(name)
        self.now = now
        self.counters = MethodCounters()
        self.calls = ClusterCalls(self.name, self.counters, lambda: self.now, lambda: self.now + 1_000.0)

    def called(self, artifact=PRICING, method="quote", *, times=1, latency_s=0.1, failed=False):
        counter = self.counters.of(artifact, method)
        for _ in range(times):
            if failed:
                counter.failed(latency_s)
            else:
                counter.answered(latency_s)
        return counter

    def later(self, seconds, *, marks=True):
        for _ in range(round(seconds / 10)):
            self.now += 10
            if marks:
                self.calls.mark()
        return self

    def figures(self):
        self.now += cluster_calls.FRESH_S
        return {(str(f.artifact), f.method): f for f in self.calls.methods()}


def test_calls_of_all_nodes_are_added_up_by_method_and_version():
    here, there = Node("here"), Node("there", now=5_000.0)
    here.called(times=30)
    here.called(NEXT, times=2)
    there.called(times=69, latency_s=0.2)
    there.called(failed=True, latency_s=4.0).in_flight = 3
    here.calls.take(there.name, there.calls.local_snapshot())

    figures = here.figures()
    quote = figures["shop:pricing:1.0.0", "quote"]
    assert (quote.calls, quote.failures, quote.in_flight) == (100, 1, 3)
    assert quote.failure_rate == pytest.approx(0.01)
    assert quote.seconds == pytest.approx(3.0 + 13.8 + 4.0)
    assert quote.p50_s == pytest.approx(0.2, rel=0.01)
    assert quote.p999_s == pytest.approx(4.0, rel=0.01)
    assert figures["shop:pricing:1.1.0", "quote"].calls == 2
    assert here.calls.latencies(PRICING, "quote").count == 100
    assert here.calls.latencies(None, "nothing").count == 0


def test_rates_and_quantiles_follow_what_happens_now_and_counts_stay():
    """A quantile over all days since the start says nothing of the last minute."""
    node = Node("a").later(20)
    node.called(times=200, latency_s=1.0)
    busy = node.figures()["shop:pricing:1.0.0", "quote"]
    node.later(30)
    quiet = node.figures()["shop:pricing:1.0.0", "quote"]

    assert busy.rate == pytest.approx(20, rel=0.5)
    assert busy.p99_s == pytest.approx(1.0, rel=0.01)
    assert (quiet.rate, quiet.p99_s, quiet.failure_rate, quiet.calls) == (0.0, 0.0, 0.0, 200)
    assert node.calls.latencies(PRICING, "quote").quantile_s(0.5) == pytest.approx(1.0, rel=0.01)


def test_the_newest_of_a_node_takes_the_place_of_what_it_told_before():
    here, there = Node("here"), Node("there")
    there.called(times=3)
    here.calls.take(there.name, there.calls.local_snapshot())
    there.called(times=4)
    here.calls.take(there.name, there.calls.local_snapshot())

    assert here.figures()["shop:pricing:1.0.0", "quote"].calls == 7


def test_a_node_that_tells_nothing_for_long_is_forgotten_and_its_own_word_by_others_ignored():
    here, there = Node("here"), Node("there")
    there.called(times=3)
    here.called(times=1)
    here.calls.take(there.name, there.calls.local_snapshot())
    here.calls.take(here.name, here.calls.local_snapshot())
    assert here.figures()["shop:pricing:1.0.0", "quote"].calls == 4

    here.now += KEPT_S
    assert here.figures()["shop:pricing:1.0.0", "quote"].calls == 1


def test_what_all_nodes_told_is_bounded(monkeypatch):
    here, there = Node("here"), Node("there")
    there.called()
    raw = there.calls.local_snapshot()
    monkeypatch.setattr(cluster_calls, "CALL_SNAPSHOTS_BYTES_MAX", 3 * len(raw))
    for number in range(10):
        here.calls.take(NodeId(f"n{number}"), raw)

    assert here.figures()["shop:pricing:1.0.0", "quote"].calls == 3


def test_no_more_nodes_are_kept_than_figures_however_little_each_says():
    here = Node("here")
    for number in range(FIGURE_NODES_MAX + 5):
        here.calls.take(NodeId(f"n{number}"), packed(1, 10.0, [packed("", "m", 1, 0, *2 * [[0, 0, 0.0, []]])], []))

    (figures,) = here.calls.methods()
    assert figures.in_flight == FIGURE_NODES_MAX


def test_the_most_that_nodes_may_say_adds_up_to_figures_that_json_can_carry():
    here = Node("here")
    most = [COUNT_MAX, COUNT_MAX, SECONDS_MAX, [0, COUNT_MAX]]
    raw = packed(1, 1e-3, 2 * [packed("", "m", COUNT_MAX, COUNT_MAX, most, most)], [])
    for name in ("a", "b", "c"):
        here.calls.take(NodeId(name), raw)

    (figures,) = here.calls.methods()
    assert figures.seconds == SECONDS_MAX
    assert math.isfinite(figures.rate)


def test_slow_calls_of_all_nodes_are_told_in_the_time_of_who_reads_them():
    here, there = Node("here", now=100.0), Node("there", now=7.0)
    there.counters.judge_by(Fixed(0.5))
    call = SlowCall(at_s=5.0, latency_s=0.9, request_id="r-1", instance="i", error="no")
    there.called(latency_s=0.9).was_slow(call)
    here.called().was_slow(SlowCall(at_s=99.0, latency_s=0.7, request_id="r-2", instance="j"))
    here.calls.take(there.name, there.calls.local_snapshot())

    first, second = here.calls.slow_calls()
    assert (first.node, first.call.request_id, first.at) == ("here", "r-2", 1_099.0)
    assert (second.node, second.call.request_id, second.call.error, second.at) == ("there", "r-1", "no", 1_098.0)
    assert here.figures()["shop:pricing:1.0.0", "quote"].slow == 2


def test_sums_are_made_at_most_once_a_second():
    node = Node("a")
    node.called()
    first = node.calls.methods()
    node.called()
    assert node.calls.methods() is first
    node.now += cluster_calls.FRESH_S
    assert node.calls.methods()[0].calls == 2


def test_ten_nodes_of_fifty_methods_fit_in_little_room():
    """Snapshots are kept packed: 16 MiB is what all figures together may take."""
    here, there = Node("here"), Node("there")
    for number in range(50):
        for step in range(120):
            there.called(method=f"m{number}", latency_s=0.001 * 1.03**step)
    raw = there.calls.local_snapshot()
    for number in range(10):
        here.calls.take(NodeId(f"n{number}"), raw)

    assert len(raw) < 64 * 1024
    assert sum(len(latencies) for told in here.calls._told.values() for latencies in told.latencies.values()) < 2**18

"""Quantiles of many calls in little room: how far off they are, and that it does not matter who adds them up."""

import math

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.model.sketch import (
    BUCKETS,
    COUNT_MAX,
    ERROR_MAX,
    LATENCY_MAX_S,
    LATENCY_MIN_S,
    NO_LATENCIES,
    Sketch,
    bucket_of,
    latency_s,
)

within = st.floats(LATENCY_MIN_S, LATENCY_MAX_S, exclude_max=True)
sketches = st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 2**40), max_size=20).map(Sketch)


def sketch_of(latencies):
    buckets = {}
    for each in latencies:
        buckets[bucket_of(each)] = buckets.get(bucket_of(each), 0) + 1
    return Sketch(buckets)


def exact(latencies, share):
    """Nearest rank."""
    return sorted(latencies)[max(1, math.ceil(share * len(latencies))) - 1]


@given(st.lists(within, min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_is_within_one_percent_of_the_exact_one(latencies, share):
    found = sketch_of(latencies).quantile_s(share)
    wanted = exact(latencies, share)

    assert abs(found - wanted) <= ERROR_MAX * wanted * (1 + 1e-9)


@given(st.lists(within, min_size=1, max_size=60), st.lists(within, min_size=1, max_size=60), st.floats(0, 1))
def test_two_nodes_together_are_as_exact_as_one(here, there, share):
    together = sketch_of(here) + sketch_of(there)
    wanted = exact(here + there, share)

    assert abs(together.quantile_s(share) - wanted) <= ERROR_MAX * wanted * (1 + 1e-9)


@given(within)
def test_one_latency_stands_for_its_bucket_within_the_error(latency):
    assert math.isclose(latency_s(bucket_of(latency)), latency, rel_tol=ERROR_MAX * 1.02)
    assert bucket_of(latency_s(bucket_of(latency))) == bucket_of(latency)


@given(st.floats())
def test_every_number_has_a_bucket(latency):
    assert 0 <= bucket_of(latency) < BUCKETS


@given(sketches, sketches, sketches)
def test_the_order_of_adding_does_not_matter(a, b, c):
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + NO_LATENCIES == a


@given(sketches, sketches)
def test_what_was_counted_since_a_mark_is_the_difference(before, more):
    after = before + more
    assert after.covers(before)
    assert after.since(before) == more


@given(sketches)
def test_a_sketch_survives_the_wire(sketch):
    assert Sketch.from_plain(msgpack.unpackb(msgpack.packb(sketch.to_plain()))) == sketch


@given(sketches, st.lists(st.floats(0, 1), min_size=1, max_size=5).map(sorted))
def test_several_quantiles_in_one_pass_are_those_one_by_one(sketch, shares):
    assert sketch.quantiles_s(shares) == [sketch.quantile_s(share) for share in shares]
    assert sketch.quantiles_s(shares) == sorted(sketch.quantiles_s(shares))


@given(st.lists(within, max_size=50), within)
def test_how_many_stayed_below_a_bound_is_right_but_for_those_at_the_bound(latencies, bound):
    found = sketch_of(latencies).below(bound)

    assert sum(each < bound * 0.98 for each in latencies) <= found <= sum(each < bound * 1.02 for each in latencies)


def test_counts_stop_at_their_largest():
    assert (Sketch({3: COUNT_MAX}) + Sketch({3: 1})).buckets == {3: COUNT_MAX}


@given(st.recursive(st.integers() | st.text() | st.booleans() | st.none(), lambda inner: st.lists(inner, max_size=6)))
def test_what_arrives_is_a_sketch_or_refused(plain):
    try:
        sketch = Sketch.from_plain(plain)
    except BadInput:
        return
    assert sketch.to_plain() == plain


@pytest.mark.parametrize(
    "plain",
    [
        "12",
        {"1": 2},
        [1],
        [0, 0],
        [0, -1],
        [-1, 1],
        [0, 1, 0, 1],
        [BUCKETS, 1],
        [0, 2**63],
        [0, True],
        [1.0, 2],
        [1, 1] * (BUCKETS + 1),
    ],
    ids=repr,
)
def test_hostile_bytes_are_refused(plain):
    with pytest.raises(BadInput):
        Sketch.from_plain(plain)

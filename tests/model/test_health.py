import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.model.health import (
    BUCKETS,
    HealthMark,
    VersionCounts,
    VersionHealth,
    bucket_of,
    cluster_health,
    health_of,
    latency_ms,
)
from aether.model.ids import NodeId
from aether.model.version import Version

OLD, NEW = Version.parse("1.0.0"), Version.parse("2.0.0")
A, B = NodeId("a"), NodeId("b")


@st.composite
def counts(draw):
    buckets = draw(st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 50), max_size=6))
    errors = draw(st.integers(0, 20))
    return VersionCounts(
        requests=sum(buckets.values()) + errors, errors=errors, seconds=draw(st.floats(0, 100)), buckets=buckets
    )


@given(st.floats(1e-6, 1000.0))
def test_a_latency_is_told_to_a_tenth(latency_s):
    assert math.isclose(latency_ms(bucket_of(latency_s)), 1e3 * latency_s, rel_tol=0.05)


@given(st.floats(allow_nan=False))
def test_every_latency_has_a_bucket(latency_s):
    assert 0 <= bucket_of(latency_s) < BUCKETS


@given(counts(), counts())
def test_what_was_counted_between_two_marks_is_their_difference(before, more):
    difference = (before + more).since(before)
    assert (difference.requests, difference.errors, dict(difference.buckets)) == (
        more.requests,
        more.errors,
        dict(more.buckets),
    )


@given(counts(), counts())
def test_a_difference_is_never_negative(one, other):
    difference = one.since(other)
    assert difference.requests >= difference.errors >= 0


def test_counts_of_a_new_process_are_all_new():
    many = VersionCounts(requests=9, errors=1, seconds=1.0, buckets={80: 8})
    few = VersionCounts(requests=2, seconds=0.1, buckets={80: 2})
    before = HealthMark({A: (1, {OLD: many}), B: (5, {OLD: many})})
    after = HealthMark({A: (2, {OLD: few}), B: (5, {OLD: many, NEW: few})})

    assert after.since(before) == {OLD: few, NEW: few}


def test_the_health_of_a_cluster_is_over_all_its_callers():
    mark = HealthMark(
        {
            A: (1, {NEW: VersionCounts(requests=100, errors=1, seconds=0.99, buckets={bucket_of(0.01): 99})}),
            B: (1, {NEW: VersionCounts(requests=2, errors=0, seconds=2.0, buckets={bucket_of(1.0): 2})}),
        }
    )
    health = cluster_health(mark).of(OLD, NEW)

    assert health.old == VersionHealth()
    assert (health.new.requests, health.new.errors) == (102, 1)
    assert health.new.p50_ms == pytest.approx(10.0, rel=0.05)
    assert health.new.p99_ms == pytest.approx(1000.0, rel=0.05)
    assert health.new.mean_ms == pytest.approx(1e3 * 2.99 / 101)
    assert health.new.error_rate == pytest.approx(1 / 102)


def test_a_node_that_said_nothing_is_asked_again_from_its_last_mark_on():
    one = VersionCounts(requests=1, buckets={3: 1})
    first = HealthMark({A: (1, {OLD: one}), B: (1, {OLD: one})})
    second = cluster_health(HealthMark({A: (1, {OLD: one + one})}), first, [B])
    third = cluster_health(HealthMark({A: (1, {OLD: one + one}), B: (1, {OLD: one + one + one})}), second.mark)

    assert second.unheard == (B,)
    assert second.versions[OLD].requests == 1
    assert third.versions[OLD].requests == 2
    assert third.unheard == ()


def test_without_calls_there_are_no_figures():
    assert health_of(VersionCounts()) == VersionHealth()
    assert VersionHealth().error_rate == 0.0


@pytest.mark.parametrize(
    "made",
    [
        {"requests": -1},
        {"requests": 1, "errors": 2},
        {"seconds": math.inf},
        {"requests": 1, "buckets": {BUCKETS: 1}},
        {"requests": 1, "buckets": {0: -1}},
    ],
)
def test_counts_that_nobody_can_have_counted_are_refused(made):
    with pytest.raises(BadInput):
        VersionCounts(**made)

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.model.call_counts import CallCounts
from aether.model.health import VersionHealth, cluster_health, health_of, share_of
from aether.model.sketch import BUCKETS, Sketch, bucket_of
from aether.model.version import Version

OLD, NEW = Version.parse("1.0.0"), Version.parse("2.0.0")


@st.composite
def counts(draw):
    buckets = draw(st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 50), max_size=6))
    errors = draw(st.integers(0, 20))
    return CallCounts(
        requests=sum(buckets.values()) + errors,
        errors=errors,
        seconds=draw(st.floats(0, 100)),
        latencies=Sketch(buckets),
    )


@given(counts(), counts())
def test_what_was_counted_between_two_marks_is_their_difference(before, more):
    difference = (before + more).since(before)
    assert (difference.requests, difference.errors, difference.latencies) == (
        more.requests,
        more.errors,
        more.latencies,
    )


@given(counts(), counts())
def test_a_difference_is_never_negative(one, other):
    difference = one.since(other)
    assert difference.requests >= difference.errors >= 0


def test_the_health_of_a_cluster_is_over_all_its_callers():
    told = (
        {NEW: CallCounts(requests=100, errors=1, seconds=0.99, latencies=Sketch({bucket_of(0.01): 99}))},
        {NEW: CallCounts(requests=2, errors=0, seconds=2.0, latencies=Sketch({bucket_of(1.0): 2}))},
    )
    health = cluster_health(told).of(OLD, NEW)

    assert health.old == VersionHealth()
    assert (health.new.requests, health.new.errors) == (102, 1)
    assert health.new.p50_ms == pytest.approx(10.0, rel=0.011)
    assert health.new.p99_ms == pytest.approx(1000.0, rel=0.011)
    assert health.new.mean_ms == pytest.approx(1e3 * 2.99 / 101)
    assert health.new.error_rate == pytest.approx(1 / 102)


def test_a_share_is_another_one_when_its_update_or_a_weight_is():
    shares = [("u1", {"1.0.0": 99, "2.0.0": 1}), ("u1", {"1.0.0": 9, "2.0.0": 1}), ("u2", {"1.0.0": 9, "2.0.0": 1})]
    assert len({share_of(*share) for share in shares}) == 3
    assert share_of("u", {"2.0.0": 1, "1.0.0": 0}) == share_of("u", {"2.0.0": 1})


def test_without_calls_there_are_no_figures():
    assert health_of(CallCounts()) == VersionHealth()
    assert VersionHealth().error_rate == 0.0


@pytest.mark.parametrize(
    "made",
    [
        {"requests": -1},
        {"requests": 1, "errors": 2},
        {"seconds": math.inf},
        {"requests": 2**64},
    ],
)
def test_counts_that_nobody_can_have_counted_are_refused(made):
    with pytest.raises(BadInput):
        CallCounts(**made)

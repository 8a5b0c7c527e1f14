"""Two hours of one node, and what its minutes and its last seconds say."""

from array import array
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.metrics.derived import DerivedMetrics, derive, slope
from aether.metrics.figures import FIGURES, PLACES
from aether.metrics.minutes import MinuteAggregate, aggregate
from aether.metrics.rings import empty_row
from aether.metrics.windows import NodeWindow

CPU, LAG, TERM = PLACES["cpu.usage"], PLACES["loop.lag_s"], PLACES["raft.term"]


def row(**values):
    result = empty_row(len(FIGURES))
    for name, value in values.items():
        result[PLACES[name.replace("__", ".")]] = value
    return result


def filled(seconds, value=lambda second: row(cpu__usage=second)):
    window = NodeWindow()
    for second in range(seconds):
        window.put(second + 0.4, value(second))
    return window


def test_ten_minutes_are_kept_by_the_second_and_two_hours_by_ten():
    now = 3 * 3600
    points = list(filled(now + 1).points(CPU, now - 7200, now))
    coarse = [p for p in points if p[0] < now - 590]
    fine = [p for p in points if p[0] >= now - 590]

    assert [at for at, _ in fine] == [float(s) for s in range(now - 590, now + 1)]
    assert [at for at, _ in coarse] == [float(s) for s in range(now - 7200, now - 590, 10)]
    assert all(value == at + 4.5 for at, value in coarse), "the mean of its ten seconds"


def test_a_short_span_has_its_seconds_alone():
    assert list(filled(100).points(CPU, 95.2, 99.0)) == [(96.0, 96.0), (97.0, 97.0), (98.0, 98.0), (99.0, 99.0)]


def test_the_worst_and_the_last_survive_where_a_mean_would_hide_them():
    """A pause of a second is what one looks for an hour later."""
    window = filled(1300, lambda s: row(loop__lag_s=5.0 if s == 13 else 0.0, raft__term=7 if s >= 15 else 3))
    old = dict(window.points(LAG, 0, 1299))
    terms = dict(window.points(TERM, 0, 1299))

    assert (old[0.0], old[10.0]) == (0.0, 5.0)
    assert (terms[0.0], terms[10.0]) == (3.0, 7.0)


def test_a_row_that_comes_late_finds_its_second_and_its_ten():
    window = NodeWindow()
    for second in [*range(14), *range(16, 700), 14, 15]:
        window.put(second, row(cpu__usage=second))

    assert dict(window.points(CPU, 0, 699))[10.0] == 14.5


@given(st.lists(st.integers(0, 4000), max_size=80))
def test_points_are_in_order_and_within_the_span(seconds):
    window = NodeWindow()
    for second in seconds:
        window.put(second, row(cpu__usage=1.0))
    now = max(seconds, default=0)
    points = [at for at, _ in window.points(CPU, now - 2000, now)]

    assert points == sorted(set(points))
    assert all(now - 2000 <= at <= now for at in points)


def test_minutes_are_means_and_sums_of_their_seconds():
    window = filled(
        121,
        lambda s: row(cpu__usage=0.5, loop__lag_mean_s=0.002, gc__pause_s=0.001, calls__rate=10, calls__mean_s=0.02),
    )
    (first, minute), (second, _) = window.minutes(120)

    assert (first, second) == (0, 60)
    assert minute.cpu_usage == pytest.approx(0.5)
    assert minute.loop_lag_ms == pytest.approx(2.0)
    assert minute.gc_pause_ms == pytest.approx(60.0)
    assert minute.invocations == 600
    assert minute.latency_ms == pytest.approx(20.0)
    assert minute.sample_count == 60
    assert minute.is_healthy
    assert len(minute.features) == 11


def test_only_two_hours_of_minutes_are_kept():
    window = filled(60 * 125)

    assert len(window.minutes(1000)) == 120
    assert [began for began, _ in window.minutes(2)] == [60 * 122, 60 * 123]


def test_a_minute_that_nobody_told_is_left_out():
    window = NodeWindow()
    for second in (0, 61 * 3, 61 * 5):
        window.put(second, row(cpu__usage=1.0))

    assert [began for began, _ in window.minutes(120)] == [0, 180]


def test_percentiles_of_a_minute_are_weighed_by_calls():
    """One idle second with a slow call says little beside a busy one."""
    minute = aggregate([row(calls__rate=99, calls__p95_s=0.010), row(calls__rate=1, calls__p95_s=1.0)])

    assert minute.p95_ms == pytest.approx(0.99 * 10 + 0.01 * 1000)


def test_nothing_told_makes_an_empty_minute():
    assert aggregate([empty_row(len(FIGURES))]) == MinuteAggregate()


def test_the_score_of_an_idle_node_is_one_and_of_a_lost_one_zero():
    lost = derive(
        [row(calls__rate=10, calls__p99_s=5.0, calls__failure_rate=0.5, loop__lag_mean_s=3.0, heap__usage=1.0)]
    )

    assert DerivedMetrics().health_score == pytest.approx(1.0)
    assert lost.health_score == 0.0
    assert lost.is_stressed
    assert not lost.has_capacity


@given(
    st.lists(
        st.lists(st.floats(0, 1e6, width=32) | st.just(nan), min_size=len(FIGURES), max_size=len(FIGURES)), max_size=4
    )
)
def test_a_score_lies_between_zero_and_one_whatever_was_told(rows):
    derived = derive([array("f", values) for values in rows])

    assert 0 <= derived.health_score <= 1
    assert 0 <= derived.loop_saturation <= 1
    assert 0 <= derived.heap_saturation <= 1


def test_trends_are_changes_per_minute():
    derived = derive([row(cpu__usage=0.01 * second) for second in range(60)])

    assert derived.cpu_trend == pytest.approx(0.6, rel=1e-4)
    assert slope([3.0]) == 0.0
    assert slope([]) == 0.0

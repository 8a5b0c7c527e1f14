"""When a figure of a soak is called flat: a verdict that is wrong would hide a leak, or cry wolf."""

import math

import pytest
from benchmarks.soak.flatness import HOUR_S, Bound, Point, Trend, judge
from hypothesis import given
from hypothesis import strategies as st

BOUND = Bound(per_hour=10.0, slack=2.0, watched_s=240.0)
SPANS = st.floats(600.0, 7_200.0)
NOISE = st.floats(0.0, 0.8)


def life(span_s, value_at, name="a", begin_s=0.0, every_s=10.0):
    count = int(span_s / every_s)
    return [Point(begin_s + n * every_s, value_at(n * every_s), name) for n in range(count + 1)]


def saw(at_s, period_s, height):
    return height * (at_s % period_s) / period_s


@given(SPANS, NOISE, st.integers(0, 1_000), st.floats(0.0, 1e6))
def test_noise_around_a_level_is_flat(span_s, noise, seed, level):
    points = life(span_s, lambda t: level + noise * math.sin(seed + t * 1.7))

    assert judge(points, BOUND).trend is Trend.FLAT


@given(SPANS, NOISE, st.floats(60.0, 1_000.0), st.floats(0.0, 1e6))
def test_a_leak_grows_as_soon_as_it_is_steeper_than_what_is_visible(span_s, noise, per_hour, level):
    points = life(span_s, lambda t: level + per_hour * t / HOUR_S + noise * math.sin(t * 1.7))
    found = judge(points, BOUND)

    if per_hour * (1 - 0.5) > found.visible_per_hour:
        assert found.trend is Trend.GROWS
    assert found.per_hour == pytest.approx(per_hour, abs=8 * noise * HOUR_S / span_s + 1e-3)


@given(SPANS, st.floats(100.0, 1_000.0), st.integers(1, 6))
def test_restarts_do_not_hide_a_leak(span_s, per_hour, lives):
    """Each life begins small again, so the figure over all of them goes up and down."""
    points = [
        point for n in range(lives) for point in life(span_s, lambda t: 50 + per_hour * t / HOUR_S, n, n * span_s)
    ]
    found = judge(points, BOUND)

    assert found.lives == lives
    if per_hour > found.visible_per_hour:
        assert found.trend is Trend.GROWS


@given(SPANS, st.lists(st.floats(0.0, 1e4), min_size=2, max_size=6))
def test_a_restart_is_no_growth_whatever_the_next_life_begins_with(span_s, levels):
    points = [p for n, level in enumerate(sorted(levels)) for p in life(span_s, lambda t, v=level: v, n, n * span_s)]

    assert judge(points, BOUND).trend is Trend.FLAT


@given(st.floats(1_800.0, 7_200.0), st.floats(20.0, 100.0), st.floats(0.1, 500.0))
def test_a_saw_whose_teeth_are_many_is_flat(span_s, period_s, height):
    """Segments of a log come and go, garbage is collected."""
    bound = Bound(per_hour=10.0, slack=max(2.0, height / 2))

    assert judge(life(span_s, lambda t: saw(t, period_s, height)), bound).trend is Trend.FLAT


@given(SPANS, st.floats(0.0, 1e4))
def test_what_fills_while_it_is_warming_is_no_growth(span_s, height):
    points = life(span_s, lambda t: height * min(1.0, t / (0.33 * span_s)))

    assert judge(points, BOUND).trend is Trend.FLAT


@given(SPANS, st.randoms(use_true_random=False), st.floats(-500.0, 500.0))
def test_the_order_of_the_points_does_not_matter(span_s, rng, per_hour):
    points = life(span_s, lambda t: per_hour * t / HOUR_S)
    shuffled = rng.sample(points, len(points))

    assert judge(shuffled, BOUND) == judge(points, BOUND)


@given(st.floats(0.0, 350.0), st.floats(0.0, 1e6))
def test_what_was_watched_for_too_short_a_time_is_never_called_flat(span_s, per_hour):
    """Two thirds of six minutes are less than four minutes."""
    found = judge(life(span_s, lambda t: per_hour * t / HOUR_S), BOUND)

    assert found.trend is Trend.TOO_SHORT
    assert found.visible_per_hour == math.inf


@given(SPANS, st.floats(100.0, 1_000.0))
def test_a_third_of_the_points_may_lie(span_s, per_hour):
    """A look in the middle of a snapshot sees two of them."""
    truth = life(span_s, lambda t: per_hour * t / HOUR_S)
    points = [Point(p.at_s, 1e6, p.life) if n % 7 == 3 else p for n, p in enumerate(truth)]
    found = judge(points, BOUND)

    if per_hour / 2 > found.visible_per_hour:
        assert found.trend is Trend.GROWS


def test_what_shrinks_and_what_is_not_there():
    assert judge([], BOUND).trend is Trend.TOO_SHORT
    assert judge([Point(0.0, 1.0)], BOUND).trend is Trend.TOO_SHORT
    assert judge(life(3_600, lambda t: -t), BOUND).trend is Trend.FLAT


def test_growth_within_the_slack_is_noise_and_its_verdict_says_what_it_could_have_seen():
    found = judge(life(900, lambda t: 11.0 * t / HOUR_S), BOUND)

    assert found.trend is Trend.FLAT  # 11 an hour is too much, but in ten minutes it is less than two
    assert found.watched_s == pytest.approx(600, abs=10)
    assert found.visible_per_hour == pytest.approx(12.0, rel=0.02)

"""Figures are checked, windows are cut by time, lines are drawn through them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.control.played import CALM, EPOCH_S, figures, window

from aether.control.figures import SIGNALS, SliceFigures, covered_s, newest
from aether.control.rules import most, opinions
from aether.control.settings import ControllerSettings
from aether.control.steps import since_last_s, step_down, step_up
from aether.control.trend import FLAT, trend_of


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_what_is_no_figure_is_refused_with_its_name(value):
    with pytest.raises(ValueError, match="p95_s"):
        SliceFigures(at=0.0, active=1, p95_s=value)


def test_every_signal_is_told_to_the_journal():
    assert figures(0.0, 1, 10.0).signals().keys() == SIGNALS.keys()


def test_a_window_is_cut_by_time():
    seen = newest(window(2, 100.0), EPOCH_S, 15.0)

    assert [EPOCH_S - each.at for each in seen] == [15.0, 10.0, 5.0, 0.0]
    assert covered_s(seen) == 15.0
    assert covered_s(()) == 0.0


@given(slope=st.floats(-5, 5), start=st.floats(0, 100), count=st.integers(4, 40))
def test_a_line_is_found_again(slope, start, count):
    line = trend_of([(float(n), start + slope * n) for n in range(count)])

    assert line.slope == pytest.approx(slope, abs=1e-6)
    if abs(slope) > 1e-3:
        assert line.is_clear
    assert line.ahead(1e9) >= 0.0


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e9)), max_size=30))
def test_no_points_make_a_line_fail(points):
    line = trend_of(sorted(points))

    assert 0.0 <= line.fit <= 1.0
    assert math.isfinite(line.ahead(30.0))


def test_too_few_points_are_no_line():
    assert trend_of([(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]) == FLAT


@given(
    active=st.integers(1, 50),
    cpu=st.floats(0, 1),
    share=st.floats(0, 1),
    rate=st.floats(0, 1e5),
    in_flight=st.floats(0, 1e4),
    queued=st.floats(0, 1e4),
    p95_s=st.floats(0, 100),
    loop_lag_s=st.floats(0, 10),
    slots=st.integers(1, 64),
)
def test_rules_ask_for_one_at_least_and_say_why_in_words(active, slots, **signals):
    said = opinions(SliceFigures(at=0.0, active=active, **signals), CALM, slots)

    assert most(said) >= 1
    for opinion in said:
        reason = opinion.reason(15.0)
        assert "{" not in reason.text
        assert reason.signal in SIGNALS
        assert reason.window_s == 15.0


def test_no_instance_means_no_opinion():
    assert opinions(figures(0.0, 0), CALM, 16) == []
    assert most([]) is None


@given(count=st.integers(1, 1000))
def test_a_step_is_one_at_least_and_bounded_both_ways(count):
    s = ControllerSettings(step_up=4, step_up_ratio=0.5, step_down=3, step_down_ratio=0.25)

    assert 1 <= step_up(count, s) <= 4
    assert step_up(count, s) <= max(1, count / 2)
    assert 1 <= step_down(count, s) <= 3
    assert step_down(count, s) <= max(1, count / 4)


def test_an_entry_of_a_clock_that_was_far_ahead_holds_nobody_back():
    from tests.control.test_bounds import changed

    assert since_last_s([changed(EPOCH_S - 20)], EPOCH_S) == 20
    assert since_last_s([changed(EPOCH_S + 20)], EPOCH_S) == 0
    assert since_last_s([changed(EPOCH_S + 3600)], EPOCH_S) == math.inf
    assert since_last_s([], EPOCH_S) == math.inf

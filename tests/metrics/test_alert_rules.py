"""When an alert begins and ends: pure, with hysteresis."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.metrics.alert_rules import cleared_below, judge
from aether.metrics.thresholds import DEFAULTS, check_threshold, effective, is_known
from aether.model.alerts import AlertRow, Severity, ThresholdRow
from aether.model.limits import ALERT_CLEAR_SAMPLES, ALERT_GONE_SAMPLES, ALERT_RAISE_SAMPLES, ALERTS_MAX

CPU = ThresholdRow(metric="cpu.usage", warning=0.7, critical=0.9)
SUBJECT = ("cpu.usage", "n1")


class Second:
    """Figures second by second, and the rows that follow from them."""

    def __init__(self, threshold=CPU):
        self.thresholds = {threshold.metric: threshold}
        self.rows, self.streaks, self.now, self.told = {}, {}, 0.0, []

    def take(self, value, *, live=("n1",)):
        self.now += 1.0
        samples = {} if value is None else {SUBJECT: value}
        found = judge(self.thresholds, samples, live, self.rows, self.streaks, self.now)
        self.streaks = found.streaks
        for change in found.changes:
            if change.row is None:
                del self.rows[change.subject]
                self.told.append((self.now, "RESOLVED"))
            else:
                self.rows[change.subject] = change.row
                self.told.append((self.now, change.row.severity.value))

    def all(self, values):
        for value in values:
            self.take(value)
        return [what for _, what in self.told]


def test_an_alert_begins_after_some_figures_and_ends_after_more():
    second = Second()
    assert second.all([0.8] * (ALERT_RAISE_SAMPLES - 1)) == []
    assert second.all([0.8]) == ["WARNING"]
    assert second.all([0.1] * (ALERT_CLEAR_SAMPLES - 1)) == ["WARNING"]
    assert second.all([0.1]) == ["WARNING", "RESOLVED"]


def test_a_spike_of_one_second_is_no_alert():
    assert Second().all([0.1, 0.99, 0.1, 0.1, 0.99] * 10) == []


def test_it_becomes_graver_at_once_and_milder_later():
    second = Second()
    assert second.all([0.95] * ALERT_RAISE_SAMPLES) == ["CRITICAL"]
    assert second.all([0.8] * ALERT_CLEAR_SAMPLES) == ["CRITICAL", "WARNING"]
    assert second.all([0.95] * ALERT_RAISE_SAMPLES) == ["CRITICAL", "WARNING", "CRITICAL"]
    assert second.all([0.1] * ALERT_CLEAR_SAMPLES)[-1] == "RESOLVED"


def test_it_says_since_when_it_stands_and_which_threshold_was_crossed():
    second = Second()
    second.all([0.8] * ALERT_RAISE_SAMPLES)
    begun = second.rows[SUBJECT].since
    second.all([0.95] * ALERT_RAISE_SAMPLES)

    assert second.rows[SUBJECT] == AlertRow(
        metric="cpu.usage", subject="n1", severity=Severity.CRITICAL, value=0.95, threshold=0.9, since=begun
    )


def test_a_figure_that_is_missing_changes_nothing_while_its_node_lives():
    second = Second()
    second.all([0.8] * ALERT_RAISE_SAMPLES)
    assert second.all([None] * 100) == ["WARNING"]


def test_the_alert_of_a_node_that_is_gone_ends():
    second = Second()
    second.all([0.8] * ALERT_RAISE_SAMPLES)
    for _ in range(ALERT_GONE_SAMPLES):
        second.take(None, live=())
    assert second.told[-1][1] == "RESOLVED"


def test_the_alert_of_a_threshold_that_was_removed_ends_at_once():
    second = Second()
    second.all([0.8] * ALERT_RAISE_SAMPLES)
    second.thresholds = {}
    assert second.all([0.8]) == ["WARNING", "RESOLVED"]


def test_a_new_leader_raises_nothing_again():
    """It knows the rows, and no streaks."""
    second = Second()
    second.all([0.8] * ALERT_RAISE_SAMPLES)
    second.streaks = {}
    assert second.all([0.8] * 20) == ["WARNING"]


def test_there_is_an_end_to_how_many_alerts_stand():
    samples = {("cpu.usage", f"n{n}"): 1.0 for n in range(ALERTS_MAX + 7)}
    streaks, rows, dropped = {}, {}, 0
    for now in range(ALERT_RAISE_SAMPLES):
        found = judge({"cpu.usage": CPU}, samples, set(), rows, streaks, float(now))
        streaks, dropped = found.streaks, found.dropped
        rows |= {change.subject: change.row for change in found.changes}
    assert (len(rows), dropped) == (ALERTS_MAX, 7)


FIGURES = st.lists(st.one_of(st.none(), st.floats(0, 1.2), st.just(float("nan"))), max_size=80)


@settings(max_examples=200)
@given(FIGURES)
def test_between_two_changes_there_is_always_a_run_of_figures_that_explains_the_second(figures):
    """No flapping: what ends an alert, or makes it milder, took ALERT_CLEAR_SAMPLES; what begins one, three."""
    second = Second()
    second.all(figures)
    rank = {"RESOLVED": 0, "WARNING": 1, "CRITICAL": 2}
    at, level = 0.0, 0
    for when, what in second.told:
        needed = ALERT_CLEAR_SAMPLES if rank[what] < level else ALERT_RAISE_SAMPLES
        assert when - at >= needed
        assert rank[what] != level
        at, level = when, rank[what]


@settings(max_examples=200)
@given(st.lists(st.floats(cleared_below(0.7), 0.89), max_size=100))
def test_a_figure_that_swings_around_its_threshold_changes_an_alert_once_at_most(figures):
    assert Second().all(figures) in ([], ["WARNING"])


@pytest.mark.parametrize("limit", [0.0, -5.0, 3.0])
def test_the_margin_lies_below_also_for_limits_that_are_not_positive(limit):
    assert cleared_below(limit) <= limit


@pytest.mark.parametrize(
    ("metric", "warning", "critical", "problem"),
    [
        ("cpu.usage", 0.9, 0.7, "warning 0.9 lies above critical 0.7"),
        ("cpu.usage", float("nan"), 0.7, "no finite number"),
        ("cpu usage", 0.1, 0.2, "no name of a figure"),
        ("error", 0.1, 0.2, "no name of a figure"),
        ("x" * 101, 0.1, 0.2, "no name of a figure"),
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused(metric, warning, critical, problem):
    with pytest.raises(BadInput, match=problem):
        check_threshold(metric, warning, critical)


def test_what_holds_at_birth_holds_until_a_row_says_otherwise():
    """In the original it vanished with the first row of any metric."""
    other = ThresholdRow(metric="loop.lag_s", warning=0.1, critical=0.5)
    off = ThresholdRow(metric="cpu.usage", warning=0.7, critical=0.9, is_off=True)

    assert list(effective([other])) == ["cpu.usage", "heap.usage", "loop.lag_s"]
    assert list(effective([other, off])) == ["heap.usage", "loop.lag_s"]
    assert all(map(is_known, DEFAULTS))
    assert [is_known(name) for name in ("method.p95_s", "method.x", "p95_s", "test.metric")] == [
        True,
        False,
        False,
        False,
    ]

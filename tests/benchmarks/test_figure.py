"""Rows of the benchmark table: a verdict that is wrong would hide a miss."""

import json

import pytest
from benchmarks.figure import Figure, Goal, medians, table


@pytest.mark.parametrize(
    ("ours", "goal", "is_met"),
    [
        (199.0, Goal(2.0), True),
        (201.0, Goal(2.0), False),
        (31.0, Goal(0.3, at_least=True), True),
        (29.0, Goal(0.3, at_least=True), False),
        (69.0, Goal(70.0, is_ratio=False), True),
        (71.0, Goal(70.0, is_ratio=False), False),
        (1e9, None, True),
    ],
)
def test_a_goal_bounds_the_ratio_or_the_figure_from_its_side(ours: float, goal: Goal | None, is_met: bool) -> None:
    """Latencies are bounded from above and rates from below; import time is absolute."""
    assert Figure("x", "us", ours, 100.0, goal).is_met is is_met


def test_the_table_says_met_and_missed_and_nothing_where_no_goal_is() -> None:
    """Who reads the last column must see every miss."""
    rows = [
        Figure("fast", "us", 1.0, 1.0, Goal(2.0)),
        Figure("slow", "us", 3.0, 1.0, Goal(2.0)),
        Figure("free", "/s", 2.0, 0.0),
    ]
    lines = table(rows).splitlines()
    assert len(lines) == 4
    assert lines[1].split() == ["fast", "1", "us", "1", "us", "1.00", "<=", "2", "x", "bare", "met"]
    assert lines[2].split() == ["slow", "3", "us", "1", "us", "3.00", "<=", "2", "x", "bare", "MISSED"]
    assert lines[3].split() == ["free", "2", "/s", "0", "/s", "-", "-"]


def test_a_figure_survives_the_pipe_between_the_processes() -> None:
    """Each benchmark runs in a process of its own, and its goal must arrive with its figure."""
    for goal in (None, Goal(0.25, is_ratio=False)):
        figure = Figure("import aether", "s", 0.2, 0.1, goal)
        assert Figure.from_plain(json.loads(json.dumps(figure.to_plain()))) == figure


def test_medians_are_taken_column_by_column() -> None:
    """One disturbed round must not move the figure."""
    assert medians([(1.0, 10.0), (100.0, 12.0), (2.0, 11.0)]) == (2.0, 11.0)

"""Deadlines that move: none is missed, none comes early, and the queue stays short."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.web.deadlines import NEVER, Deadlines, Pace, Timer

moves = st.lists(st.tuples(st.integers(0, 4), st.one_of(st.integers(0, 100), st.just(NEVER)), st.integers(0, 5)))


@given(moves)
def test_a_deadline_passes_at_its_time_whatever_it_was_before(script):
    """The model is a dictionary that is searched whole at each step."""
    deadlines = Deadlines()
    timers = [Timer(lambda _: None) for _ in range(5)]
    model: dict[int, float] = {}
    now = 0.0
    for number, after, elapsed in script:
        first_before = deadlines.next_s()
        woken = deadlines.set(timers[number], now + after)
        model[number] = now + after
        assert woken is (deadlines.next_s() < first_before)
        assert deadlines.next_s() <= min(model.values())
        now += elapsed
        due = {timers.index(timer) for timer in deadlines.due(now)}
        assert due == {n for n, at in model.items() if at <= now}
        for n in due:
            del model[n]


def test_a_deadline_that_moves_with_every_request_costs_one_entry():
    """A busy connection must not fill the queue, nor one that is looked at again and again."""
    deadlines = Deadlines()
    timer = Timer(lambda _: None)
    for step in range(10_000):
        deadlines.set(timer, step * 0.001 + 0.002)  # a handler begins
        deadlines.set(timer, step * 0.001 + 60)  # it was quick
        assert not deadlines.due(step * 0.001)
        assert len(deadlines) <= 3


def test_an_ended_timer_lets_go_of_its_owner():
    timer = Timer(lambda _: None)
    deadlines = Deadlines()
    deadlines.set(timer, 5)
    timer.end()
    assert timer.passed is None
    assert deadlines.due(10) == []
    assert len(deadlines) == 0


def test_a_pace_counts_waiting_alone_and_each_byte_lengthens_it():
    """30 s, and one more for each 1,000 bytes."""
    pace = Pace(30.0, 1_000)
    assert pace.begin(100.0) == pytest.approx(130.0)
    pace.end(110.0, moved=5_000)
    assert pace.begin(500.0) == pytest.approx(525.0)  # 20 s left, and 5 for what moved
    assert pace.left_s(520.0) == pytest.approx(5.0)
    assert pace.left_s(530.0) == pytest.approx(-5.0)

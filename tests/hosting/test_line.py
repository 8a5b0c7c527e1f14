"""Who runs, who waits, who is refused, who is sent away."""

import math

import pytest
from benchmarks.overload_lines import Ours, simulate
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from aether.hosting.line import LEVELS, RETRY_AFTER_S_MIN, Line, Refused, Waiting
from aether.invocation.reply import FULL, LATE

LOW, NORMAL, HIGH = LEVELS["low"], LEVELS["normal"], LEVELS["high"]


def busy(concurrency=2, queue=10, held_s=0.0, method=""):
    """A line whose slots are all taken, and that knows how long calls run."""
    line = Line(concurrency, queue)
    while line.try_run():
        pass
    if held_s:
        line.ended(method, held_s)
    return line


def wait(line, who, now=0.0, **options):
    return line.wait(who, now, **options)[0]


def next_of(line, now=0.0):
    call, sent = line.next(now)
    return None if call is None else call.who, sent


def test_first_come_first_served_inside_a_class_and_higher_classes_before_lower():
    line = busy()
    for who, level in [("n1", NORMAL), ("l1", LOW), ("h1", HIGH), ("n2", NORMAL), ("h2", HIGH)]:
        wait(line, who, level=level)

    assert [next_of(line)[0] for _ in range(5)] == ["h1", "h2", "n1", "n2", "l1"]


def test_a_full_queue_refuses_an_equal_and_lets_an_urgent_call_push_out_the_newest_of_the_least_urgent():
    line = busy(queue=3)
    for who, level in [("l1", LOW), ("l2", LOW), ("n1", NORMAL)]:
        wait(line, who, level=level)

    assert wait(line, "l3", level=LOW).reason == FULL
    call, sent = line.wait("h1", 0.0, level=HIGH)
    assert isinstance(call, Waiting)
    assert [(who, refused.reason) for who, refused in sent] == [("l2", FULL)]
    assert line.waiting == 3


def test_a_call_that_cannot_be_answered_in_its_time_is_refused_when_it_comes():
    """It would hold a place in the queue, run, and end in nothing."""
    line = busy(held_s=0.1, method="m")

    assert wait(line, "a", must_end=0.14, method="m").reason == LATE
    assert isinstance(wait(line, "b", must_end=0.16, method="m"), Waiting)


def test_a_queued_call_whose_time_became_too_short_is_sent_away_before_it_runs():
    line = busy(held_s=0.1, method="m")
    wait(line, "a", must_end=0.3, method="m")
    wait(line, "b", must_end=9.0, method="m")

    who, sent = next_of(line, now=0.25)
    assert who == "b"
    assert [(name, refused.reason) for name, refused in sent] == [("a", LATE)]


def test_an_estimate_that_is_too_high_does_not_refuse_for_ever():
    """One slow first call, then every call has less time than that: without doubt the method would never run again."""
    line = busy(concurrency=1, held_s=5.0, method="m")
    line.mean_s = 0.01
    tries = 0
    while isinstance(wait(line, "a", must_end=0.5, method="m"), Refused):
        tries += 1
        assert tries < 200


def test_methods_are_judged_by_their_own_times():
    line = busy(held_s=0.01, method="quick")
    line.ended("slow", 1.0)
    line.mean_s = 0.01

    assert wait(line, "a", must_end=0.5, method="slow").reason == LATE
    assert isinstance(wait(line, "b", must_end=0.5, method="quick"), Waiting)


@given(st.lists(st.sampled_from([0.01, 0.02, 0.03, 1.0]), min_size=200, max_size=300))
def test_the_typical_time_of_a_method_follows_the_median_and_not_the_worst(times):
    line = busy()
    for held_s in [0.02] * 100 + times:
        line.ended("m", held_s)
    line.mean_s = 0.0
    quick = sum(t <= 0.03 for t in times) / len(times)

    if quick > 0.6:
        assert isinstance(wait(line, "a", must_end=0.2, method="m"), Waiting)


def crowd(line, now=0.0, seconds=0.5, every_s=0.001):
    """More calls come than end; when it is over."""
    end = now + seconds
    while now < end:
        line.wait(object(), now)
        now += every_s
        if round(now / every_s) % 4 == 0:
            line.next(now)
    return now


def test_a_burst_is_served_however_long_the_queue_gets():
    """300 calls at once, and no more: that is what the queue is for."""
    line = busy(concurrency=16, queue=300, held_s=0.02)
    answers = [wait(line, n, now=0.0) for n in range(300)]
    assert all(isinstance(answer, Waiting) for answer in answers)
    served, now = [], 0.0
    while line.waiting:
        now += 0.02 / 16
        who, sent = next_of(line, now)
        served.append(who)
        assert not sent

    assert served == list(range(300))
    assert not line.overloaded(now)


def test_while_more_come_than_end_nobody_is_let_in_who_would_wait_long():
    line = busy(concurrency=2, queue=1_000, held_s=0.01)
    now = crowd(line)

    assert line.overloaded(now)
    answers = [wait(line, n, now) for n in range(10)]
    assert sum(isinstance(answer, Waiting) for answer in answers) <= 2
    assert answers[-1].reason == FULL


def test_under_overload_the_low_class_is_refused_first():
    line = busy(concurrency=2, queue=1_000, held_s=0.01)
    now = crowd(line)
    line.clear()

    assert wait(line, "low", now, level=LOW).reason == FULL
    assert isinstance(wait(line, "normal", now, level=NORMAL), Waiting)


def test_overload_is_over_half_a_second_after_it_was_last_seen():
    line = busy(concurrency=2, queue=1_000, held_s=0.01)
    now = crowd(line)
    line.clear()

    assert line.overloaded(now + 0.4)
    assert not line.overloaded(now + 0.6)


def test_retry_after_is_the_time_of_the_line_in_front_spread_over_as_much_again():
    """All who are refused together must not come back together."""
    line = busy(concurrency=4, queue=100, held_s=0.2)
    for n in range(39):
        wait(line, n)
    said = [line.retry_after_s() for _ in range(200)]

    assert 2.0 <= min(said) < 2.1
    assert 3.9 < max(said) <= 4.0
    halves = sum(s < 3.0 for s in said)
    assert 90 <= halves <= 110


def test_retry_after_is_never_nothing():
    assert busy().retry_after_s() >= RETRY_AFTER_S_MIN


@pytest.mark.parametrize(("load", "goodput", "p99"), [(0.9, 0.87, 2.0), (1.5, 0.95, 2.0), (3.0, 0.95, 2.0)])
def test_sixteen_slots_stay_useful_under_too_many_calls(load, goodput, p99):
    """The promise of the howto page: three times the capacity costs nothing of it, and accepted calls stay quick."""
    useful, _, worst = simulate(Ours(), load)

    assert useful >= goodput
    assert worst <= p99


class Lines(RuleBasedStateMachine):
    """Whatever comes, waits, leaves and ends, the counts are those of a queue with limits."""

    def __init__(self):
        super().__init__()
        self.line, self.now, self.number = Line(2, 4), 0.0, 0
        self.in_queue, self.running = {}, 0

    @rule(level=st.sampled_from([LOW, NORMAL, HIGH]), left_s=st.sampled_from([0.001, 0.05, 1.0, math.inf]))
    def comes(self, level, left_s):
        self.number += 1
        if self.line.try_run():
            self.running += 1
            return
        call, sent = self.line.wait(self.number, self.now, must_end=self.now + left_s, level=level, method="m")
        self.gone(sent)
        if isinstance(call, Waiting):
            self.in_queue[self.number] = call

    @rule(held_s=st.sampled_from([0.0, 0.001, 0.02, 0.5]))
    def ends(self, held_s):
        if self.running:
            self.line.ended("m", held_s)
            call, sent = self.line.next(self.now)
            self.gone(sent)
            if call is None:
                self.running -= 1
            else:
                del self.in_queue[call.who]

    @rule(data=st.data())
    def leaves(self, data):
        if self.in_queue:
            self.line.leave(self.in_queue.pop(data.draw(st.sampled_from(sorted(self.in_queue)))))

    @rule(seconds=st.floats(0, 1))
    def time_passes(self, seconds):
        self.now += seconds

    def gone(self, sent):
        for who, refused in sent:
            del self.in_queue[who]
            assert refused.retry_after_s > 0

    @invariant()
    def counts_fit(self):
        assert self.line.running == self.running <= 2
        assert self.line.waiting == len(self.in_queue) <= 4
        assert not self.in_queue or self.running == 2  # nobody waits beside a free slot


TestLines = Lines.TestCase

"""One set of counters for every method of every version that a node calls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.metrics import method_counters
from aether.metrics.method_counters import OTHER, MethodCounter, MethodCounters
from aether.metrics.slow_calls import Adaptive, Fixed, PerMethod, SlowCall
from aether.model import limits
from aether.model.artifact import Artifact
from aether.model.sketch import bucket_of

PRICING = Artifact.parse("shop:pricing:1.0.0")


def slow(number=0):
    return SlowCall(at_s=1.0, latency_s=2.0, request_id=f"r{number}", instance="i")


@given(st.lists(st.floats(0, 5_000), max_size=30))
def test_each_latency_falls_into_the_bucket_of_its_own(latencies):
    counter = MethodCounter(Fixed())
    for latency_s in latencies:
        counter.answered(latency_s)
    counts = counter.counts()

    assert counts.requests == len(latencies)
    assert counts.seconds == pytest.approx(sum(latencies))
    near = [{bucket_of(latency_s) - 1, bucket_of(latency_s), bucket_of(latency_s) + 1} for latency_s in latencies]
    assert all(buckets & counts.latencies.buckets.keys() for buckets in near)  # rounding: one off at the edge of two


def test_what_a_version_counted_is_the_sum_of_its_methods():
    counters = MethodCounters()
    counters.of(PRICING, "quote").answered(0.1)
    counters.of(PRICING, "ticks").failed()
    counters.of(Artifact.parse("shop:pricing:1.1.0"), "quote").answered(0.1)

    counts = counters.counts(PRICING.base)[PRICING.version]
    assert (counts.requests, counts.errors, counts.latencies.count) == (2, 1, 1)
    assert counters.versions()["shop:pricing:1.0.0"] == counts
    assert len(counters.versions()) == 2


def test_methods_beyond_the_limit_are_counted_together_and_none_is_lost(monkeypatch):
    """Names come from callers: they must not fill the memory of a node."""
    monkeypatch.setattr(method_counters, "METHODS_COUNTED_MAX", 3)
    counters = MethodCounters()
    for number in range(10):
        counters.of(PRICING, f"method{number}").answered(0.1)
        counters.of(PRICING, "method0").answered(0.1)

    counted = {method: counter.counts().requests for _, method, counter in counters}
    assert counted == {"method0": 11, "method1": 1, "method2": 1, OTHER: 7}
    assert counters.counts(PRICING.base)[PRICING.version].requests == 20


def test_versions_that_are_gone_are_forgotten_oldest_first(monkeypatch):
    monkeypatch.setattr(method_counters, "VERSIONS_COUNTED_MAX", 2)
    counters = MethodCounters()
    versions = [Artifact.parse(f"shop:pricing:1.{minor}.0") for minor in range(4)]
    for artifact in versions:
        counters.of(artifact, "quote").failed()
    counters.keep([versions[0], versions[3]])

    assert set(counters.counts(PRICING.base)) == {versions[0].version, versions[3].version}
    assert limits.VERSIONS_COUNTED_MAX > limits.VERSIONS_TOLD_MAX


def test_a_new_version_gets_counters_of_its_own_once_an_old_one_is_gone(monkeypatch):
    monkeypatch.setattr(method_counters, "METHODS_COUNTED_MAX", 2)
    counters = MethodCounters()
    old, new = PRICING, Artifact.parse("shop:pricing:2.0.0")
    counters.of(old, "a")
    counters.of(old, "b")
    counters.of(new, "a").failed()
    counters.keep([new])
    counters.of(new, "a").failed()

    assert {(str(artifact.version), method) for artifact, method, _ in counters} == {("2.0.0", OTHER), ("2.0.0", "a")}


def test_the_last_slow_calls_of_a_method_are_kept():
    counter = MethodCounter(Fixed())
    for number in range(limits.SLOW_CALLS_KEPT + 5):
        counter.was_slow(slow(number))

    assert counter.slow_calls == limits.SLOW_CALLS_KEPT + 5
    assert [call.request_id for call in counter.slowest] == [f"r{n}" for n in range(5, 5 + limits.SLOW_CALLS_KEPT)]


@given(st.lists(st.floats(0.0001, 20), min_size=1, max_size=60))
def test_the_adaptive_threshold_is_that_of_the_moving_average(latencies):
    """First ten calls: the minimum. Then three times an average in which the newest call weighs a tenth, clamped."""
    rule = Adaptive(0.01, 1.0, 3.0)
    counter = MethodCounter(rule)
    average_s = latencies[0]
    for number, latency_s in enumerate(latencies, 1):
        counter.answered(latency_s)
        average_s += 0.1 * (latency_s - average_s) if number > 1 else 0
        wanted = 0.01 if number < 10 else min(max(3 * average_s, 0.01), 1.0)
        assert counter.slow_over_s == pytest.approx(wanted)


def test_a_strategy_that_is_set_holds_for_counters_old_and_new():
    counters = MethodCounters()
    quote, ticks = counters.of(PRICING, "quote"), counters.of(PRICING, "ticks")
    quote.answered(0.2)
    counters.judge_by(PerMethod(0.5, {"quote": 0.05}))
    assert (quote.slow_over_s, ticks.slow_over_s) == (0.05, 0.5)
    assert counters.of(PRICING, "late").slow_over_s == 0.5

    counters.judge_by(Fixed(2.0))
    quote.answered(0.2)
    assert {counter.slow_over_s for _, _, counter in counters} == {2.0}


@given(st.lists(st.floats(0, 100), max_size=20), st.floats(0, 100), st.booleans())
def test_the_mark_of_a_counter_moves_with_every_call(before, latency_s, failed):
    """Also with one that took no time, as all do inside one instant of virtual time."""
    counter = MethodCounter(Fixed())
    for each in before:
        counter.answered(each)
    mark = counter.mark
    if failed:
        counter.failed()
    else:
        counter.answered(latency_s)

    assert counter.mark != mark

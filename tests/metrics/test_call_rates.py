"""How the calls of the last second went."""

import pytest

from aether.metrics.call_rates import CallRates
from aether.metrics.method_counters import MethodCounters
from aether.model.artifact import Artifact

OLD, NEW = Artifact.parse("shop:pricing:1.0.0"), Artifact.parse("shop:pricing:2.0.0")


def called(counters, artifact, latencies, failures=0):
    counter = counters.of(artifact, "quote")
    for latency_s in latencies:
        counter.answered(latency_s)
    for _ in range(failures):
        counter.failed()


def test_the_second_is_that_of_all_methods_together():
    counters, rates = MethodCounters(), CallRates()
    called(counters, OLD, [1.0] * 1000)
    assert rates.figures(counters, 10.0) == {}
    called(counters, OLD, [0.010] * 90)
    called(counters, NEW, [0.100] * 10, failures=100)
    figures = rates.figures(counters, 12.0)

    assert figures["calls.rate"] == 100.0
    assert figures["calls.failure_rate"] == 0.5
    assert figures["calls.mean_s"] == pytest.approx(0.019)
    assert figures["calls.p50_s"] == pytest.approx(0.010, rel=0.01)
    assert figures["calls.p99_s"] == pytest.approx(0.100, rel=0.01)


def test_an_idle_second_has_zeros():
    counters, rates = MethodCounters(), CallRates()
    called(counters, OLD, [1.0])
    rates.figures(counters, 1.0)

    assert set(rates.figures(counters, 2.0).values()) == {0.0}


def test_a_version_that_comes_counts_at_once_and_one_that_goes_takes_nothing_back():
    counters, rates = MethodCounters(), CallRates()
    called(counters, OLD, [1.0] * 5)
    rates.figures(counters, 1.0)
    others = MethodCounters()
    called(others, NEW, [1.0] * 3)

    assert rates.figures(others, 2.0)["calls.rate"] == 3.0
    assert rates.figures(MethodCounters(), 3.0)["calls.rate"] == 0.0


def test_a_counter_that_begins_anew_counts_from_then_on():
    """What it had counted before is not the calls of one second."""
    counters, rates = MethodCounters(), CallRates()
    called(counters, OLD, [1.0] * 500)
    rates.figures(counters, 1.0)
    anew = MethodCounters()
    called(anew, OLD, [1.0] * 400)

    assert rates.figures(anew, 2.0)["calls.rate"] == 0.0
    called(anew, OLD, [1.0] * 2)
    assert rates.figures(anew, 3.0)["calls.rate"] == 2.0

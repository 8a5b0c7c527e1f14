"""How calls go, as the admin API tells it: the original's fields, and more."""

import pytest

from aether.metrics.slow_calls import Adaptive, Composite, Fixed, PerMethod, SlowCall
from aether.model.artifact import Artifact

PRICING = Artifact.parse("shop:pricing:1.0.0")
NEXT = Artifact.parse("shop:pricing:1.1.0")


@pytest.fixture
def called(world):
    quote = world.invocations.counters.of(PRICING, "quote")
    for _ in range(99):
        quote.answered(0.01)
    quote.failed(1.0)
    quote.in_flight = 2
    quote.was_slow(SlowCall(at_s=90.0, latency_s=1.0, request_id="r-7", instance="i3", error="the time was over"))
    world.invocations.counters.of(PRICING, "ticks").answered(0.02)
    world.invocations.counters.of(NEXT, "quote").answered(0.02)
    return world


async def test_each_method_is_told_in_the_originals_fields(called):
    snapshots = (await called.ask("GET", "/invocation-metrics")).json["snapshots"]

    first = snapshots[0]
    assert [(each["artifact"], each["method"]) for each in snapshots] == [
        ("shop:pricing:1.0.0", "quote"),
        ("shop:pricing:1.0.0", "ticks"),
        ("shop:pricing:1.1.0", "quote"),
    ]
    assert (first["count"], first["successCount"], first["failureCount"]) == (100, 99, 1)
    assert first["totalDurationNs"] == pytest.approx(1.99e9)
    assert first["avgDurationMs"] == pytest.approx(19.9)
    assert first["p50DurationNs"] == pytest.approx(1e7, rel=0.01)
    assert first["p95DurationNs"] == pytest.approx(1e7, rel=0.01)
    assert first["p999DurationNs"] == pytest.approx(1e9, rel=0.01)
    assert (first["slowInvocations"], first["inFlight"]) == (1, 2)
    assert first["recent"]["failureRate"] == 0.01


@pytest.mark.parametrize(
    ("query", "found"),
    [("artifact=1.1", 1), ("artifact=pricing", 3), ("artifact=PRICING", 0), ("method=quote", 2), ("method=quot", 0),
     ("artifact=1.0.0&method=ticks", 1)],
)  # fmt: skip
async def test_the_artifact_is_searched_for_and_the_method_is_exact(called, query, found):
    assert len((await called.ask("GET", f"/invocation-metrics?{query}")).json["snapshots"]) == found


async def test_slow_calls_say_who_made_them_and_what_went_wrong(called):
    (slow,) = (await called.ask("GET", "/invocation-metrics/slow")).json["slowInvocations"]

    assert slow == {
        "artifact": "shop:pricing:1.0.0",
        "method": "quote",
        "durationNs": 1_000_000_000,
        "durationMs": 1000.0,
        "timestampNs": 1_090 * 10**9,
        "success": False,
        "requestId": "r-7",
        "nodeId": "node-1",
        "instance": "i3",
        "failure": "the time was over",
    }
    assert (await called.ask("GET", "/invocation-metrics/slow?method=ticks")).json == {"slowInvocations": []}


@pytest.mark.parametrize(
    ("body", "strategy"),
    [
        ({"type": "fixed", "thresholdMs": 250}, Fixed(0.25)),
        ({"type": "adaptive", "minMs": 5, "maxMs": 500}, Adaptive(0.005, 0.5)),
        ({"type": "perMethod", "defaultMs": 50, "methods": {"quote": 5}}, PerMethod(0.05, {"quote": 0.005})),
        ({"type": "composite", "strategies": [{"type": "fixed"}]}, Composite((Fixed(),))),
    ],
)
async def test_a_strategy_is_set_and_shown(world, body, strategy):
    assert (await world.ask("GET", "/invocation-metrics/strategy")).json["type"] == "adaptive"
    answer = await world.ask("POST", "/invocation-metrics/strategy", body)

    assert answer.status == 200
    assert world.invocations.asked == [(strategy, "admin")]
    assert answer.json["strategy"] == (await world.ask("GET", "/invocation-metrics/strategy")).json
    assert answer.json["revision"] == 43


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "type"),
        ({"type": "slow"}, "type: 'slow' is none of"),
        ({"type": "fixed", "thresholdMs": -1}, "thresholdMs"),
        ({"type": "fixed", "treshold": 3}, "treshold"),
        ({"type": "adaptive", "minMs": 9, "maxMs": 3}, "minMs: 9 is above maxMs, 3"),
    ],
)
async def test_what_is_no_strategy_is_refused(world, body, problem):
    answer = await world.ask("POST", "/invocation-metrics/strategy", body)

    assert answer.status == 400
    assert problem in str(answer.json["problems"])
    assert not world.invocations.asked


async def test_the_methods_of_a_version_are_told_together(called):
    answer = (await called.ask("GET", "/artifact-metrics")).json
    first = answer["artifacts"][0]

    assert (first["artifact"], first["methods"], first["count"]) == ("shop:pricing:1.0.0", ["quote", "ticks"], 101)
    assert (first["slowInvocations"], first["inFlight"]) == (1, 2)
    assert first["avgDurationMs"] == pytest.approx(1e3 * 2.01 / 101, rel=0.01)
    assert (answer["artifactCount"], answer["deployedCount"]) == (3, 2)

"""How the calls to slices go: by method, by version, the slow ones, and which are slow.

Knows: the shape of the answers, in the original's fields and more; milliseconds and nanoseconds.
Never: who counts; setting anything but the strategy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from aether.management.actors import Actors
from aether.management.commands import Changed
from aether.management.endpoint import REHEARSED, Endpoint
from aether.management.facts import Answer
from aether.management.schema import Field, Kind, Schema
from aether.metrics.methods import MethodFigures, SlowFigures
from aether.metrics.slow_calls import (
    METHODS_NAMED_MAX,
    MULTIPLIER_MAX,
    STRATEGIES_MAX,
    THRESHOLD_MS_MAX,
    read_strategy,
    show_strategy,
)
from aether.model.access import Role
from aether.model.artifact import Artifact
from aether.model.limits import CALLS_RECENT_S
from aether.model.sketch import Sketch

_NS: Final = 1e9
_SHARES: Final = (0.5, 0.95, 0.99, 0.999)


class Latencies(Protocol):
    """Where the latencies of a method since the start are looked up."""

    def latencies(self, artifact: Artifact | None, method: str) -> Sketch: ...


async def invocations(actors: Actors, query: Mapping[str, object], variables: Mapping[str, str]) -> Answer:
    """Every method of every version that was called, over all nodes."""
    figures = actors.invocations.figures
    return {"snapshots": [_snapshot(each, figures) for each in _wanted(figures.methods(), query)]}


async def slow_calls(actors: Actors, query: Mapping[str, object], variables: Mapping[str, str]) -> Answer:
    """The last slow calls of each method, the newest first."""
    return {"slowInvocations": [_slow(each) for each in _wanted(actors.invocations.figures.slow_calls(), query)]}


async def strategy(actors: Actors, query: Mapping[str, object], variables: Mapping[str, str]) -> Answer:
    """Which calls are slow, as the cluster has it now."""
    return show_strategy(actors.invocations.strategy)


async def set_strategy(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    """On all nodes. Raises BadInput with every problem."""
    wanted = read_strategy(body)
    revision = await actors.invocations.set_strategy(wanted, by)
    shown = show_strategy(wanted)
    answer: Answer = {"status": "strategy_set", **shown, "strategy": shown, "revision": revision}
    return Changed(answer, revision, frozenset())


async def artifacts(actors: Actors, query: Mapping[str, object], variables: Mapping[str, str]) -> Answer:
    """The calls to each version, its methods together; what is deployed."""
    deployed = [str(artifact) for artifact in actors.invocations.deployed()]
    by_artifact: dict[str, list[MethodFigures]] = {}
    for each in actors.invocations.figures.methods():
        by_artifact.setdefault(_named(each.artifact), []).append(each)
    shown = [_version(name, methods, actors.invocations.figures) for name, methods in by_artifact.items()]
    return {
        "artifactCount": len({*deployed, *by_artifact}),
        "deployedCount": len(deployed),
        "deployedArtifacts": deployed,
        "artifacts": shown,
    }


class _Named(Protocol):
    @property
    def artifact(self) -> Artifact | None: ...
    @property
    def method(self) -> str: ...


T = TypeVar("T", bound=_Named)


def _wanted(figures: Iterable[T], query: Mapping[str, object]) -> Sequence[T]:
    part, method = query.get("artifact"), query.get("method")
    return [
        each
        for each in figures
        if (not part or str(part) in _named(each.artifact)) and (not method or method == each.method)
    ]


def _named(artifact: Artifact | None) -> str:
    """What lies beyond the limit of methods has no artifact of its own."""
    return "" if artifact is None else str(artifact)


def _snapshot(each: MethodFigures, since_start: Latencies) -> Answer:
    latencies = since_start.latencies(each.artifact, each.method)
    p50_s, p95_s, p99_s, p999_s = latencies.quantiles_s(_SHARES)
    return {
        "artifact": _named(each.artifact),
        "method": each.method,
        **_counts(each.calls, each.failures, each.seconds, latencies.count),
        "p50DurationNs": round(p50_s * _NS),
        "p95DurationNs": round(p95_s * _NS),
        "p99DurationNs": round(p99_s * _NS),
        "p999DurationNs": round(p999_s * _NS),
        "slowInvocations": each.slow,
        "inFlight": each.in_flight,
        "recent": {
            "spanSeconds": CALLS_RECENT_S,
            "requestsPerSecond": round(each.rate, 3),
            "failureRate": round(each.failure_rate, 6),
            "p50Ms": _ms(each.p50_s),
            "p95Ms": _ms(each.p95_s),
            "p99Ms": _ms(each.p99_s),
            "p999Ms": _ms(each.p999_s),
        },
    }


def _counts(calls: int, failures: int, seconds: float, answered: int) -> Answer:
    return {
        "count": calls,
        "successCount": calls - failures,
        "failureCount": failures,
        "totalDurationNs": round(seconds * _NS),
        "avgDurationMs": _ms(seconds / answered) if answered else 0.0,
    }


def _version(name: str, methods: Sequence[MethodFigures], since_start: Latencies) -> Answer:
    calls = sum(each.calls for each in methods)
    answered = sum(since_start.latencies(each.artifact, each.method).count for each in methods)
    return {
        "artifact": name,
        "methods": sorted(each.method for each in methods),
        **_counts(calls, sum(m.failures for m in methods), sum(m.seconds for m in methods), answered),
        "slowInvocations": sum(each.slow for each in methods),
        "inFlight": sum(each.in_flight for each in methods),
        "requestsPerSecond": round(sum(each.rate for each in methods), 3),
    }


def _slow(each: SlowFigures) -> Answer:
    call = each.call
    shown: Answer = {
        "artifact": _named(each.artifact),
        "method": each.method,
        "durationNs": round(call.latency_s * _NS),
        "durationMs": _ms(call.latency_s),
        "timestampNs": round(each.at * _NS),
        "success": not call.error,
        "requestId": call.request_id,
        "nodeId": each.node,
        "instance": call.instance,
    }
    if call.error:
        shown["failure"] = call.error
    if call.trace_id:
        shown["traceId"] = call.trace_id
    return shown


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)


# --- the table --------------------------------------------------------------------------------------------------------

_FILTER: Final = Schema(
    (
        Field("artifact", Kind.TEXT, high=512, about="only those whose group:artifact:version holds this text"),
        Field("method", Kind.TEXT, high=200, about="only this method"),
    )
)
_STRATEGY: Final = Schema(
    (
        Field("type", Kind.TEXT, required=True, high=40, about="fixed, adaptive, perMethod or composite"),
        Field("thresholdMs", Kind.NUMBER, high=THRESHOLD_MS_MAX, about="of fixed: slow is what takes longer"),
        Field("minMs", Kind.NUMBER, high=THRESHOLD_MS_MAX, about="of adaptive: faster calls are never slow"),
        Field("maxMs", Kind.NUMBER, high=THRESHOLD_MS_MAX, about="of adaptive: slower calls always are"),
        Field("multiplier", Kind.NUMBER, high=MULTIPLIER_MAX, about="of adaptive: times the usual latency of a method"),
        Field("defaultMs", Kind.NUMBER, high=THRESHOLD_MS_MAX, about="of perMethod: of methods that are not named"),
        Field(
            "methods",
            Kind.ANY,
            about=f"of perMethod: an object, method or group:artifact/method to ms, {METHODS_NAMED_MAX} at most",
        ),
        Field(
            "strategies",
            Kind.ANY,
            about=f"of composite: a list of 1 to {STRATEGIES_MAX} others; the first that applies decides",
        ),
    )
)

INVOCATION_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        path="/invocation-metrics",
        about="How the calls to each method of each version go, over all nodes.",
        role=Role.VIEWER,
        query=_FILTER,
        ask=invocations,
    ),
    Endpoint(
        path="/invocation-metrics/slow",
        about="The last slow calls of each method, the newest first.",
        role=Role.VIEWER,
        query=_FILTER,
        ask=slow_calls,
    ),
    Endpoint(
        path="/invocation-metrics/strategy",
        about="Which calls count as slow.",
        role=Role.VIEWER,
        query=Schema(),
        ask=strategy,
    ),
    Endpoint(
        path="/invocation-metrics/strategy",
        about="Set which calls count as slow, on all nodes.",
        role=Role.OPERATOR,
        query=REHEARSED,
        body=_STRATEGY,
        change=set_strategy,
    ),
    Endpoint(
        path="/artifact-metrics",
        about="The calls to each version of a slice, its methods together.",
        role=Role.VIEWER,
        query=Schema(),
        ask=artifacts,
    ),
)

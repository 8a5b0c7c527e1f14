"""How nodes are doing: newest figures, minutes, what is derived from them, and the last two hours.

Knows: the shape of the answers; the fields of the original, and those added to them.
Never: how figures are gathered, thresholds.
Holds: any node answers for all of them, from memory. A figure that is not known is left out: there is no NaN in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Final

from aether.management.actors import Actors
from aether.management.endpoint import FRESH, Ask, Endpoint
from aether.management.facts import Answer
from aether.management.history_service import history
from aether.management.metrics_view import NodeView
from aether.management.schema import Field, Kind, Schema
from aether.metrics.deployments import STAGE_NAMES, Deployment
from aether.metrics.derived import DerivedMetrics
from aether.metrics.history import RANGES_S, shown
from aether.metrics.minutes import MinuteAggregate
from aether.model.access import Role
from aether.model.ids import NAME_CHARS_MAX, NodeId
from aether.model.limits import MINUTES_KEPT
from aether.web.request import Request, Response, json_response

MIB: Final = 2**20
LEADER: Final = 2.0
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_NODE: Final = Field("node", Kind.TEXT, also=("nodeId", "node_id"), low=1, high=NAME_CHARS_MAX, about="only this one")


async def metrics(actors: Actors, query: Mapping[str, object], _: Mapping[str, str]) -> Answer:
    """The newest figures of every live node, and how long deployments took."""
    view = actors.figures.view
    nodes = view.nodes()
    known = actors.figures.deployments
    return {
        "load": {node: {name: shown(value) for name, value in figures.items()} for node, figures in nodes.items()},
        "deployments": {str(artifact): [_deployment(d) for d in known.of(artifact)] for artifact in known.artifacts()},
        "ageSeconds": {node: round(view.age_s(node), 3) for node in nodes},
        "nodeId": view.node,
    }


def _deployment(deployment: Deployment) -> Answer:
    stamps = zip(STAGE_NAMES, deployment.stamps, strict=True)
    named = {f"{name.lower()}Time": _ms(stamp) for name, stamp in stamps}
    return {
        "nodeId": deployment.node,
        "instance": deployment.instance,
        "status": deployment.status.value,
        "fullDeploymentMs": _ms(deployment.full_s),
        "netDeploymentMs": _ms(deployment.net_s),
        "transitions": {name: _ms(took_s) for name, took_s in deployment.transitions_s.items()},
        **named,
    }


def _ms(seconds: float | None) -> int:
    """-1 for what is not known, as the original says it; also where the times in a row are no times."""
    return -1 if seconds is None or not isfinite(seconds) else round(seconds * 1e3)


async def comprehensive(actors: Actors, query: Mapping[str, object], _: Mapping[str, str]) -> Answer:
    """The last minute that is over, of this node and of all; of a node younger than that, what there is."""
    view = actors.figures.view
    count = query.get("minutes")
    if isinstance(count, int):
        past = {node: [_minute(*one) for one in view.minutes(node, count)] for node in view.nodes()}
        return {**_last_minute(view, view.node), "nodeId": view.node, "minutes": past}
    minutes = {node: _last_minute(view, node) for node in view.nodes()}
    return {**_last_minute(view, view.node), "nodeId": view.node, "nodes": minutes}


def _last_minute(view: NodeView, node: NodeId) -> Answer:
    over = view.minutes(node, 1)
    return _minute(*over[-1]) if over else _minute(*view.minute_so_far(node), complete=False)


def _minute(began_s: float, minute: MinuteAggregate, *, complete: bool = True) -> Answer:
    return {
        "minuteTimestamp": round(began_s * 1e3),
        "avgCpuUsage": shown(minute.cpu_usage),
        "avgHeapUsage": shown(minute.heap_usage),
        "avgEventLoopLagMs": shown(minute.loop_lag_ms),
        "avgLatencyMs": shown(minute.latency_ms),
        "totalInvocations": round(shown(minute.invocations)),
        "totalGcPauseMs": shown(minute.gc_pause_ms),
        "latencyP50": shown(minute.p50_ms),
        "latencyP95": shown(minute.p95_ms),
        "latencyP99": shown(minute.p99_ms),
        "errorRate": shown(minute.error_rate),
        "eventCount": round(shown(minute.events)),
        "sampleCount": round(minute.sample_count),
        "healthy": minute.is_healthy,
        "complete": complete,
    }


async def derived(actors: Actors, query: Mapping[str, object], _: Mapping[str, str]) -> Answer:
    """What the last minute says about this node, and about all."""
    view = actors.figures.view
    nodes = {node: _derived(view.derived(node)) for node in view.nodes()}
    return {**_derived(view.derived(view.node)), "nodeId": view.node, "nodes": nodes}


def _derived(metrics: DerivedMetrics) -> Answer:
    return {
        "requestRate": shown(metrics.request_rate),
        "errorRate": shown(metrics.error_rate),
        "gcRate": shown(metrics.gc_rate),
        "latencyP50": shown(metrics.p50_ms),
        "latencyP95": shown(metrics.p95_ms),
        "latencyP99": shown(metrics.p99_ms),
        "eventLoopSaturation": shown(metrics.loop_saturation),
        "heapSaturation": shown(metrics.heap_saturation),
        "backpressureRate": shown(metrics.backpressure_rate),
        "cpuTrend": shown(metrics.cpu_trend),
        "latencyTrend": shown(metrics.latency_trend_ms),
        "errorTrend": shown(metrics.error_trend),
        "healthScore": shown(metrics.health_score),
        "stressed": metrics.is_stressed,
        "hasCapacity": metrics.has_capacity,
        "sampleCount": metrics.sample_count,
    }


async def node_metrics(actors: Actors, request: Request, query: Mapping[str, object], _: Mapping[str, str]) -> Response:
    """A list, as the original's."""
    view = actors.figures.view
    rows = [_node_row(view, node, figures) for node, figures in view.nodes().items()]
    return json_response(rows, headers=_HEADERS)


def _node_row(view: NodeView, node: NodeId, figures: Mapping[str, float]) -> Answer:
    derived = view.derived(node)
    return {
        "nodeId": node,
        "isLeader": figures.get("raft.role") == LEADER,
        "cpuUsage": shown(figures.get("cpu.usage", 0.0)),
        "heapUsedMb": round(figures.get("heap.used", 0.0) / MIB, 1),
        "heapMaxMb": round(figures.get("heap.max", 0.0) / MIB, 1),
        "heapUsage": shown(figures.get("heap.usage", 0.0)),
        "loopLagMs": shown(1e3 * figures.get("loop.lag_s", 0.0)),
        "callRate": shown(figures.get("calls.rate", 0.0)),
        "callsInFlight": round(figures.get("calls.in_flight", 0.0)),
        "healthScore": shown(derived.health_score),
        "stressed": derived.is_stressed,
        "ageSeconds": round(view.age_s(node), 3),
    }


def _ask(path: str, about: str, ask: Ask, *fields: Field) -> Endpoint:
    return Endpoint(path=path, about=about, role=Role.VIEWER, query=Schema((*FRESH, *fields)), ask=ask)


METRICS_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    _ask("/metrics", "The newest figures of every node, and how long deployments took.", metrics),
    _ask(
        "/metrics/comprehensive",
        "The last minute of every node in means and sums.",
        comprehensive,
        Field("minutes", Kind.WHOLE, low=1, high=MINUTES_KEPT, about="so many of the last minutes of every node"),
    ),
    _ask("/metrics/derived", "Rates, saturations, trends and a score of every node.", derived),
    _ask(
        "/metrics/history",
        "The last two hours of every node, those that are gone included.",
        history,
        Field("range", Kind.TEXT, also=("timeRange", "time_range"), high=10, about=f"{', '.join(RANGES_S)}"),
        _NODE,
        Field("metrics", Kind.TEXT, high=2_000, about="names of figures with commas; a few that say most by default"),
        Field("methods", Kind.FLAG, about="the busiest methods too"),
    ),
    Endpoint(
        path="/node-metrics",
        about="Processor, memory and load of every node in one line each.",
        role=Role.VIEWER,
        query=Schema(FRESH),
        serve=node_metrics,
    ),
)

"""The past of nodes and of the busiest methods, as points few enough for one answer.

Knows: the shape of the answer; which figures say most.
Never: how figures are kept.
Holds: other tasks run between two nodes: many nodes are many numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, cast

import trio

from aether.errors import BadInput, NotFound
from aether.management.actors import Actors
from aether.management.facts import Answer
from aether.management.metrics_view import NodeView
from aether.metrics.figures import FIGURES, Fold
from aether.metrics.history import RANGES_S, curves, shown, step_s, thinned
from aether.metrics.method_windows import SERIES
from aether.model.ids import NodeId

RANGE_DEFAULT: Final = "15m"
CURVES_DEFAULT: Final = (
    *("cpu.usage", "heap.usage", "heap.used", "loop.lag_s"),
    *("calls.rate", "calls.failure_rate", "calls.p95_s", "calls.in_flight"),
)


async def history(actors: Actors, query: Mapping[str, object], _: Mapping[str, str]) -> Answer:
    """Points of the past, few enough for one answer. Raises NotFound for a node that nobody knows, BadInput."""
    view = actors.figures.view
    wanted = str(query.get("range", RANGE_DEFAULT))
    if wanted not in RANGES_S:
        raise BadInput("the query does not fit", (f"range: {wanted!r:.40} is none of {', '.join(RANGES_S)}",))
    names, nodes, span_s = _names(query), _nodes(view, query), RANGES_S[wanted]
    methods = actors.figures.methods() if query.get("methods") else ()
    step = step_s(span_s, len(nodes) * len(names) + len(methods) * len(SERIES))
    past: dict[str, object] = {}
    for node in nodes:
        await trio.lowlevel.checkpoint()  # many nodes are many numbers: others run in between
        points = curves(partial(_window, view, node, span_s), names, step)
        past[node] = [
            {"timestamp": at * 1000, "metrics": {name: shown(value) for name, value in values.items()}}
            for at, values in points
        ]
    answer: Answer = {"timeRange": wanted, "stepSeconds": step, "nodeId": view.node, "nodes": past}
    if query.get("methods"):
        answer["methods"] = [_method(actors, key, span_s, max(step, 10)) for key in methods]
    return answer


def _window(view: NodeView, node: NodeId, span_s: float, name: str) -> Sequence[tuple[float, float]]:
    return view.window(node, name, span_s)


def _method(actors: Actors, key: tuple[str, str], span_s: float, step: int) -> Answer:
    found: dict[int, dict[str, float]] = {}
    for series in SERIES:
        for at, value in thinned(actors.figures.method_window(key, series, span_s), step, Fold.MEAN).items():
            found.setdefault(at, {})[series] = shown(value)
    return {
        "artifact": key[0],
        "method": key[1],
        "points": [{"timestamp": at * 1000, "metrics": values} for at, values in sorted(found.items())],
    }


def _names(query: Mapping[str, object]) -> Sequence[str]:
    text = cast("str", query.get("metrics", ""))
    names = [name.strip() for name in text.split(",") if name.strip()] or list(CURVES_DEFAULT)
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        raise BadInput("the query does not fit", (f"metrics: {unknown[0]!r:.40} is none; GET /metrics shows all",))
    return list(dict.fromkeys(names))


def _nodes(view: NodeView, query: Mapping[str, object]) -> Sequence[NodeId]:
    known, node = view.known(), query.get("node")
    if node is None:
        return known
    if node not in known:
        raise NotFound("node", str(node), f"figures are known of {', '.join(known)}")
    return [NodeId(str(node))]

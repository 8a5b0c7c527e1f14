"""`aether metrics`: how the nodes are doing, now and in the last two hours.

Knows: which path answers which question; how figures are read by people.
Never: changing anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import localtime, strftime
from typing import Any, Final

import click

from aether.cli.connection import Connection
from aether.cli.options import settings
from aether.cli.output import show
from aether.cli.watching import looking
from aether.metrics.figures import FIGURES
from aether.metrics.history import RANGES_S

_MIB: Final = 2**20
_ROLES: Final = ("follower", "candidate", "leader")
_NOW: Final = [
    *("node", "role", "cpu", "memory", "loop lag", "calls/s", "failed", "p95", "in flight", "queued", "fsync", "score")
]
_MINUTES: Final = [
    "minute",
    "node",
    "cpu",
    "memory",
    "loop lag",
    "calls",
    "failed",
    "p50",
    "p95",
    "p99",
    "gc",
    "healthy",
]


@click.group(invoke_without_command=True)
@looking
@click.pass_context
def metrics(context: click.Context, /, **_: Any) -> None:
    """How every node is doing now; below, the last minutes and hours."""
    if context.invoked_subcommand is not None:
        return
    here = settings(context)
    connection = Connection(here)
    answer = connection.get("/metrics")
    scores: dict[str, Any] = {} if here.output == "json" else connection.get("/metrics/derived")["nodes"]
    rows = [_now(node, figures, scores.get(node, {})) for node, figures in answer["load"].items()]
    show(here, answer, rows, _NOW)


@metrics.command()
@click.argument("node", metavar="NODE")
@looking
@click.pass_context
def node(context: click.Context, /, node: str, **_: Any) -> None:
    """Every figure of one node, with its unit and its meaning."""
    here = settings(context)
    load = Connection(here).get("/metrics")["load"]
    if node not in load:
        raise click.UsageError(f"no figures of {node!r}; there are those of {', '.join(load) or 'nobody'}")
    rows = [
        {"figure": name, "value": f"{value:g}", "unit": FIGURES[name].unit, "about": FIGURES[name].about}
        for name, value in load[node].items()
        if name in FIGURES
    ]
    show(here, load[node], rows, ["figure", "value", "unit", "about"])


@metrics.command()
@click.option("-n", "count", type=click.IntRange(1, 120), default=10, help="How many of the last minutes [10].")
@click.option("--node", default="", metavar="NODE", help="Of this node only.")
@looking
@click.pass_context
def minutes(context: click.Context, /, count: int, node: str, **_: Any) -> None:
    """The last minutes of every node in means and sums."""
    here = settings(context)
    answer = Connection(here).get("/metrics/comprehensive", minutes=str(count))
    rows = [_minute(name, minute) for name, past in answer["minutes"].items() for minute in past if node in ("", name)]
    show(here, answer, rows, _MINUTES)


@metrics.command()
@click.argument("figure", type=click.Choice(tuple(FIGURES)), metavar="FIGURE")
@click.option("--range", "span", type=click.Choice(tuple(RANGES_S)), default="15m", help="How far back [15m].")
@click.option("--node", default="", metavar="NODE", help="Of this node only.")
@looking
@click.pass_context
def history(context: click.Context, /, figure: str, span: str, node: str, **_: Any) -> None:
    """The past of one FIGURE: of every node the least, the mean, the most and the last, and its curve."""
    here = settings(context)
    wanted = {"range": span, "metrics": figure, **({"node": node} if node else {})}
    answer = Connection(here).get("/metrics/history", **wanted)
    values = {
        name: [point["metrics"][figure] for point in points if figure in point["metrics"]]
        for name, points in answer["nodes"].items()
    }
    highest = max((max(of_node) for of_node in values.values() if of_node), default=0.0)
    rows = [_past(name, of_node, highest, FIGURES[figure].unit) for name, of_node in values.items() if of_node]
    show(here, answer, rows, ["node", "least", "mean", "most", "last", "unit", "curve"])


def _now(node: str, figures: Mapping[str, float], derived: Mapping[str, Any]) -> dict[str, object]:
    used, limit = figures.get("heap.used", 0.0), figures.get("heap.max", 0.0)
    return {
        "node": node,
        "role": _ROLES[int(figures.get("raft.role", 0))],
        "cpu": percent(figures.get("cpu.usage")),
        "memory": f"{used / _MIB:.0f}/{limit / _MIB:.0f} MiB",
        "loop lag": millis(figures.get("loop.lag_s")),
        "calls/s": number(figures.get("calls.rate")),
        "failed": percent(figures.get("calls.failure_rate")),
        "p95": millis(figures.get("calls.p95_s")),
        "in flight": number(figures.get("calls.in_flight")),
        "queued": number(figures.get("calls.queued")),
        "fsync": millis(figures.get("raft.fsync_s")),
        "score": f"{derived['healthScore']:.2f}" if "healthScore" in derived else None,
    }


def _minute(node: str, minute: Mapping[str, Any]) -> dict[str, object]:
    return {
        "minute": strftime("%H:%M", localtime(minute["minuteTimestamp"] / 1e3)),
        "node": node,
        "cpu": percent(minute["avgCpuUsage"]),
        "memory": percent(minute["avgHeapUsage"]),
        "loop lag": millis(minute["avgEventLoopLagMs"] / 1e3),
        "calls": minute["totalInvocations"],
        "failed": percent(minute["errorRate"]),
        "p50": millis(minute["latencyP50"] / 1e3),
        "p95": millis(minute["latencyP95"] / 1e3),
        "p99": millis(minute["latencyP99"] / 1e3),
        "gc": millis(minute["totalGcPauseMs"] / 1e3),
        "healthy": minute["healthy"],
    }


def _past(node: str, values: Sequence[float], highest: float, unit: str) -> dict[str, object]:
    mean = sum(values) / len(values)
    ends = {"least": min(values), "mean": mean, "most": max(values), "last": values[-1]}
    shown = {name: f"{value:.4g}" for name, value in ends.items()}
    return {"node": node, **shown, "unit": unit, "curve": curve(values, highest)}


def curve(values: Sequence[float], highest: float, width: int = 40) -> str:
    """A line of blocks, oldest first, as high as `highest` at most."""
    blocks = " ▁▂▃▄▅▆▇█"
    size = -(-len(values) // width)
    parts = [values[at : at + size] for at in range(0, len(values), size)] if size else []
    if highest <= 0:
        return blocks[0] * len(parts)
    return "".join(blocks[min(8, max(0, round(8 * max(part) / highest)))] for part in parts)


def percent(ratio: float | None) -> str | None:
    return None if ratio is None else f"{100 * ratio:.3g} %"


def millis(seconds: float | None) -> str | None:
    return None if seconds is None else f"{1e3 * seconds:.3g} ms"


def number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"

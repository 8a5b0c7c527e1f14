"""`aether top`: nodes and busiest methods, live.

Knows: which figures of /metrics and /invocation-metrics people look for first.
Never: how figures are gathered, how a terminal is redrawn (watching.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

from aether.cli.connection import Connection
from aether.cli.options import Settings, settings, shared
from aether.cli.output import show
from aether.cli.watching import WATCH_S, WATCH_S_MAX, WATCH_S_MIN, repeat

METHODS: Final = 10
_NODES: Final = ["node", "role", "cpu", "memory", "loopLag", "callsPerSecond", "inFlight", "queued", "age"]
_CALLS: Final = ["method", "artifact", "callsPerSecond", "failed", "p50Ms", "p95Ms", "p99Ms", "inFlight", "slow"]
_ROLES: Final = ("follower", "candidate", "LEADER")
STUCK_S: Final = 5.0


@click.command()
@click.option(
    "--interval",
    type=click.FloatRange(WATCH_S_MIN, WATCH_S_MAX),
    default=WATCH_S,
    show_default=True,
    metavar="SECONDS",
    help="How often.",
)
@click.option("-n", "--methods", type=click.IntRange(0, 100), default=METHODS, show_default=True, help="How many.")
@click.option("--once", is_flag=True, help="Print it once.")
@shared
@click.pass_context
def top(context: click.Context, /, interval: float, methods: int, once: bool, **_: Any) -> None:
    """Every node with processor, memory and loop lag, and the busiest methods of slices, until Ctrl-C."""
    here = settings(context)
    connection = Connection(here)
    if once:
        _look(here, connection, methods)
    else:
        repeat(lambda: _look(here, connection, methods), interval, titled=here.output == "table")


def _look(here: Settings, connection: Connection, methods: int) -> None:
    metrics = connection.get("/metrics")
    ages = metrics.get("ageSeconds", {})
    nodes = [node_row(node, figures, ages.get(node)) for node, figures in sorted(metrics["load"].items())]
    calls = busiest(connection.get("/invocation-metrics"), methods)
    answer = {"nodes": nodes, "methods": calls}
    if here.output != "table":
        show(here, answer, [*nodes, *calls], [])
        return
    show(here, answer, nodes, _NODES)
    if calls:
        click.echo()
        show(here, answer, calls, _CALLS)
    elif methods:
        click.echo("\nno calls to slices yet")


def node_row(node: str, figures: Mapping[str, float], age_s: float | None) -> dict[str, Any]:
    """One node as people read it; what is not known is left out. age_s  of its figures; said when they are stuck"""

    def percent(name: str) -> str | None:
        return f"{100 * figures[name]:.0f} %" if name in figures else None

    role = figures.get("raft.role")
    memory = figures.get("heap.used")
    lag = figures.get("loop.lag_s")
    return {
        "node": node,
        "role": _ROLES[int(role)] if role is not None and 0 <= int(role) < len(_ROLES) else None,
        "cpu": percent("cpu.usage"),
        "memory": f"{memory / 2**20:.0f} MiB" if memory is not None else None,
        "loopLag": f"{1e3 * lag:.1f} ms" if lag is not None else None,
        "callsPerSecond": _rounded(figures.get("calls.rate")),
        "inFlight": _rounded(figures.get("calls.in_flight")),
        "queued": _rounded(figures.get("calls.queued")),
        "age": f"{age_s:.0f} s old" if age_s is not None and age_s > STUCK_S else None,
    }


def busiest(answer: Any, count: int) -> list[dict[str, Any]]:
    """The methods of /invocation-metrics with the most calls in the last seconds, then since the start."""
    rows: list[Any] = answer["snapshots"]
    first = sorted(rows, key=lambda each: (-each["recent"]["requestsPerSecond"], -each["count"], each["method"]))
    return [
        {
            "method": each["method"],
            "artifact": each["artifact"],
            "callsPerSecond": _rounded(each["recent"]["requestsPerSecond"]),
            "failed": f"{100 * each['recent']['failureRate']:.1f} %",
            "p50Ms": each["recent"]["p50Ms"],
            "p95Ms": each["recent"]["p95Ms"],
            "p99Ms": each["recent"]["p99Ms"],
            "inFlight": each["inFlight"],
            "slow": each["slowInvocations"],
        }
        for each in first[:count]
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)

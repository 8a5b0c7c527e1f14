"""`aether invocation-metrics`: how the calls to slices go, the slow ones, and which are slow.

Knows: the requests behind each command, the four strategies as they are typed.
Never: counting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from aether.cli.connection import Connection
from aether.cli.options import settings, shared
from aether.cli.output import show
from aether.cli.times import local_time
from aether.cli.watching import looking

_COLUMNS: Final = (
    "artifact", "method", "count", "failureCount", "inFlight", "recent.requestsPerSecond",
    "p50Ms", "p95Ms", "p99Ms", "p999Ms", "slowInvocations",
)  # fmt: skip
_SLOW_COLUMNS: Final = ("time", "artifact", "method", "durationMs", "success", "failure", "requestId", "nodeId")
_TYPES: Final = ("fixed", "adaptive", "per-method", "composite")
_QUANTILES: Final = ("p50", "p95", "p99", "p999")


@click.group("invocation-metrics", invoke_without_command=True)
@click.option("--artifact", default="", metavar="TEXT", help="Only versions whose coordinates hold TEXT.")
@click.option("--method", default="", metavar="NAME", help="Only this method.")
@looking
@click.pass_context
def invocation_metrics(context: click.Context, /, artifact: str, method: str, **_: Any) -> None:
    """How the calls to slices go, over all nodes: counts, failures, latencies, by method and version.

    Without a command: the list.
    """
    if context.invoked_subcommand is None:
        _list(context, artifact, method)


@invocation_metrics.command("list")
@click.option("--artifact", default="", metavar="TEXT", help="Only versions whose coordinates hold TEXT.")
@click.option("--method", default="", metavar="NAME", help="Only this method.")
@looking
@click.pass_context
def list_methods(context: click.Context, /, artifact: str, method: str, **_: Any) -> None:
    """Every method of every version that was called. Latencies are those since the nodes started, within 1 %."""
    _list(context, artifact, method)


@invocation_metrics.command()
@click.option("--artifact", default="", metavar="TEXT", help="Only versions whose coordinates hold TEXT.")
@click.option("--method", default="", metavar="NAME", help="Only this method.")
@looking
@click.pass_context
def slow(context: click.Context, /, artifact: str, method: str, **_: Any) -> None:
    """The last slow calls of each method, the newest first."""
    here = settings(context)
    answer = Connection(here).get("/invocation-metrics/slow", **_filter(artifact, method))
    rows = [each | {"time": local_time(each["timestampNs"] / 1e9)} for each in answer["slowInvocations"]]
    show(here, answer, rows, _SLOW_COLUMNS)


@invocation_metrics.command()
@click.argument("type_", metavar="[TYPE]", type=click.Choice(_TYPES), required=False)
@click.argument("milliseconds", metavar="[MS [MAX_MS]]", type=click.FloatRange(min=0, min_open=True), nargs=-1)
@click.option("--multiplier", type=click.FloatRange(min=0, min_open=True), help="Of adaptive: times the usual [3].")
@click.option("--for", "named", multiple=True, metavar="METHOD=MS", help="A method of its own threshold; repeatable.")
@shared
@click.pass_context
def strategy(
    context: click.Context,
    /,
    type_: str | None,
    milliseconds: tuple[float, ...],
    multiplier: float | None,
    named: tuple[str, ...],
    **_: Any,
) -> None:
    """Show, or set on all nodes, which calls count as slow.

    \b
    fixed [MS=100]                      what takes longer than MS
    adaptive [MIN=10 [MAX=1000]]        what takes three times as long as the method's calls usually do,
                                        but at least MIN, and at most MAX
    per-method [MS=100] --for quote=5   a threshold for each method, MS for the others
    composite [MIN [MAX]] --for quote=5 the named methods have their threshold, the others are adaptive
    """
    here = settings(context)
    if type_ is None:
        if milliseconds or multiplier is not None or named:
            raise click.UsageError("name a strategy: fixed, adaptive, per-method or composite", context)
        answer = Connection(here).get("/invocation-metrics/strategy")
        show(here, answer, [_flat(answer)], list(_flat(answer)))
        return
    body = _body(type_, milliseconds, multiplier, _thresholds(named))
    answer = Connection(here).post("/invocation-metrics/strategy", body)
    shown = {"status": answer["status"], **_flat(answer["strategy"]), "revision": answer["revision"]}
    show(here, answer, [shown], list(shown))


def _list(context: click.Context, artifact: str, method: str) -> None:
    here = settings(context)
    answer = Connection(here).get("/invocation-metrics", **_filter(artifact, method))
    show(here, answer, [_row(each) for each in answer["snapshots"]], _COLUMNS)


def _filter(artifact: str, method: str) -> dict[str, str]:
    return {name: value for name, value in (("artifact", artifact), ("method", method)) if value}


def _row(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    return {**snapshot, **{f"{share}Ms": round(snapshot[f"{share}DurationNs"] / 1e6, 3) for share in _QUANTILES}}


def _flat(shown: Mapping[str, Any]) -> dict[str, Any]:
    """A strategy as one line: what is nested becomes text."""
    flat: dict[str, Any] = {}
    for name, value in shown.items():
        if name == "methods":
            value = ",".join(f"{method}={limit}" for method, limit in value.items())
        elif name == "strategies":
            value = [" ".join(f"{k}={v}" for k, v in _flat(each).items()) for each in value]
        flat[name] = value
    return flat


def _thresholds(named: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in named:
        method, _, limit = text.rpartition("=")
        try:
            found[method] = float(limit)
        except ValueError:
            found[""] = 0.0
        if not method or "" in found:
            raise click.UsageError(f"--for {text}: write METHOD=MS, such as quote=5")
    return found


def _body(
    type_: str, milliseconds: Sequence[float], multiplier: float | None, named: Mapping[str, float]
) -> dict[str, object]:
    most = 1 if type_ in ("fixed", "per-method") else 2
    if len(milliseconds) > most:
        raise click.UsageError(f"{type_} takes at most {most} of MS")
    if multiplier is not None and type_ not in ("adaptive", "composite"):
        raise click.UsageError(f"{type_} has no multiplier")
    if named and type_ not in ("per-method", "composite"):
        raise click.UsageError(f"{type_} is the same for all methods; say per-method or composite")
    adaptive: dict[str, object] = {"type": "adaptive", **dict(zip(("minMs", "maxMs"), milliseconds, strict=False))}
    if multiplier is not None:
        adaptive["multiplier"] = multiplier
    match type_:
        case "fixed":
            return {"type": "fixed", **dict(zip(("thresholdMs",), milliseconds, strict=False))}
        case "adaptive":
            return adaptive
        case "per-method":
            return {"type": "perMethod", **dict(zip(("defaultMs",), milliseconds, strict=False)), "methods": named}
        case _:
            return {"type": "composite", "strategies": [{"type": "perMethod", "methods": named}, adaptive]}

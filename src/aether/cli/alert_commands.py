"""`aether alerts` and `aether thresholds`: what is too high, from when on, and who is told.

Knows: the requests behind each command; addresses of webhooks come from a file or the standard input.
Never: when an alert begins; an address on a command line, where others on the machine can read it.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import click

from aether.cli.connection import Connection
from aether.cli.exits import CommandFailed, Exit
from aether.cli.options import settings, shared, shared_but_c
from aether.cli.output import show
from aether.cli.times import local_time
from aether.cli.watching import looking

_BYTES_MAX: Final = 64 * 1024
_ACTIVE: Final = ["severity", "metric", "nodeId", "value", "threshold", "since"]
_HISTORY: Final = ["at", "status", "severity", "metric", "nodeId", "value", "threshold"]


@click.group(invoke_without_command=True)
@looking
@click.pass_context
def alerts(context: click.Context, /, **_: Any) -> None:
    """Figures that stand too high, and those that stood.

    Without a command: the list of both.
    """
    if context.invoked_subcommand is None:
        _list(context)


@alerts.command("list")
@looking
@click.pass_context
def list_alerts(context: click.Context, /, **_: Any) -> None:
    """Alerts that hold, then those of the past."""
    _list(context)


@alerts.command()
@looking
@click.pass_context
def active(context: click.Context, /, **_: Any) -> None:
    """Alerts that hold, the oldest first."""
    here = settings(context)
    answer = Connection(here).get("/alerts/active")
    show(here, answer, _shown(answer, "triggeredAt", "since"), _ACTIVE)


@alerts.command()
@looking
@click.pass_context
def history(context: click.Context, /, **_: Any) -> None:
    """When alerts began and ended, the oldest first."""
    here = settings(context)
    answer = Connection(here).get("/alerts/history")
    show(here, answer, _shown(answer, "timestamp", "at"), _HISTORY)


@alerts.command()
@shared
@click.pass_context
def clear(context: click.Context, /, **_: Any) -> None:
    """End every alert; one whose figure still stands too high begins anew."""
    here = settings(context)
    answer = Connection(here).post("/alerts/clear", {})
    show(here, answer, [answer], ["status", "cleared", "revision"])


@alerts.command()
@click.option(
    "--webhooks",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="A file with an address in each line; - reads the standard input.",
)
@click.option("--log/--no-log", "log", default=None, help="Whether the leader logs alerts.")
@click.option(
    "--severity",
    type=click.Choice(["info", "warning", "critical"], case_sensitive=False),
    help="From which on they are told.",
)
@shared
@click.pass_context
def sinks(context: click.Context, /, webhooks: str | None, log: bool | None, severity: str | None, **_: Any) -> None:
    """Who is told of alerts; with an option, change it.

    Of an address only scheme, host and port are ever shown.
    """
    here = settings(context)
    connection = Connection(here)
    body: dict[str, object] = {}
    if webhooks is not None:
        body["webhooks"] = [{"url": line} for line in _addresses(webhooks)]
    if log is not None:
        body["log"] = log
    if severity is not None:
        body["severity"] = severity.upper()
    answer = connection.post("/alerts/sinks", body) if body else connection.get("/alerts/sinks")
    show(here, answer, [answer], ["webhooks", "log", "severity"])


def _addresses(name: str) -> list[str]:
    try:
        with click.open_file(name, encoding="utf-8") as file:
            lines = file.read(_BYTES_MAX).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(Exit.USAGE, f"--webhooks {name}: {error}") from error
    return [line.strip() for line in lines if line.strip()]


@click.group(invoke_without_command=True)
@looking
@click.pass_context
def thresholds(context: click.Context, /, **_: Any) -> None:
    """From when on a figure is worth an alert.

    Without a command: the list.
    """
    if context.invoked_subcommand is None:
        _thresholds(context)


@thresholds.command("list")
@looking
@click.pass_context
def list_thresholds(context: click.Context, /, **_: Any) -> None:
    """Every threshold, those that hold at birth too."""
    _thresholds(context)


@thresholds.command("set")
@click.argument("metric")
@click.option("-w", "--warning", type=float, required=True, help="WARNING from this value on.")
@click.option("-c", "--critical", type=float, required=True, help="CRITICAL from this value on.")
@shared_but_c
@click.pass_context
def set_threshold(context: click.Context, /, metric: str, warning: float, critical: float, **_: Any) -> None:
    """Let METRIC, such as cpu.usage or method.p95_s, be worth an alert.

    Here -c is --critical: say whom to ask with --connect, with -c before `thresholds`, or with AETHER_CONNECT.
    """
    here = settings(context)
    body = {"metric": metric, "warning": warning, "critical": critical}
    answer = Connection(here).post("/thresholds", body)
    show(here, answer, [answer], ["status", "metric", "warning", "critical", "known", "revision"])
    if not answer["known"]:
        click.echo(f"no node tells a figure called {metric}; `aether metrics` shows those that are told", err=True)


@thresholds.command()
@click.argument("metric")
@shared
@click.pass_context
def remove(context: click.Context, /, metric: str, **_: Any) -> None:
    """Let METRIC be worth no alert. One without a threshold is no failure."""
    here = settings(context)
    answer = Connection(here).delete(f"/thresholds/{quote(metric, safe='')}")
    show(here, answer, [answer], ["status", "metric", "revision"])


def _list(context: click.Context) -> None:
    here = settings(context)
    answer = Connection(here).get("/alerts")
    rows = [
        *(row | {"status": "ACTIVE"} for row in _shown(answer["active"], "triggeredAt", "at")),
        *_shown(answer["history"], "timestamp", "at"),
    ]
    show(here, answer, rows, _HISTORY)


def _thresholds(context: click.Context) -> None:
    here = settings(context)
    answer = Connection(here).get("/thresholds")
    rows = [{"metric": metric, **row} for metric, row in answer.items()]
    show(here, answer, rows, ["metric", "warning", "critical", "isDefault", "known", "by"])


def _shown(rows: list[dict[str, Any]], moment: str, column: str) -> list[dict[str, Any]]:
    """With local times and short numbers."""
    numbers = ("value", "threshold")
    return [
        {**row, column: local_time(row[moment] / 1000), **{name: f"{row[name]:.4g}" for name in numbers if name in row}}
        for row in rows
    ]

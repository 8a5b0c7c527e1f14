"""`aether events`: what happened, and what happens.

Knows: how `--since` is written, the columns, one line for each event that comes.
Never: how events are derived.
"""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Any, Final

import click

from aether.cli.connection import Connection
from aether.cli.event_stream import follow
from aether.cli.options import Settings, settings, shared
from aether.cli.output import show
from aether.cli.param_types import TextParam
from aether.cli.times import local_time, span_s

_COLUMNS: Final = ["at", "severity", "type", "subject", "summary", "id"]
_ID: Final = re.compile(r"\d+(\.\d+)?")


class _Since(TextParam):
    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if _ID.fullmatch(text):
            return text
        span = span_s(text)
        if span is not None:
            return _iso(time.time() - span)
        try:
            return _iso(datetime.fromisoformat(text).timestamp())
        except (ValueError, OverflowError, OSError):
            self.fail(f"{text!r} is no id, span or time; write 812.0, 10m or 2031-05-01T18:00", param, ctx)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@click.command()
@click.option("--since", type=_Since(), help="Only later ones: an id, a span such as 10m, or a time.")
@click.option("--follow", "-f", "follows", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option("--type", "types", multiple=True, help="Only this type; may be repeated.")
@click.option(
    "--severity",
    type=click.Choice(["info", "warning", "critical"], case_sensitive=False),
    help="Only those as grave, or graver.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many.")
@shared
@click.pass_context
def events(
    context: click.Context,
    /,
    since: str | None,
    follows: bool,
    types: tuple[str, ...],
    severity: str | None,
    limit: int,
    **_: Any,
) -> None:
    """What happened in the cluster, the oldest first; of one node alone what the asked node saw."""
    here = settings(context)
    connection = Connection(here)
    query = {"since": since or "", "type": ",".join(types), "severity": severity or ""}
    query = {name: value for name, value in query.items() if value}
    answer = connection.get("/events", limit=str(limit), **query)
    if answer["truncated"]:
        click.echo(f"older events are forgotten; these begin behind {answer['keptAfter']}", err=True)
    if not follows:
        rows = [row | {"at": _at(row)} for row in answer["events"]]
        show(here, answer, answer["events"] if here.output == "jsonl" else rows, _COLUMNS)
        if answer["more"]:
            click.echo(f"more follows; go on with --since {answer['next']}", err=True)
        return
    seen = {str(event["id"]) for event in answer["events"]}
    for event in answer["events"]:
        click.echo(_line(here, event))
    for name, event in follow(connection, query | {"since": answer["next"]}, answered=True):
        if name == "truncated":
            click.echo(f"some events were missed; these begin behind {event['keptAfter']}", err=True)
        elif event["id"] not in seen:
            click.echo(_line(here, event))


def _line(here: Settings, event: dict[str, Any]) -> str:
    if here.output != "table":
        return json.dumps(event, ensure_ascii=False)
    return f"{_at(event)}  {event['severity']:<8}  {event['type']:<20}  {event['summary']}"


def _at(event: dict[str, Any]) -> str:
    return local_time(datetime.fromisoformat(str(event["timestamp"])).timestamp())

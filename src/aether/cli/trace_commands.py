"""`aether traces`: the last calls, and one request as a waterfall.

Knows: how a waterfall is drawn with characters.
Never: how calls are remembered.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import click

from aether.cli.connection import Connection
from aether.cli.options import settings
from aether.cli.output import show
from aether.cli.watching import looking

BAR_CHARS: Final = 40


@click.command()
@click.argument("request_id", metavar="[REQUEST-ID]", default="")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many calls.")
@looking
@click.pass_context
def traces(context: click.Context, /, request_id: str, limit: int, **_: Any) -> None:
    """The last calls of the node; with REQUEST-ID, where the time of that request went, on all nodes.

    An answer over HTTP names its request in X-Request-Id.
    """
    here = settings(context)
    if not request_id:
        answer = Connection(here).get("/traces", limit=str(limit))
        show(here, answer, answer["traces"], ["requestId", "name", "spentMs", "outcome", "nodeId"])
        return
    answer = Connection(here).get(f"/traces/{quote(request_id, safe='')}")
    spans = answer["spans"]
    rows = spans if here.output in ("json", "jsonl") else [_drawn(span, answer["spentMs"]) for span in spans]
    show(here, answer, rows, ["name", "nodeId", "startMs", "spentMs", "outcome", "when"])
    if answer["unheard"]:
        click.echo(f"not heard: {', '.join(answer['unheard'])}; calls on them are missing", err=True)


def _drawn(span: dict[str, Any], whole_ms: float) -> dict[str, Any]:
    scale = BAR_CHARS / whole_ms if whole_ms > 0 else 0.0
    begin = min(BAR_CHARS - 1, int(span["startMs"] * scale))
    length = max(1, min(BAR_CHARS - begin, round(span["spentMs"] * scale)))
    return {
        **span,
        "name": "  " * span["depth"] + span["name"],
        "outcome": "still running" if span["running"] else span["outcome"],
        "when": "." * begin + "#" * length + "." * (BAR_CHARS - begin - length),
    }

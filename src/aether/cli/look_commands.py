"""Commands that look and do not touch: status, health, routes.

Knows: which path answers which question, which columns people want.
Never: changing anything.
"""

from __future__ import annotations

from typing import Any

import click

from aether.cli.connection import Connection
from aether.cli.options import settings
from aether.cli.output import show
from aether.cli.watching import looking


@click.command()
@looking
@click.pass_context
def status(context: click.Context, /, **_: Any) -> None:
    """Who this node is and who leads."""
    here = settings(context)
    answer = Connection(here).get("/status")
    show(here, answer, [answer], ["nodeId", "status", "isLeader", "leader", "nodeCount", "revision"])


@click.command()
@looking
@click.pass_context
def health(context: click.Context, /, **_: Any) -> None:
    """Quorum, peers and slices, judged honestly, and what is missing. Exit 1 when there is no quorum."""
    here = settings(context)
    answer = Connection(here).get("/health")
    show(here, answer, [answer], ["status", "quorum", "nodeCount", "connectedPeers", "sliceCount"])
    if here.output == "table":
        for problem in answer.get("problems", ()):
            click.echo(problem)
    if not answer.get("quorum"):
        context.exit(1)


@click.command()
@looking
@click.pass_context
def routes(context: click.Context, /, **_: Any) -> None:
    """The HTTP routes of deployed slices."""
    here = settings(context)
    answer = Connection(here).get("/routes")
    shadowed = ["shadowedBy"] if any("shadowedBy" in row for row in answer["routes"]) else []
    show(here, answer, answer["routes"], ["method", "path", "artifact", "sliceMethod", *shadowed])

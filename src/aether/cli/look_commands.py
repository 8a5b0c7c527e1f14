"""Commands that look and do not touch: status, health, nodes, slices, routes.

Knows: which path answers which question, which columns people want.
Never: changing anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aether.cli.connection import Connection
from aether.cli.options import settings, shared
from aether.cli.output import show


@click.command()
@shared
@click.pass_context
def status(context: click.Context, /, **_: Any) -> None:
    """Who this node is and who leads."""
    here = settings(context)
    answer = Connection(here).get("/status")
    show(here, answer, [answer], ["nodeId", "status", "isLeader", "leader", "nodeCount", "revision"])


@click.command()
@shared
@click.pass_context
def health(context: click.Context, /, **_: Any) -> None:
    """Quorum, peers and slices, judged honestly. Exit 1 when there is no quorum."""
    here = settings(context)
    answer = Connection(here).get("/health")
    show(here, answer, [answer], ["status", "quorum", "nodeCount", "connectedPeers", "sliceCount"])
    if not answer.get("quorum"):
        context.exit(1)


@click.command()
@click.option("--app", "apps", multiple=True, metavar="MODULE[:ATTR]", help="Print the slices of a module instead.")
@click.option(
    "--app-dir", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Where modules are found."
)
@shared
@click.pass_context
def slices(context: click.Context, /, apps: tuple[str, ...], app_dir: Path, **_: Any) -> None:
    """Every instance with its state, or the slices of an --app."""
    here = settings(context)
    if apps:
        from aether.cli.applications import describe

        rows = describe(apps, app_dir)
        show(here, rows, rows, ["artifact", "class", "instances", "routes"])
        return
    answer = Connection(here).get("/slices/status")
    rows = [{"artifact": each["artifact"], **instance} for each in answer["slices"] for instance in each["instances"]]
    rows += [{"artifact": each["artifact"], **each} for each in answer["slices"] if not each["instances"]]
    show(here, answer, rows, ["artifact", "instance", "nodeId", "state", "reason"])


@click.command()
@shared
@click.pass_context
def routes(context: click.Context, /, **_: Any) -> None:
    """The HTTP routes of deployed slices."""
    here = settings(context)
    answer = Connection(here).get("/routes")
    shadowed = ["shadowedBy"] if any("shadowedBy" in row for row in answer["routes"]) else []
    show(here, answer, answer["routes"], ["method", "path", "artifact", "sliceMethod", *shadowed])

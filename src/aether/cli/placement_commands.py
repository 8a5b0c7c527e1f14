"""`aether place`, `aether unplace` and `aether placements`: instances one by one, by an operator's order.

Knows: the requests behind each command.
Never: choosing a node.
"""

from __future__ import annotations

from typing import Any

import click

from aether.cli.change_commands import wait_option
from aether.cli.connection import Connection
from aether.cli.options import settings, shared
from aether.cli.output import show
from aether.cli.watching import looking


@click.command()
@click.argument("what", metavar="ARTIFACT|INSTANCE")
@click.option("--on", "node", metavar="NODE", required=True, help="Id of the member it shall live on.")
@click.option("--move", is_flag=True, help="WHAT is an instance that shall live there instead of where it is.")
@wait_option
@shared
@click.pass_context
def place(context: click.Context, /, what: str, node: str, move: bool, wait_s: float | None, **_: Any) -> None:
    """Order one more instance of ARTIFACT on NODE, or with --move INSTANCE elsewhere.

    For clusters whose nodes run with --cluster-manager manual: nothing else places instances there.
    """
    if move:
        _ask(context, "/placements/move", {"instance": what, "node": node}, wait_s)
    else:
        _ask(context, "/placements/place", {"artifact": what, "node": node}, wait_s)


@click.command()
@click.argument("instance")
@click.option("--force", is_flag=True, help="Also below the min_available of its slice.")
@wait_option
@shared
@click.pass_context
def unplace(context: click.Context, /, instance: str, force: bool, wait_s: float | None, **_: Any) -> None:
    """Take the order for INSTANCE back: it drains and goes."""
    _ask(context, "/placements/unplace", {"instance": instance, **({"force": True} if force else {})}, wait_s)


@click.command()
@looking
@click.pass_context
def placements(context: click.Context, /, **_: Any) -> None:
    """Where instances were ordered."""
    here = settings(context)
    answer = Connection(here).get("/placements")
    show(here, answer, answer["placements"], ["artifact", "order", "node"])


def _ask(context: click.Context, path: str, body: dict[str, object], wait_s: float | None) -> None:
    here = settings(context)
    answer = Connection(here).post(path, body, wait_s=wait_s)
    show(here, answer, [answer], ["status", "artifact", "instance", "node", "placed", "revision"])

"""`aether members`: who belongs to the group, and how it changes.

Knows: the requests behind each command, and `--wait`.
Never: deciding who votes.
"""

from __future__ import annotations

from typing import Any

import click

from aether.cli.change_commands import wait_option
from aether.cli.connection import Connection
from aether.cli.options import Settings, settings, shared
from aether.cli.output import show
from aether.cli.watching import looking

_COLUMNS = ["id", "kind", "state", "isLeader", "clusterAddress", "managementAddress", "instances"]


@click.group(invoke_without_command=True)
@looking
@click.pass_context
def members(context: click.Context, /, **_: Any) -> None:
    """Who belongs to the group and votes, and how that changes.

    Without a command: the list. Any node takes the wish; the leader carries it out. With --wait the command returns
    when it is so.
    """
    if context.invoked_subcommand is None:
        _list(context)


@members.command("list")
@looking
@click.pass_context
def list_members(context: click.Context, /, **_: Any) -> None:
    """All members: voters, and workers, which get the log and host slices."""
    _list(context)


def _list(context: click.Context) -> None:
    here = settings(context)
    answer = Connection(here).get("/members")
    rows = [each | {"state": "LEAVING"} if each.get("leaving") else each for each in answer["members"]]
    show(here, answer, rows, _COLUMNS)


@members.command()
@click.argument("node")
@click.argument("address", metavar="HOST:PORT")
@wait_option
@shared
@click.pass_context
def add(context: click.Context, /, node: str, address: str, wait_s: float | None, **_: Any) -> None:
    """Announce NODE, whose cluster port will be at HOST:PORT. `aether node --join` does it by itself."""
    _ask(settings(context), "add", {"node": node, "address": address}, wait_s)


@members.command()
@click.argument("node")
@wait_option
@shared
@click.pass_context
def remove(context: click.Context, /, node: str, wait_s: float | None, **_: Any) -> None:
    """Let NODE leave for ever, dead or alive: its id is never used again.

    A living one hands its work over first, and stops by itself.
    """
    _ask(settings(context), "remove", {"node": node}, wait_s)


@members.command()
@click.argument("node")
@wait_option
@shared
@click.pass_context
def promote(context: click.Context, /, node: str, wait_s: float | None, **_: Any) -> None:
    """Let NODE vote as soon as it has caught up."""
    _ask(settings(context), "promote", {"node": node}, wait_s)


@members.command()
@click.argument("node")
@wait_option
@shared
@click.pass_context
def demote(context: click.Context, /, node: str, wait_s: float | None, **_: Any) -> None:
    """Let NODE work without a vote, until it is promoted."""
    _ask(settings(context), "demote", {"node": node}, wait_s)


@members.command("transfer-leader")
@click.argument("node", required=False)
@wait_option
@shared
@click.pass_context
def transfer_leader(context: click.Context, /, node: str | None, wait_s: float | None, **_: Any) -> None:
    """Let NODE lead, or the voter with the longest log."""
    _ask(settings(context), "transfer-leader", {"node": node} if node else {}, wait_s)


def _ask(here: Settings, what: str, body: dict[str, str], wait_s: float | None) -> None:
    answer = Connection(here).post(f"/members/{what}", body, wait_s=wait_s)
    show(here, answer, [answer], ["status", "node", "pending", "revision"])

"""`aether nodes`: the members with their duties, and the words that change them.

Knows: the requests behind each command, `--wait` and `--force`.
Never: moving instances.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

import click

from aether.cli.change_commands import wait_option
from aether.cli.connection import Connection
from aether.cli.options import settings, shared
from aether.cli.output import show
from aether.cli.watching import looking

_COLUMNS = ["id", "state", "duty", "isLeader", "httpAddress", "managementAddress", "instances", "waitsFor"]
C = TypeVar("C", bound=Callable[..., Any])


def force_option(command: C) -> C:
    """`--force`, for words that are otherwise refused, or wait."""
    return click.option(
        "--force", is_flag=True, help="Whatever min_available, missing capacity or a missing majority say."
    )(command)


@click.group(invoke_without_command=True)
@looking
@click.pass_context
def nodes(context: click.Context, /, **_: Any) -> None:
    """The members of the cluster with their duties, and how one is taken out of work.

    Without a command: the list. A word about a node holds until another one, also when its process starts again;
    only a shutdown is over with the next start.
    """
    if context.invoked_subcommand is None:
        _list(context)


@nodes.command("list")
@looking
@click.pass_context
def list_nodes(context: click.Context, /, **_: Any) -> None:
    """Every member, those that do not answer too: state, duty, and what a drain still waits for."""
    _list(context)


@nodes.command()
@click.argument("node")
@wait_option
@force_option
@shared
@click.pass_context
def drain(context: click.Context, /, node: str, wait_s: float | None, force: bool, **_: Any) -> None:
    """Let NODE give its instances to others and take none; it stays a member, and is DECOMMISSIONED when empty."""
    _ask(context, node, "drain", {"force": True} if force else {}, wait_s)


@nodes.command()
@click.argument("node")
@wait_option
@shared
@click.pass_context
def activate(context: click.Context, /, node: str, wait_s: float | None, **_: Any) -> None:
    """Let NODE work again, while it drains or after."""
    _ask(context, node, "activate", {}, wait_s)


@nodes.command()
@click.argument("node")
@wait_option
@force_option
@shared
@click.pass_context
def shutdown(context: click.Context, /, node: str, wait_s: float | None, force: bool, **_: Any) -> None:
    """Let the process of NODE drain, hand over what it leads, and end with exit code 0."""
    _ask(context, node, "shutdown", {"force": True} if force else {}, wait_s)


def _list(context: click.Context) -> None:
    here = settings(context)
    answer = Connection(here).get("/members")
    rows = [each | {"waitsFor": "; ".join(each.get("waitsFor", []))} for each in answer["members"]]
    show(here, answer, rows, _COLUMNS)


def _ask(context: click.Context, node: str, what: str, body: dict[str, object], wait_s: float | None) -> None:
    here = settings(context)
    answer = Connection(here).post(f"/nodes/{quote(node, safe='')}/{what}", body, wait_s=wait_s)
    row = answer | {"pending": "; ".join(answer.get("pending", []))}
    show(here, answer, [row], ["status", "node", "pending", "revision"])

"""`aether token` and `aether audit`: who may do what, and who did.

Knows: spans of time as people write them; a file that only its owner reads.
Never: takes a secret on the command line, or shows one twice.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from aether.cli.connection import Connection
from aether.cli.exits import CommandFailed, Exit
from aether.cli.options import settings, shared
from aether.cli.output import show
from aether.cli.times import SPAN, local_time
from aether.cli.watching import looking
from aether.model.access import Role

_TOKEN_COLUMNS = ["id", "role", "roles", "expiresAt", "createdBy", "createdAt", "note"]
_AUDIT_COLUMNS = ["revision", "at", "actor", "role", "verb", "path", "detail"]
_REFUSED_COLUMNS = ["at", "caller", "client", "verb", "path", "status"]


@click.group()
@shared
def token(**_: Any) -> None:
    """Tokens of the admin API, and of routes that ask for one: create, list, revoke."""


@token.command()
@click.argument("name", required=False)
@click.option(
    "--role",
    type=click.Choice([role.word for role in Role]),
    default=Role.VIEWER.word,
    show_default=True,
    help="What it may do with the cluster.",
)
@click.option("--app-role", "roles", multiple=True, help="A role that routes of slices ask for; may be repeated.")
@click.option("--expires", "life_s", type=SPAN, help="After so long it holds no more, such as 90d [never].")
@click.option("--note", default="", help="What it is for.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write it to a new file with mode 0600.")
@shared
@click.pass_context
def create(
    context: click.Context,
    /,
    name: str | None,
    role: str,
    roles: tuple[str, ...],
    life_s: float | None,
    note: str,
    out: Path | None,
    **_: Any,
) -> None:
    """Make a token called NAME and print its text, once: nobody can read it again."""
    here = settings(context)
    file = None if out is None else _private(out)
    body: dict[str, Any] = {"role": role, "roles": list(roles), "note": note}
    body |= {"name": name} if name else {}
    body |= {"lifeSeconds": life_s} if life_s is not None else {}
    try:
        answer = Connection(here).post("/tokens", body)
        if file is not None:
            os.write(file, f"{answer.pop('token')}\n".encode())
    except BaseException:
        if out is not None:
            out.unlink(missing_ok=True)
        raise
    finally:
        if file is not None:
            os.close(file)
    if here.output == "table" and out is None:
        click.echo(answer["token"])
        click.echo(f"token {answer['id']}, role {answer['role']}: keep it now, it is not shown again", err=True)
    else:
        show(here, answer, [answer], ["status", "id", "role", "revision"])


@token.command(name="list")
@looking
@click.pass_context
def list_(context: click.Context, /, **_: Any) -> None:
    """The tokens of the cluster. What they are spelt like is not known to it."""
    here = settings(context)
    answer = Connection(here).get("/tokens", consistent="true")
    rows = answer["tokens"]
    if here.output == "table":
        rows = [
            {
                **row,
                "createdAt": local_time(row["createdAt"]),
                "expiresAt": "never" if row["expiresAt"] is None else local_time(row["expiresAt"]),
            }
            for row in rows
        ]
    show(here, answer, rows, _TOKEN_COLUMNS)


@token.command()
@click.argument("name")
@shared
@click.pass_context
def revoke(context: click.Context, /, name: str, **_: Any) -> None:
    """Let the token NAME hold no more, on every node that has heard of it."""
    here = settings(context)
    answer = Connection(here).delete(f"/tokens/{quote(name, safe='')}")
    show(here, answer, [answer], ["status", "id", "revision"])


@click.command()
@click.option("--since", type=click.IntRange(0), help="Changes after this revision [the newest].")
@click.option("--limit", type=click.IntRange(1, 5000), default=100, show_default=True, help="At most so many.")
@click.option("--refused", is_flag=True, help="What this node refused instead, as far as it remembers.")
@looking
@click.pass_context
def audit(context: click.Context, /, since: int | None, limit: int, refused: bool, **_: Any) -> None:
    """Who changed what, the oldest first. Read on later with --since REVISION."""
    here = settings(context)
    query = {"limit": str(limit)} | ({} if since is None else {"since": str(since)})
    answer = Connection(here).get("/audit", **query)
    rows = answer["refused"] if refused else answer["changes"]
    if here.output == "table":
        rows = [{**row, "at": local_time(row["at"])} for row in rows]
    show(here, answer, rows, _REFUSED_COLUMNS if refused else _AUDIT_COLUMNS)
    counted = answer["refusedByMinute"]
    if refused and counted and here.output == "table":
        total = sum(row["count"] for row in counted)
        click.echo(f"the cluster refused {total} requests in {len(counted)} different minutes", err=True)


def _private(path: Path) -> int:
    """A new file that nobody else may read, open for writing: before there is a secret to lose."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandFailed(Exit.USAGE, f"--out {path}: {error.strerror}; give a file that does not exist") from error

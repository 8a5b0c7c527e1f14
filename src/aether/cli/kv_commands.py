"""`aether kv`: rows of the replicated store, for operators.

Knows: how a value is given on a command line and shown again; how a watch goes on.
Never: which rows may be written (room management).
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import click

from aether.cli.connection import Connection
from aether.cli.exits import CommandFailed, Exit
from aether.cli.options import Settings, settings, shared
from aether.cli.output import show
from aether.cli.watching import looking
from aether.model.limits import VALUE_BYTES_MAX

WATCH_S = 25.0
PAGE_ROWS = 1000
SHOWN_CHARS_MAX = 80
_limit = click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many rows.")


@click.group()
@shared
def kv(**_: Any) -> None:
    """Read, write and watch rows of the replicated store. A row of a map has the key maps/NAME/KEY."""


@kv.command(name="list")
@click.argument("prefix", default="")
@_limit
@looking
@click.pass_context
def list_(context: click.Context, /, prefix: str, limit: int, **_: Any) -> None:
    """Rows whose keys begin with PREFIX, such as maps/orders/ [all], in the order of their keys."""
    here = settings(context)
    connection = Connection(here)
    rows: list[Any] = []
    answer: dict[str, Any] = {}
    after = ""
    while len(rows) < limit:
        query = {"prefix": prefix, "after": after, "limit": str(min(PAGE_ROWS, limit - len(rows)))}
        answer = connection.get("/kv", **query)
        rows += answer["rows"]
        after = answer["next"] or ""
        if not after:
            break
    shown = rows if here.output != "table" else [{**row, "value": _short(_cell(row["value"]))} for row in rows]
    show(here, {**answer, "rows": rows}, shown, ["key", "value", "version"])
    if after:
        click.echo(f"more follows; show it with a longer prefix or a higher --limit than {limit}", err=True)


@kv.command()
@click.argument("key")
@looking
@click.pass_context
def get(context: click.Context, /, key: str, **_: Any) -> None:
    """The value of KEY as JSON, and with `-o json` also its version and bytes."""
    here = settings(context)
    answer = Connection(here).get("/kv/row", key=key, consistent="true")
    if here.output == "table":
        click.echo(json.dumps(answer["value"], ensure_ascii=False))
    else:
        show(here, answer, [answer], [])


@kv.command()
@click.argument("key")
@click.argument("value", required=False)
@click.option("--text", is_flag=True, help="VALUE is a text, not JSON.")
@click.option("--file", type=click.Path(dir_okay=False, path_type=Path), help="The bytes in this file are the value.")
@click.option("--if-version", type=click.IntRange(0), help="Only if the row has this version; 0 = it does not exist.")
@click.option("--force", is_flag=True, help="Write even a row that the cluster keeps itself.")
@shared
@click.pass_context
def put(
    context: click.Context,
    /,
    key: str,
    value: str | None,
    text: bool,
    file: Path | None,
    if_version: int | None,
    force: bool,
    **_: Any,
) -> None:
    """Write VALUE (JSON) as the row KEY, such as maps/stock/apple."""
    here = settings(context)
    body = {"key": key, **_value(value, text, file), **_guards(if_version, force)}
    answer = Connection(here).post("/kv/put", body)
    show(here, answer, [answer], ["status", "key", "revision"])


@kv.command()
@click.argument("key")
@click.option("--if-version", type=click.IntRange(1), help="Only if the row has this version.")
@click.option("--force", is_flag=True, help="Delete even a row that the cluster keeps itself.")
@shared
@click.pass_context
def delete(context: click.Context, /, key: str, if_version: int | None, force: bool, **_: Any) -> None:
    """Delete the row KEY. One that is not there is no failure."""
    here = settings(context)
    answer = Connection(here).post("/kv/delete", {"key": key, **_guards(if_version, force)})
    show(here, answer, [answer], ["status", "key", "revision"])


@kv.command()
@click.argument("prefix", default="")
@click.option("--since", type=click.IntRange(0), help="Changes after this revision [from now on].")
@shared
@click.pass_context
def watch(context: click.Context, /, prefix: str, since: int | None, **_: Any) -> None:
    """Print each change of a row whose key begins with PREFIX, until Ctrl-C.

    Of several changes of one row that follow closely the last one is printed. Go on later with --since REVISION.
    """
    here = settings(context)
    connection = Connection(here)
    reached = since  # what was printed may be printed again, but none is left out
    try:
        while True:
            query = {"prefix": prefix, "limit": str(PAGE_ROWS)}
            if since is not None:
                query |= {"since": str(since), "wait": f"{WATCH_S:g}"}
            answer = connection.get("/kv/changes", **query)
            for change in answer["changes"]:
                click.echo(_line(here, change))
            since = reached = answer["revision"]
    except (CommandFailed, KeyboardInterrupt):
        if reached is not None:
            click.echo(f"go on with --since {reached}", err=True)
        raise


def _line(here: Settings, change: dict[str, Any]) -> str:
    if here.output != "table":
        return json.dumps(change, ensure_ascii=False)
    value = "(deleted)" if change["deleted"] else _cell(change["value"])
    return f"{change['revision']}  {change['key']}  {value}"


def _cell(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS_MAX else text[: SHOWN_CHARS_MAX - 3] + "..."


def _value(value: str | None, text: bool, file: Path | None) -> dict[str, Any]:
    if (value is None) == (file is None):
        raise CommandFailed(Exit.USAGE, "give VALUE, or --file FILE with the bytes")
    if file is not None:
        return {"base64": base64.b64encode(_read(file)).decode()}
    assert value is not None
    if text:
        return {"value": value}
    try:
        return {"value": json.loads(value)}
    except ValueError as error:
        hint = f"a text is '\"{value[:40]}\"' in JSON, or give --text"
        raise CommandFailed(Exit.USAGE, f"VALUE is no JSON: {error}", hint) from error


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            raw = opened.read(VALUE_BYTES_MAX + 1)
    except OSError as error:
        raise CommandFailed(Exit.USAGE, f"{file} cannot be read: {error.strerror}") from error
    if len(raw) > VALUE_BYTES_MAX:
        raise CommandFailed(Exit.USAGE, f"{file} has more than the {VALUE_BYTES_MAX} bytes that a value may have")
    return raw


def _guards(if_version: int | None, force: bool) -> dict[str, Any]:
    guards: dict[str, Any] = {"force": True} if force else {}
    return guards if if_version is None else guards | {"ifVersion": if_version}

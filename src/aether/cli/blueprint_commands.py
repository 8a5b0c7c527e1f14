"""`aether blueprint`: look before applying, apply, look back, go back; write a first file for an application.

Knows: the requests behind each, how a plan reads.
Never: what a blueprint means (the node validates it and answers with every problem).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import click

from aether.cli.change_commands import wait_option
from aether.cli.connection import Connection
from aether.cli.exits import CommandFailed, Exit, bad_input
from aether.cli.options import Settings, settings, shared, user_name
from aether.cli.output import show
from aether.cli.times import local_time
from aether.cli.watching import looking
from aether.errors import BadInput
from aether.model.limits import BLUEPRINT_BYTES_MAX

CHANGES_EXIT = 2
"""Of `plan --detailed-exitcode` when something would change, as Terraform has it."""

F = TypeVar("F", bound=Callable[..., Any])
_file = click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
_id = click.argument("blueprint_id", metavar="ID")


def _force(command: F) -> F:
    return click.option("--force", is_flag=True, help="Also where it takes an update back or hurts others.")(command)


@click.group()
@shared
def blueprint(**_: Any) -> None:
    """Plan, apply and look at blueprints, and go back to earlier ones."""


@blueprint.command()
@_file
@shared
def validate(file: Path, **_: Any) -> None:
    """Read FILE (TOML, - is the standard input) and say everything that is wrong with it; needs no node."""
    from aether.model.blueprint_toml import parse_blueprint

    found = parse_blueprint(_read(file))
    click.echo(f"{file} is valid: blueprint {found.id}, {len(found.slices)} slices")


@blueprint.command()
@_file
@_force
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when something would change.")
@shared
@click.pass_context
def plan(context: click.Context, /, file: Path, force: bool, detailed_exitcode: bool, **_: Any) -> None:
    """Show what applying FILE would change, and change nothing."""
    here = settings(context)
    answer = Connection(here).post("/blueprint/plan", {"toml": _read(file), "force": force})
    rows = [{**row, "version": _version(row), "instances": _instances(row)} for row in answer["slices"]]
    show(here, answer, rows, ["action", "artifact", "version", "instances", "update", "takesBack"])
    if here.output == "table":
        for row in answer["slices"]:
            for line in row["changes"] if row["action"] == "change" else ():
                click.echo(f"  {row['artifact']}: {line}")
        click.echo(_summary(answer))
    _warn(answer)
    if detailed_exitcode and answer["changes"]:
        context.exit(CHANGES_EXIT)


@blueprint.command()
@_file
@_force
@click.option("--if-number", type=click.IntRange(0), default=None, help="Only if the text of this number is in force.")
@wait_option
@shared
@click.pass_context
def apply(
    context: click.Context, /, file: Path, force: bool, if_number: int | None, wait_s: float | None, **_: Any
) -> None:
    """Apply FILE (TOML): all of it, or nothing."""
    here = settings(context)
    body: dict[str, Any] = {"toml": _read(file), "force": force, "appliedBy": user_name()}
    if if_number is not None:
        body["ifNumber"] = if_number
    _applied(here, Connection(here).post("/blueprint", body, wait_s=wait_s))


@blueprint.command(name="list")
@looking
@click.pass_context
def list_(context: click.Context, /, **_: Any) -> None:
    """The blueprints that are applied."""
    here = settings(context)
    answer = Connection(here).get("/blueprints")
    show(here, answer, _dated(here, answer["blueprints"]), ["id", "number", "slices", "appliedBy", "appliedAt"])


@blueprint.command(name="show")
@_id
@click.option("--number", type=click.IntRange(1), default=None, help="An earlier one.")
@shared
@click.pass_context
def show_(context: click.Context, /, blueprint_id: str, number: int | None, **_: Any) -> None:
    """Print the text of blueprint ID as it was applied."""
    here = settings(context)
    query = {} if number is None else {"number": str(number)}
    answer = Connection(here).get(f"/blueprints/{_segment(blueprint_id)}", **query)
    if here.output == "table":
        click.echo(answer["toml"], nl=not answer["toml"].endswith("\n"))
    else:
        show(here, answer, [answer], ["toml"])


@blueprint.command()
@_id
@looking
@click.pass_context
def history(context: click.Context, /, blueprint_id: str, **_: Any) -> None:
    """Every text of blueprint ID that is kept: who applied it, when and why."""
    here = settings(context)
    answer = Connection(here).get(f"/blueprints/{_segment(blueprint_id)}/history")
    show(here, answer, _dated(here, answer["history"]), ["number", "appliedBy", "appliedAt", "reason", "artifacts"])
    if answer["watched"] is not None and here.output == "table":
        watched = answer["watched"]
        because = f": {watched['reason']}" if watched["reason"] else ""
        click.echo(f"number {watched['number']} is atomic and {watched['state']}{because}", err=True)


@blueprint.command()
@_id
@click.option("--to", "number", type=click.IntRange(1), default=None, help="Which number [the one before].")
@wait_option
@shared
@click.pass_context
def rollback(context: click.Context, /, blueprint_id: str, number: int | None, wait_s: float | None, **_: Any) -> None:
    """Put an earlier text of blueprint ID back, as a new number."""
    here = settings(context)
    body: dict[str, Any] = {"appliedBy": user_name()} | ({} if number is None else {"number": number})
    _applied(here, Connection(here).post(f"/blueprints/{_segment(blueprint_id)}/rollback", body, wait_s=wait_s))


@blueprint.command()
@_id
@_force
@wait_option
@shared
@click.pass_context
def delete(context: click.Context, /, blueprint_id: str, force: bool, wait_s: float | None, **_: Any) -> None:
    """Want nothing of blueprint ID any more, and forget its texts. Calls in flight finish first."""
    here = settings(context)
    answer = Connection(here).post(f"/blueprints/{_segment(blueprint_id)}/delete", {"force": force}, wait_s=wait_s)
    show(here, answer, [answer], ["status", "id", "slices", "revision"])


@blueprint.command()
@click.option("--app", "apps", multiple=True, required=True, metavar="MODULE[:ATTR]", help="Where the slices are.")
@click.option(
    "--app-dir", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Where modules are found."
)
def init(apps: tuple[str, ...], app_dir: Path) -> None:
    """Write a blueprint for the slices of an application to the standard output."""
    from aether.cli.applications import blueprint_text, describe

    click.echo(blueprint_text(describe(apps, app_dir)), nl=False)


# --- words ------------------------------------------------------------------------------------------------------------


def _applied(here: Settings, answer: Any) -> None:
    show(here, answer, [answer], ["status", "blueprint", "slices", "revision"])
    if here.output == "table":
        for artifact, update in answer["updates"].items():
            click.echo(
                f"update {update} brings the new version of {artifact}: aether rollout status {update}", err=True
            )
    _warn(answer)


def _warn(answer: Mapping[str, Any]) -> None:
    for line in answer["warnings"]:
        click.echo(f"warning: {line}", err=True)


def _version(row: Mapping[str, Any]) -> str:
    old, new = row["oldVersion"], row["newVersion"]
    return str(new or old) if old is None or new is None or old == new else f"{old} -> {new}"


def _instances(row: Mapping[str, Any]) -> str:
    old, new = row["oldInstances"], row["newInstances"]
    return str(new) if old == new else f"{old} -> {new}"


def _summary(answer: Mapping[str, Any]) -> str:
    if not answer["changes"]:
        return f"nothing to do: {answer['id']}:{answer['number']} is in force as the file says"
    actions = [row["action"] for row in answer["slices"]]
    counts = ", ".join(f"{actions.count(word)} to {word}" for word in ("create", "change", "delete"))
    return f"{answer['id']}:{answer['number']}: {counts}, {actions.count('unchanged')} unchanged"


def _dated(here: Settings, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if here.output != "table":
        return rows
    return [{**row, "appliedAt": local_time(row["appliedAt"])} for row in rows]


def _segment(blueprint_id: str) -> str:
    return quote(blueprint_id, safe="")


def _read(file: Path) -> str:
    """The TOML in `file`, or on the standard input. Raises CommandFailed that names it, also when it is too large."""
    from aether.model.blueprint_toml import blueprint_table

    where = "the standard input" if str(file) == "-" else str(file)
    try:
        if str(file) == "-":
            raw = sys.stdin.buffer.read(BLUEPRINT_BYTES_MAX + 1)
        else:
            with file.open("rb") as opened:
                raw = opened.read(BLUEPRINT_BYTES_MAX + 1)
        if len(raw) > BLUEPRINT_BYTES_MAX:
            raise CommandFailed(Exit.USAGE, f"{where} is larger than {BLUEPRINT_BYTES_MAX} bytes; is that a blueprint?")
        text = raw.decode("utf-8-sig")  # some editors write a byte order mark
        blueprint_table(text)
    except BadInput as error:
        raise CommandFailed(Exit.USAGE, f"{where}: {bad_input(error)}") from error
    except UnicodeDecodeError as error:
        byte = f"byte {error.start} is 0x{error.object[error.start]:02x}"
        raise CommandFailed(Exit.USAGE, f"{where} is no text in UTF-8: {byte}; is that a blueprint?") from error
    except OSError as error:
        raise CommandFailed(Exit.USAGE, f"cannot read {where}: {error.strerror or error}") from error
    return text

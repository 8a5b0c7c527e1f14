"""`aether blueprint`: apply a file, list what is applied, write a first file for an application.

Knows: the requests behind each.
Never: what a blueprint means (the node validates it and answers with every problem).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aether.cli.change_commands import wait_option
from aether.cli.connection import Connection
from aether.cli.exits import CommandFailed, Exit
from aether.cli.options import settings, shared
from aether.cli.output import show
from aether.cli.times import local_time

FILE_BYTES_MAX = 1024 * 1024


@click.group()
@shared
def blueprint(**_: Any) -> None:
    """Apply, list and write blueprints."""


@blueprint.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@wait_option
@shared
@click.pass_context
def apply(context: click.Context, /, file: Path, wait_s: float | None, **_: Any) -> None:
    """Apply FILE (TOML): all of it, or nothing."""
    here = settings(context)
    answer = Connection(here).post("/blueprint", toml=_read(file), wait_s=wait_s)
    show(here, answer, [answer], ["status", "blueprint", "slices", "revision"])


@blueprint.command(name="list")
@shared
@click.pass_context
def list_(context: click.Context, /, **_: Any) -> None:
    """The blueprints that are applied."""
    here = settings(context)
    answer = Connection(here).get("/blueprints")
    rows = answer["blueprints"]
    if here.output == "table":
        rows = [{**row, "appliedAt": local_time(row["appliedAt"])} for row in rows]
    show(here, answer, rows, ["id", "number", "slices", "appliedBy", "appliedAt"])


@blueprint.command()
@click.option("--app", "apps", multiple=True, required=True, metavar="MODULE[:ATTR]", help="Where the slices are.")
@click.option(
    "--app-dir", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Where modules are found."
)
def init(apps: tuple[str, ...], app_dir: Path) -> None:
    """Write a blueprint for the slices of an application to the standard output."""
    from aether.cli.applications import describe

    rows = describe(apps, app_dir)  # before the first word: the output is a file already
    click.echo('id = "app:1.0.0"')
    for row in rows:
        click.echo(f'\n[[slices]]\nartifact = "{row["artifact"]}"\ninstances = {row["instances"]}')


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise CommandFailed(Exit.USAGE, f"{file} is larger than {FILE_BYTES_MAX} bytes; is that a blueprint?")
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(Exit.USAGE, f"cannot read {file}: {error}") from error

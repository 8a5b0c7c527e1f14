"""`aether contract` and `aether diff`: contracts of running slices as files, and what changes between two versions.

Knows: where a contract may come from: the cluster, a class, a file of `aether contract export`.
Never: the rules of compatibility, how a contract becomes Python (room slice_api).
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from aether.cli.connection import Connection
from aether.cli.exits import CommandFailed, Exit
from aether.cli.options import Settings, settings, shared, whom
from aether.cli.output import show
from aether.errors import BadInput
from aether.model.limits import CONTRACT_BYTES_MAX
from aether.slice_api.description import ContractDescription, describe, read_description

_app_dir_option = click.option(
    "--app-dir", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Where modules are found."
)


@click.group()
@shared
def contract(**_: Any) -> None:
    """List contracts of the cluster, and write one as Python or JSON."""


@contract.command(name="list")
@shared
@click.pass_context
def list_(context: click.Context, /, **_: Any) -> None:
    """The versions whose contract is known."""
    here = settings(context)
    answer = Connection(here).get("/contracts")
    show(here, answer, answer["contracts"], ["artifact", "running"])


@contract.command()
@click.argument("artifact")
@click.option(
    "-o",
    "--output",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it there: JSON when it ends in .json.",
)
@click.option(
    "--check",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write nothing; exit 1 when FILE differs, and show how.",
)
@_app_dir_option
@whom
@click.pass_context
def export(
    context: click.Context, /, artifact: str, file: Path | None, check: Path | None, app_dir: Path, **_: Any
) -> None:
    """Write a Protocol, value classes and Faults for ARTIFACT, as the cluster runs it.

    ARTIFACT is group:artifact or group:artifact:version of the cluster, or MODULE:CLASS.
    """
    if file is not None and check is not None:
        raise CommandFailed(Exit.USAGE, "--output writes and --check only looks; give one of them")
    description = _found(artifact, settings(context), app_dir)
    target = file or check
    text = _json(description) if target is not None and target.suffix == ".json" else _python(description)
    if check is not None:
        _compare(check, text)
    elif file is not None:
        file.write_text(text)
    else:
        click.echo(text, nl=False)


@click.command()
@click.argument("old")
@click.argument("new")
@click.option("--breaking", is_flag=True, help="Only what breaks somebody.")
@_app_dir_option
@shared
@click.pass_context
def diff(context: click.Context, /, old: str, new: str, breaking: bool, app_dir: Path, **_: Any) -> None:
    """What changes for those who use OLD when NEW replaces it; exit 1 when something breaks.

    Each is group:artifact[:version] of the cluster, MODULE:CLASS, or a .json file of `aether contract export`.
    """
    from aether.slice_api.compatibility import changes

    here = settings(context)
    found = changes(_found(old, here, app_dir), _found(new, here, app_dir))
    rows = [
        {"breaking": change.breaking, "change": change.rule.value, "where": change.where, "reason": change.reason}
        for change in sorted(found, key=lambda change: not change.breaking)
        if change.breaking or not breaking
    ]
    answer = {"changes": rows, "breaking": any(change.breaking for change in found)}
    if rows or here.output != "table":
        show(here, answer, rows, ["breaking", "change", "where", "reason"])
    else:
        click.echo("no breaking changes" if breaking else "no changes")
    if answer["breaking"]:
        context.exit(Exit.FAILED)


def _found(source: str, here: Settings, app_dir: Path) -> ContractDescription:
    if source.endswith(".json"):
        return _read(Path(source))
    _, _, name = source.rpartition(":")
    if source.count(":") == 1 and name.isidentifier() and name != name.lower():
        from aether.cli.applications import load_class
        from aether.slice_api.contract import contract_of

        return describe(contract_of(load_class(source, app_dir)))
    answer = Connection(here).get(f"/contracts/{quote(source, safe=':')}")
    return read_description(answer["contract"])


def _read(file: Path) -> ContractDescription:
    try:
        if file.stat().st_size > 2 * CONTRACT_BYTES_MAX:
            raise CommandFailed(Exit.FAILED, f"{file} is larger than any contract")
        plain = json.loads(file.read_text())
    except OSError as error:
        raise CommandFailed(Exit.FAILED, f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise CommandFailed(Exit.FAILED, f"{file} is no JSON: {error}") from error
    try:
        return read_description(plain)
    except BadInput as error:
        raise CommandFailed(Exit.FAILED, f"{file}: {error}") from error


def _python(description: ContractDescription) -> str:
    from aether.slice_api.export import export as exported

    return exported(description)


def _json(description: ContractDescription) -> str:
    return json.dumps(description.to_plain(), indent=2, ensure_ascii=False) + "\n"


def _compare(file: Path, text: str) -> None:
    try:
        known = file.read_text()
    except OSError as error:
        raise CommandFailed(Exit.FAILED, f"{file}: {error.strerror}") from error
    lines = difflib.unified_diff(known.splitlines(), text.splitlines(), str(file), "the cluster", lineterm="")
    drift = "\n".join(lines)
    if drift:
        click.echo(drift)
        raise CommandFailed(
            Exit.FAILED, f"{file} differs from the contract", "write it anew with -o, and look at `aether diff`"
        )

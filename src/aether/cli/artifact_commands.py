"""`aether artifact`: files of the artifact repository, as the original's clients spell it.

Knows: the paths of the repository: group, artifact and version as folders.
Never: what a node does with a file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import click

from aether.cli.connection import Connection
from aether.cli.exits import CommandFailed, Exit
from aether.cli.options import settings, shared
from aether.cli.output import show

FILE_BYTES_MAX: Final = 64 * 2**20
_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@click.group()
@shared
def artifact(**_: Any) -> None:
    """The artifact repository of the cluster. A release without one answers 501, which ends with 1.

    Slices from files today: `aether node --slices DIR`.
    """


@artifact.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("-g", "--group", required=True, help="Group, such as shop.orders.")
@click.option("-a", "--artifact", "name", required=True, help="Name, such as place-order.")
@click.option("-v", "--version", required=True, help="Version, such as 1.2.0.")
@shared
@click.pass_context
def deploy(context: click.Context, /, file: Path, group: str, name: str, version: str, **_: Any) -> None:
    """Put FILE into the repository."""
    here = settings(context)
    path = f"{_folder(group, name)}/{_checked(version, '--version')}/{_checked(file.name, 'FILE')}"
    content = _read(file)
    answer = Connection(here).put(f"/repository/{path}", content)
    row = {"artifact": f"{group}:{name}:{version}", "file": file.name, "bytes": len(content)}
    show(here, answer, [row], ["artifact", "file", "bytes"])


@artifact.command("list")
@shared
@click.pass_context
def list_artifacts(context: click.Context, /, **_: Any) -> None:
    """What the repository has."""
    here = settings(context)
    answer = Connection(here).get("/repository/artifacts")
    show(here, answer, answer["artifacts"], ["artifact", "versions"])


@artifact.command()
@click.argument("coordinates", metavar="GROUP:ARTIFACT")
@shared
@click.pass_context
def versions(context: click.Context, /, coordinates: str, **_: Any) -> None:
    """The versions of one artifact."""
    here = settings(context)
    group, colon, name = coordinates.partition(":")
    if not colon:
        raise CommandFailed(Exit.USAGE, f"{coordinates}: write GROUP:ARTIFACT, such as shop.orders:place-order")
    answer = Connection(here).get(f"/repository/info/{_folder(group, name)}")
    show(here, answer, [{"version": version} for version in answer["versions"]], ["version"])


def _folder(group: str, name: str) -> str:
    return f"{_checked(group, 'group').replace('.', '/')}/{_checked(name, 'artifact')}"


def _checked(text: str, what: str) -> str:
    """`text` when it can be a part of a path. Raises CommandFailed."""
    if not _PART.fullmatch(text) or ".." in text:
        raise CommandFailed(Exit.USAGE, f"{what} {text!r}: use letters, digits and . _ + -")
    return text


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise CommandFailed(Exit.USAGE, f"cannot read {file}: {error.strerror or error}") from error
    if len(content) > FILE_BYTES_MAX:
        raise CommandFailed(Exit.USAGE, f"{file} is larger than {FILE_BYTES_MAX} bytes")
    return content

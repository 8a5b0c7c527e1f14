"""`aether generate`: files that run a cluster in containers, on Kubernetes, under systemd, on this machine.

Knows: options, files that are there already, the next steps.
Never: what stands in the files (room generate); starts anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from aether.cli.exits import CommandFailed, Exit
from aether.generate.setup import File, Setup
from aether.model.limits import DRAIN_S

F = TypeVar("F", bound=Callable[..., Any])

_out = click.option(
    "-o", "--out", type=click.Path(file_okay=False, path_type=Path), required=True, metavar="DIR", help="Where to."
)
_force = click.option("--force", is_flag=True, help="Replace files that are there; keys and state are never touched.")
_name = click.option("--name", default="aether", show_default=True, help="Of the cluster, and of what is made of it.")
_nodes = click.option("--nodes", type=int, default=3, show_default=True, help="How many.")
_apps = click.option(
    "--app", "apps", multiple=True, metavar="MODULE[:ATTR]", help="Slices that each node loads; may be repeated."
)
_drain = click.option(
    "--drain",
    "drain_s",
    type=float,
    default=DRAIN_S,
    show_default=True,
    help="Seconds that calls get when a node leaves.",
)
_tls = click.option(
    "--tls/--insecure",
    "tls",
    default=True,
    help="Certificates for every port [--tls]; without, whoever reaches it rules.",
)
_plain_http = click.option("--plain-http", is_flag=True, help="The HTTP port without TLS, behind a proxy that has it.")
_image = click.option("--image", help="Of the containers [aether-node:VERSION].")


def _together(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    def give(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return give


@click.group()
def generate() -> None:
    """Files that run a cluster elsewhere. Nothing is started, and no file is replaced without --force."""


@generate.command()
@_together(_out, _nodes, _name, _image, _apps, _drain, _tls, _plain_http, _force)
def docker(out: Path, force: bool, image: str | None, **given: Any) -> None:
    """A compose file: nodes with volumes, certificates made on the first start, ports on loopback."""
    from aether.generate import compose

    setup = _setup(image=image or _own_image(), **given)
    _write(out, compose.files(setup), compose.steps(setup), force=force)


@generate.command()
@_together(_out, _nodes, _name, _image, _apps, _drain, _tls, _plain_http, _force)
@click.option("--namespace", default="default", show_default=True, help="Where the objects live.")
@click.option("--storage", default="1Gi", show_default=True, metavar="SIZE", help="Of the volume of each node.")
@click.option("--storage-class", default="", metavar="NAME", help="Of these volumes [that of the cluster].")
def kubernetes(out: Path, force: bool, image: str | None, **given: Any) -> None:
    """A StatefulSet with Services, settings, a disruption budget, probes; a script for the authority."""
    from aether.generate import kubernetes as target

    setup = _setup(image=image or _own_image(), **given)
    _write(out, target.files(setup), target.steps(setup), force=force)


@generate.command()
@_together(_out, _name, _apps, _drain, _tls, _plain_http, _force)
@click.option(
    "--host", "hosts", multiple=True, help="Address of a machine, once for each [127.0.0.1: one node, for itself]."
)
@click.option("--program", default="/opt/aether/bin/aether", show_default=True, metavar="FILE", help="aether, there.")
def systemd(out: Path, force: bool, **given: Any) -> None:
    """A unit with Type=notify, watchdog and drain; settings for each machine; scripts that install them."""
    from aether.generate import systemd as target

    setup = _setup(**given)
    _write(out, target.files(setup), target.steps(setup), force=force)


@generate.command()
@_together(_out, _nodes, _name, _apps, _force)
def local(out: Path, force: bool, **given: Any) -> None:
    """Scripts that start, look at and stop nodes on this machine, on loopback."""
    from aether.generate import local as target

    setup = _setup(**given)
    _write(out, target.files(setup), target.steps(setup), force=force)


def _setup(**given: Any) -> Setup:
    setup = Setup(**given)
    setup.check()
    return setup


def _own_image() -> str:
    from aether.cli.main import version

    return f"aether-node:{version()}"


def _write(out: Path, files: Sequence[File], steps: Sequence[str], *, force: bool) -> None:
    there = [file.path for file in files if (out / file.path).exists()]
    if there and not force:
        raise CommandFailed(Exit.USAGE, f"{out} has {', '.join(there)} already", "--force replaces them")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file in files:
            _replace(out / file.path, file)
    except OSError as error:
        raise CommandFailed(Exit.FAILED, f"cannot write to {out}: {error.strerror or error}") from error
    click.echo(f"{out}: {', '.join(sorted(file.path for file in files))}")
    click.echo("What to do next, in README.md too:")
    for number, step in enumerate(steps, 1):
        click.echo(f"  {number}. {step}")


def _replace(path: Path, file: File) -> None:
    """In one step: nobody runs half a script."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(file.text)
    temporary.chmod(0o755 if file.is_script else 0o644)
    temporary.replace(path)

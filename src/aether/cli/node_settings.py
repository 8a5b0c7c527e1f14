"""The settings of a node on the command line, and all their sources gathered.

Knows: their options, the configuration file, the environment.
Never: which source wins (room node).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from aether.cli.exits import CommandFailed, Exit

if TYPE_CHECKING:
    from aether.node.config_sources import Sources

FILE_CHARS_MAX: Final = 1024 * 1024

F = TypeVar("F", bound=Callable[..., Any])

_DIRECTORY: Final = click.Path(file_okay=False, path_type=Path)
_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_OPTIONS: Final = (
    click.option("--node-id", help="Name of this node [node-1]."),
    click.option("--peers", metavar="ID:HOST:PORT,...", help="The founding nodes; this one may be among them."),
    click.option(
        "--join", multiple=True, metavar="HOST:PORT", help="Cluster port of a member to join; may be repeated."
    ),
    click.option("--core-max", type=int, metavar="N", help="Voters that the group grows to by itself [5]."),
    click.option("--cluster", metavar="NAME", help="Name of the cluster [aether]; peers of another one are refused."),
    click.option("--port", type=int, help="Port for peers [8090]; 0 = any free one."),
    click.option("--management-port", type=int, help="Port of the management API [8080]."),
    click.option("--http-port", type=int, help="Port of the slices' HTTP routes [8081]."),
    click.option("--bind", metavar="HOST", help="Address to listen on [127.0.0.1]."),
    click.option("--advertise", metavar="HOST", help="Address that others reach this node by [the bind address]."),
    click.option("--zone", metavar="NAME", help="Where this node stands; calls prefer instances of their own zone."),
    click.option("--data-dir", type=_DIRECTORY, help="Where state survives [aether-data/NODE-ID]."),
    click.option(
        "--slices",
        type=_DIRECTORY,
        metavar="DIR",
        help="Trees NAME/VERSION of slices that this node runs in processes of their own.",
    ),
    click.option(
        "--lease-reads", is_flag=True, default=None, help="The leader answers reads alone; failover takes longer."
    ),
    click.option("--drain", type=float, metavar="SECONDS", help="That calls get when the node leaves [10]."),
    click.option("--priority", type=int, help="Among nodes with equal logs the highest is wished for as leader [0]."),
    click.option("--tls", type=_DIRECTORY, metavar="DIR", help="Certificates of this node: every port speaks TLS."),
    click.option("--http-cert", type=_FILE, metavar="FILE", help="Certificate that the HTTP port shows instead."),
    click.option("--http-key", type=_FILE, metavar="FILE", help="The key of that certificate."),
    click.option("--plain-http", is_flag=True, default=None, help="The HTTP port speaks without TLS, behind a proxy."),
    click.option("--ca-key", type=_FILE, metavar="FILE", help="Key of the authority: this node signs certificates."),
    click.option("--join-token", type=_FILE, metavar="FILE", help="A token that gets this node its certificate."),
    click.option(
        "--insecure",
        is_flag=True,
        default=None,
        help="Accept changes without a token, and addresses that are not loopback.",
    ),
    click.option(
        "--config",
        "file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="A TOML file with these settings.",
    ),
)


def node_settings(command: F) -> F:
    """Give `command` an option for each setting of a node; `gathered` reads what they were given."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def gathered(given: Mapping[str, Any]) -> Sources:
    """All sources of the settings. given  what click found for the options of `node_settings`

    Raises CommandFailed: a file that cannot be read, or is too long.
    """
    from aether.node.config_sources import Sources

    arguments = dict(given)
    file = arguments.pop("file") or click.get_current_context().find_root().params.get("config_file")
    arguments["join"] = arguments["join"] or None  # the environment and the file are asked next
    toml = _read(file) if file is not None else ""
    return Sources(arguments=arguments, environment=os.environ, file=str(file or ""), toml=toml)


def _read(file: Path) -> str:
    try:
        with file.open() as opened:
            text = opened.read(FILE_CHARS_MAX + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(Exit.USAGE, f"cannot read --config {file}: {error}") from error
    if len(text) > FILE_CHARS_MAX:
        message = f"--config {file} is longer than {FILE_CHARS_MAX} characters; is that a configuration?"
        raise CommandFailed(Exit.USAGE, message)
    return text

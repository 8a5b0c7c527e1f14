"""Options that stand before or after a command: whom to ask, how to print.

Knows: click, the precedence command line > --config > AETHER_CONNECT > default, NO_COLOR.
Never: HTTP.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click
from click.core import ParameterSource

from aether.cli.addresses import DEFAULT_CONNECT, address_in, host_and_port

FORMATS = ("table", "wide", "json", "jsonl")

F = TypeVar("F", bound=Callable[..., Any])


@attrs.frozen(kw_only=True)
class Settings:
    """What every command knows.

    connect  host:port of a management port, or a URL
    output   table, json or jsonl; wide  a table with every field that fits into a cell
    """

    connect: str = DEFAULT_CONNECT
    output: str = "table"
    wide: bool = False
    color: bool = True
    token: str | None = None
    tls: Path | None = None
    ca: Path | None = None


def colors_welcome() -> bool:
    """Whether the user has not set NO_COLOR (https://no-color.org)."""
    return not os.environ.get("NO_COLOR")


_connect = click.option(
    "-c", "--connect", metavar="HOST[:PORT]", default=None, help=f"Management port [{DEFAULT_CONNECT}]."
)
_output = click.option("-o", "--output", type=click.Choice(FORMATS), default=None, help="How to print [table].")
_token = click.option(
    "-k", "--token", "--api-key", "token", metavar="TOKEN", default=None, help="Token; found by itself on this machine."
)
_tls = click.option(
    "--tls",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    default=None,
    help="Speak TLS: a directory with ca.pem, and client.pem if you have a certificate.",
)
_ca = click.option(
    "--ca",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    default=None,
    help="Speak TLS, and trust the authorities in this file.",
)
_no_color = click.option("--no-color", is_flag=True, default=None, help="Print without colours.")


def shared(command: F) -> F:
    """Give `command` the options that may stand on either side of its name."""
    return _no_color(_ca(_tls(_token(_output(_connect(command))))))


def shared_but_c(command: F) -> F:
    """The same where `-c` means something else: `--connect` is spelt out."""
    connect = click.option("--connect", metavar="HOST:PORT", default=None, help=f"Management port [{DEFAULT_CONNECT}].")
    return _no_color(_token(_output(connect(command))))


def whom(command: F) -> F:
    """Of those, the ones that say whom to ask: for a command that prints no answer, or whose -o is a file."""
    return _ca(_tls(_token(_connect(command))))


def settings(context: click.Context) -> Settings:
    """The nearest value of each shared option, from the command outwards. Raises CommandFailed: no address."""
    found: dict[str, Any] = {}
    for step in _outwards(context):
        for name in ("output", "token", "no_color", "tls", "ca"):
            if found.get(name) is None and step.params.get(name) is not None:
                found[name] = step.params[name]
    output = found.get("output") or "table"
    return Settings(
        connect=_whom(context),
        output="table" if output == "wide" else output,
        wide=output == "wide",
        color=not found.get("no_color") and colors_welcome(),
        token=found.get("token") or _api_key(),
        tls=found.get("tls"),
        ca=found.get("ca"),
    )


def _api_key() -> str | None:
    """As scripts of the original say it; AETHER_TOKEN, which is looked at elsewhere, outweighs it."""
    return None if os.environ.get("AETHER_TOKEN") else os.environ.get("AETHER_API_KEY") or None


def _outwards(context: click.Context) -> Iterator[click.Context]:
    step: click.Context | None = context
    while step is not None:
        yield step
        step = step.parent


def _whom(context: click.Context) -> str:
    from_environment = ""
    for step in _outwards(context):
        said = step.params.get("connect")
        if said and step.get_parameter_source("connect") is ParameterSource.ENVIRONMENT:
            from_environment = from_environment or str(said)
        elif said:
            return host_and_port(str(said))
    file = context.find_root().params.get("config_file")
    if file is not None:
        return address_in(file)
    return host_and_port(from_environment or DEFAULT_CONNECT)


def user_name() -> str:
    """Of whoever runs this command, for the record."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a passwd entry
        return "somebody"

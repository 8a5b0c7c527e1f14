"""Options that stand before or after a command: whom to ask, how to print.

Knows: click, the precedence command line > AETHER_CONNECT > default, NO_COLOR.
Never: HTTP.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from typing import Any, TypeVar

import attrs
import click

DEFAULT_CONNECT = "127.0.0.1:8080"
FORMATS = ("table", "json", "jsonl")

F = TypeVar("F", bound=Callable[..., Any])


@attrs.frozen(kw_only=True)
class Settings:
    """What every command knows. `connect` is host:port of a management port."""

    connect: str = DEFAULT_CONNECT
    output: str = "table"
    color: bool = True
    token: str | None = None


def colors_welcome() -> bool:
    """Whether the user has not set NO_COLOR (https://no-color.org)."""
    return not os.environ.get("NO_COLOR")


_connect = click.option(
    "-c", "--connect", metavar="HOST:PORT", default=None, help=f"Management port [{DEFAULT_CONNECT}]."
)
_output = click.option("-o", "--output", type=click.Choice(FORMATS), default=None, help="How to print [table].")
_token = click.option("--token", metavar="TOKEN", default=None, help="Admin token; found by itself on this machine.")
_no_color = click.option("--no-color", is_flag=True, default=None, help="Print without colours.")


def shared(command: F) -> F:
    """Give `command` the options that may stand on either side of its name."""
    return _no_color(_token(_output(_connect(command))))


def whom(command: F) -> F:
    """Of those, the ones that say whom to ask: for a command that prints no answer, or whose -o is a file."""
    return _token(_connect(command))


def settings(context: click.Context) -> Settings:
    """The nearest value of each shared option, from the command outwards."""
    found: dict[str, Any] = {}
    step: click.Context | None = context
    while step is not None:
        for name in ("connect", "output", "token", "no_color"):
            if found.get(name) is None and step.params.get(name) is not None:
                found[name] = step.params[name]
        step = step.parent
    return Settings(
        connect=found.get("connect") or DEFAULT_CONNECT,
        output=found.get("output") or "table",
        color=not found.get("no_color") and colors_welcome(),
        token=found.get("token"),
    )


def user_name() -> str:
    """Of whoever runs this command, for the record."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a passwd entry
        return "somebody"

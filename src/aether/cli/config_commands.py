"""`aether config show`: what a node started here would be told, and by whom.

Knows: the settings of a node; nothing is started and nobody is asked.
Never: which source wins (room node).
"""

from __future__ import annotations

from typing import Any

import click

from aether.cli.node_settings import gathered, node_settings
from aether.cli.options import settings
from aether.cli.output import show


@click.group()
def config() -> None:
    """The settings of a node: what is in force, and where it came from."""


@config.command("show")
@node_settings
@click.option("--origin", is_flag=True, help="Also say where each value came from.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "json", "jsonl"]), default=None, help="How to print."
)
@click.pass_context
def show_settings(context: click.Context, /, *, origin: bool, output: str | None, **given: Any) -> None:
    """Every setting as `aether node` would take it with the same options. Of secrets only the names are shown."""
    from aether.node.config_sources import load, origins
    from aether.node.shown_settings import as_plain

    sources = gathered(given)
    load(sources)  # says what does not fit together
    rows = [
        {"setting": found.name, "value": as_plain(found.value)} | ({"origin": found.origin} if origin else {})
        for found in origins(sources)
    ]
    show(settings(context), {"settings": rows}, rows, ["setting", "value", *(["origin"] if origin else [])])

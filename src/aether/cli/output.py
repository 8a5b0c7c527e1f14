"""Text out of answers: aligned tables, JSON, one JSON object per line.

Knows: rows and columns; rich when it is installed and the output is a terminal.
Never: which command prints.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

import click

from aether.cli.options import Settings

Row = Mapping[str, Any]


def show(settings: Settings, answer: Any, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Print `answer` as JSON, or `rows` as a table of `columns`, as the user asked."""
    if settings.output == "json":
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    elif settings.output == "jsonl":
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
    else:
        click.echo(table(rows, columns, rich=settings.color and sys.stdout.isatty()), color=settings.color)


def table(rows: Sequence[Row], columns: Sequence[str], *, rich: bool = False) -> str:
    """Rows under upper-case headings. Columns may be dotted paths; a missing value prints as `-`."""
    heads = [column.rpartition(".")[2].upper() for column in columns]
    cells = [[_cell(row, column) for column in columns] for row in rows]
    if rich:
        drawn = _rich_table(heads, cells)
        if drawn is not None:
            return drawn
    return plain_table(heads, cells)


def plain_table(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[i]) for line in [heads, *cells]) for i in range(len(heads))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [heads, *cells]
    ]
    return "\n".join(lines)


def _cell(row: Row, column: str) -> str:
    value: Any = row
    for key in column.split("."):
        value = cast("Row", value).get(key) if isinstance(value, Mapping) else None
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, cast("list[object]", value))) or "-"
    return str(value)


def _rich_table(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> str | None:
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        return None
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for head in heads:
        drawn.add_column(head, overflow="fold")
    for line in cells:
        drawn.add_row(*line)
    console = Console()
    with console.capture() as capture:
        console.print(drawn)
    return capture.get().rstrip("\n")

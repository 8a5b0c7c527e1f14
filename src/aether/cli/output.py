"""Text out of answers: aligned tables, JSON, one JSON object per line.

Knows: rows and columns; rich when it is installed and the output is a terminal.
Never: which command prints.
Holds: a command names the columns that people want; `-o wide` adds every other field that fits into a cell.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import click

from aether.cli.options import Settings
from aether.cli.states import mood_of

Row = Mapping[str, Any]
WIDE_CHARS_MAX: Final = 200
"""A longer text is left to `-o json`."""


def show(settings: Settings, answer: Any, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Print `answer` as JSON, or `rows` as a table of `columns`, as the user asked."""
    if settings.output == "json":
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    elif settings.output == "jsonl":
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
    else:
        columns = wide_columns(rows, columns) if settings.wide else columns
        click.echo(table(rows, columns, rich=settings.color and sys.stdout.isatty()), color=settings.color)


def wide_columns(rows: Sequence[Row], columns: Sequence[str]) -> list[str]:
    """`columns`, then every other field that some row has and no row has as an object or a long text."""
    shown = {column.partition(".")[0] for column in columns}
    further = [name for name in dict.fromkeys(key for row in rows for key in row) if name not in shown]
    return [*columns, *(name for name in further if all(_fits(row.get(name)) for row in rows))]


def _fits(value: Any) -> bool:
    if isinstance(value, list):
        inner = cast("list[object]", value)
        return all(not isinstance(each, list | Mapping) for each in inner) and _short(inner)
    return not isinstance(value, Mapping) and _short(value)


def _short(value: object) -> bool:
    text = str(value)
    return len(text) <= WIDE_CHARS_MAX and "\n" not in text


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
        from rich.text import Text
    except ImportError:
        return None
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for head in heads:
        drawn.add_column(head, overflow="fold")
    only_ascii = "utf" not in (sys.stdout.encoding or "").lower()
    for line in cells:
        shown: list[Text] = []
        for head, cell in zip(heads, line, strict=True):
            mood = mood_of(head, cell)
            look = mood.value if mood else None
            sign = "" if look is None else f"{look.ascii_sign if only_ascii else look.sign} "
            shown.append(Text(f"{sign}{cell}", style=look.style if look else ""))
        drawn.add_row(*shown)
    console = Console()
    with console.capture() as capture:
        console.print(drawn)
    return capture.get().rstrip("\n")

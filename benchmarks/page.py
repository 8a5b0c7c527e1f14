"""The part of docs/operations/performance.md that a run writes, and its picture.

Knows: figures, their bands and goals, where they were measured.
Never: how anything is measured.
Holds: words around the part stay as they are; the same figures give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.baseline import Band, Compared
from benchmarks.figure import Figure, cells

PAGE: Final = Path(__file__).parents[1] / "docs" / "operations" / "performance.md"
BEGIN: Final = "<!-- written by `nox -s bench -- --write` -->"
END: Final = "<!-- end of what `nox -s bench -- --write` writes -->"
PICTURE: Final = "performance.svg"
ROW: Final = 18
LEFT, WIDTH, RIGHT = 470, 420, 70


def text(
    by_benchmark: Mapping[str, Sequence[Figure]],
    measured: Mapping[str, Band],
    compared: Sequence[Compared],
    command: str,
    where: Mapping[str, str],
) -> str:
    """A table for each benchmark; noise  how far the rounds lie apart."""
    changes = {each.name: str(each.change) for each in compared}
    parts = [BEGIN, "", "## The last run", "", f"```console\n$ {command}\n```", ""]
    parts += [*(f"- {name}: {what}" for name, what in where.items()), "", f"![ratios to the bare limit]({PICTURE})", ""]
    for name, figures in by_benchmark.items():
        parts += [
            f"### {name}",
            "",
            "| figure | ours | bare | ratio | noise | goal | | since the baseline |",
            "|---" * 8 + "|",
        ]
        for figure in figures:
            row, found = cells(figure), measured.get(figure.name)
            noise = "-" if found is None else f"{found.noise:.0%}"
            parts.append(f"| {' | '.join([*row[:4], noise, *row[4:], changes.get(figure.name, '-')])} |")
        parts.append("")
    return "\n".join([*parts, END])


def put(page: str, written: str) -> str:
    """`page` with `written` in the place of what an earlier run wrote, or at its end."""
    before, found, rest = page.partition(BEGIN)
    after = rest.partition(END)[2] if found else "\n"
    return f"{before if found else before.rstrip() + chr(10) + chr(10)}{written}{after}"


def picture(figures: Sequence[Figure], measured: Mapping[str, Band]) -> str:
    """A bar for each ratio on a logarithmic scale, its noise as a line, its goal as a mark. SVG, without scripts."""
    shown = [figure for figure in figures if figure.name in measured]
    ends = [value for each in shown for value in (measured[each.name].low, measured[each.name].high)]
    low = min([0.1, *ends]) / 1.2
    high = max([10.0, *ends]) * 1.2

    def x(ratio: float) -> float:
        share = (math.log(ratio) - math.log(low)) / (math.log(high) - math.log(low))
        return round(LEFT + WIDTH * min(1.0, max(0.0, share)), 1)

    height = ROW * (len(shown) + 2)
    size = f'width="{LEFT + WIDTH + RIGHT}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">',
        f'<rect {size} fill="white"/>',
        f'<line x1="{x(1)}" y1="{ROW}" x2="{x(1)}" y2="{height}" stroke="#888"/>',
        f'<text x="{x(1)}" y="12" text-anchor="middle" fill="#555">1 x bare</text>',
    ]
    for number, figure in enumerate(shown, 1):
        found, y = measured[figure.name], ROW * number
        colour = "#4a7" if figure.is_met else "#c43"
        one, other = sorted((x(1), x(found.middle)))
        wide = round(max(1.0, other - one), 1)
        middle_y = y + ROW / 2
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(figure.name)}</text>',
            f'<rect x="{one}" y="{y + 4}" width="{wide}" height="{ROW - 8}" fill="{colour}"/>',
            f'<line x1="{x(found.low)}" y1="{middle_y}" x2="{x(found.high)}" y2="{middle_y}" stroke="black"/>',
            f'<text x="{LEFT + WIDTH + 6}" y="{y + 13}">{found.middle:.2f} x</text>',
        ]
        if figure.goal is not None and figure.goal.is_ratio and figure.goal.limit > 0:
            at = x(figure.goal.limit)
            lines.append(f'<line x1="{at}" y1="{y + 1}" x2="{at}" y2="{y + ROW - 1}" stroke="#25c" stroke-width="2"/>')
    return "\n".join([*lines, "</svg>"]) + "\n"

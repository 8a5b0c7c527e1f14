"""One row of the table: what we measured, the bare limit of the same run, and what was promised."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Final

import attrs

_MEASURABLE: Final = 1e-9


@attrs.frozen
class Goal:
    """A bound on the ratio to the bare limit, or, where users feel the absolute figure, on ours.

    at_least  whether `limit` bounds from below
    """

    limit: float
    at_least: bool = False
    is_ratio: bool = True


@attrs.frozen
class Figure:
    """ours, bare  in `unit`; bare is what the same work costs without the runtime, measured in the same minute."""

    name: str
    unit: str
    ours: float
    bare: float
    goal: Goal | None = None

    @property
    def ratio(self) -> float:
        """ours / bare; nan where the bare limit is too small to be measured."""
        return self.ours / self.bare if self.bare > _MEASURABLE else math.nan

    @property
    def is_met(self) -> bool:
        if self.goal is None:
            return True
        value = self.ratio if self.goal.is_ratio else self.ours
        return value >= self.goal.limit if self.goal.at_least else value <= self.goal.limit

    def to_plain(self) -> dict[str, object]:
        return attrs.asdict(self)

    @staticmethod
    def from_plain(plain: dict) -> Figure:
        goal = plain.pop("goal")
        return Figure(**plain, goal=None if goal is None else Goal(**goal))


def table(figures: Iterable[Figure]) -> str:
    """The rows as text, one line each below a line of heads."""
    rows = [("FIGURE", "OURS", "BARE", "RATIO", "GOAL", "")]
    rows += [cells(figure) for figure in figures]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def cells(figure: Figure) -> tuple[str, ...]:
    """What stands in its row: name, ours, bare, ratio, goal, verdict."""
    verdict = "" if figure.goal is None else "met" if figure.is_met else "MISSED"
    ours, bare = (f"{_number(value)} {figure.unit}" for value in (figure.ours, figure.bare))
    return figure.name, ours, bare, _ratio(figure), _promise(figure), verdict


def _ratio(figure: Figure) -> str:
    return "-" if math.isnan(figure.ratio) else f"{figure.ratio:.2f}"


def _promise(figure: Figure) -> str:
    goal = figure.goal
    if goal is None:
        return "-"
    return f"{'>=' if goal.at_least else '<='} {goal.limit:g} {'x bare' if goal.is_ratio else figure.unit}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) > _MEASURABLE else "0"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if column in (0, 5) else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()


def medians(rounds: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Column by column, over rounds that were measured in turns."""
    return tuple(statistics.median(column) for column in zip(*rounds, strict=True))

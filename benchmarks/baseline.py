"""Did a ratio get worse than noise explains? What was measured once, and kept, beside what was measured now.

Knows: figures of several rounds, each with its ratio to the bare limit of the same minute.
Never: times: they belong to a machine, and ratios mostly do not.
Holds: a figure has regressed only when all of its rounds are worse than all that were kept, by more than MARGIN of
       each; the wider the rounds scatter, the less is called a regression, and the table says how wide they do.
"""

from __future__ import annotations

import enum
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from benchmarks.figure import Figure

PAGE: Final = Path(__file__).with_name("baseline.json")
MARGIN: Final = 0.1
"""Of a ratio, on each side: what the same code shows on another day."""

ROUNDS_MIN: Final = 3
"""Fewer say nothing about noise."""


class Change(enum.StrEnum):
    SAME = "same"
    WORSE = "WORSE"
    BETTER = "better"
    NEW = "new"
    NOT_MEASURED = "not measured"
    TOO_FEW = "too few rounds"


@attrs.frozen(kw_only=True)
class Band:
    """The ratios of one figure over its rounds. at_least  whether more is better"""

    low: float
    middle: float
    high: float
    rounds: int
    at_least: bool

    @property
    def noise(self) -> float:
        """How far the rounds lie apart, as a part of the middle one."""
        return (self.high - self.low) / self.middle


@attrs.frozen(kw_only=True)
class Compared:
    name: str
    change: Change
    before: Band | None = None
    now: Band | None = None


def is_better_higher(figure: Figure) -> bool:
    """What the goal says, else the unit: a rate is better when it is higher."""
    return figure.goal.at_least if figure.goal is not None else figure.unit.endswith("/s")


def bands(rounds: Sequence[Sequence[Figure]]) -> dict[str, Band]:
    """Of every figure that has a bare limit, and had it in every round in which it was measured."""
    by_name: dict[str, list[Figure]] = {}
    for figures in rounds:
        for figure in figures:
            by_name.setdefault(figure.name, []).append(figure)
    return {name: band(found) for name, found in by_name.items() if all(_is_ratio(f.ratio) for f in found)}


def band(figures: Sequence[Figure]) -> Band:
    ratios = sorted(figure.ratio for figure in figures)
    return Band(
        low=ratios[0],
        middle=statistics.median(ratios),
        high=ratios[-1],
        rounds=len(ratios),
        at_least=is_better_higher(figures[0]),
    )


def _is_ratio(ratio: float) -> bool:
    return math.isfinite(ratio) and ratio > 0


def middle(rounds: Sequence[Sequence[Figure]]) -> list[Figure]:
    """One figure for each name, in the order of the first round: medians of ours and of bare."""
    by_name: dict[str, list[Figure]] = {}
    for figures in rounds:
        for figure in figures:
            by_name.setdefault(figure.name, []).append(figure)
    return [
        attrs.evolve(
            found[0],
            ours=statistics.median(each.ours for each in found),
            bare=statistics.median(each.bare for each in found),
        )
        for found in by_name.values()
    ]


def compare(before: Mapping[str, Band], now: Mapping[str, Band]) -> list[Compared]:
    """Each figure of either, in the order of `now`, then what is missing there."""
    found = [_compared(name, before.get(name), band) for name, band in now.items()]
    return found + [
        Compared(name=name, change=Change.NOT_MEASURED, before=band) for name, band in before.items() if name not in now
    ]


def _compared(name: str, before: Band | None, now: Band) -> Compared:
    if before is None:
        change = Change.NEW
    elif min(before.rounds, now.rounds) < ROUNDS_MIN:
        change = Change.TOO_FEW
    else:
        is_higher = now.low * (1 - MARGIN) > before.high * (1 + MARGIN)
        is_lower = now.high * (1 + MARGIN) < before.low * (1 - MARGIN)
        worse, better = (is_lower, is_higher) if now.at_least else (is_higher, is_lower)
        change = Change.WORSE if worse else Change.BETTER if better else Change.SAME
    return Compared(name=name, change=change, before=before, now=now)


def has_regressed(compared: Iterable[Compared]) -> bool:
    return any(each.change is Change.WORSE for each in compared)


def table(compared: Sequence[Compared]) -> str:
    """As text, a line each; a figure that is as it was is not shown."""
    lines = [
        f"{each.name}: {each.change}: {_shown(each.before)} before, {_shown(each.now)} now"
        for each in compared
        if each.change is not Change.SAME
    ]
    same = sum(each.change is Change.SAME for each in compared)
    return "\n".join([*lines, f"{same} of {len(compared)} ratios are as they were, within noise"])


def _shown(found: Band | None) -> str:
    return "-" if found is None else f"{found.middle:.2f} ({found.low:.2f} to {found.high:.2f}, {found.rounds} rounds)"


def read(text: str) -> dict[str, Band]:
    """What `write` wrote. Raises ValueError, TypeError, KeyError."""
    return {name: Band(**fields) for name, fields in json.loads(text)["ratios"].items()}


def write(kept: Mapping[str, Band], where: Mapping[str, str]) -> str:
    """where  on what it was measured: for people, nothing reads it"""
    return (
        json.dumps({"measured": dict(where), "ratios": {n: attrs.asdict(b) for n, b in kept.items()}}, indent=1) + "\n"
    )

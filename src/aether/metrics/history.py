"""The past of several nodes as points that fit one answer.

Knows: ranges that people ask for, how many points make a curve.
Never: where figures are kept, clocks.
Holds: at most HISTORY_VALUES_MAX values, however many nodes and figures are asked for: points get coarser before they
       get too many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Final

from aether.metrics.figures import FIGURES, Fold
from aether.model.limits import HISTORY_VALUES_MAX

RANGES_S: Final[Mapping[str, float]] = {"5m": 300.0, "15m": 900.0, "1h": 3600.0, "2h": 7200.0}
DIGITS: Final = 6
"""Figures are kept in four bytes: more digits would be invented."""
WHOLE_MAX: Final = 2.0**53
POINTS_MAX: Final = 360
"""Of one curve: more than that is no more to see."""
_STEPS_S: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 7200)

Points = Sequence[tuple[float, float]]


def step_s(span_s: float, curves: int) -> int:
    """The length of time that one point stands for, when so many curves are drawn."""
    points = max(1, min(POINTS_MAX, HISTORY_VALUES_MAX // max(1, curves)))
    return next((step for step in _STEPS_S if span_s / step <= points), _STEPS_S[-1])


def thinned(points: Points, step: int, fold: Fold) -> dict[int, float]:
    """One value for each `step` seconds: the mean, the worst or the last of its points."""
    found: dict[int, list[float]] = {}
    for at_s, value in points:
        found.setdefault(int(at_s) // step * step, []).append(value)
    return {at: _one(values, fold) for at, values in found.items()}


def _one(values: Sequence[float], fold: Fold) -> float:
    if fold is Fold.MEAN:
        return sum(values) / len(values)
    return max(values) if fold is Fold.WORST else values[-1]


def curves(window: Callable[[str], Points], names: Sequence[str], step: int) -> list[tuple[int, dict[str, float]]]:
    """(second since 1970, value by name) of one node, oldest first; a value that nobody told is left out."""
    found: dict[int, dict[str, float]] = {}
    for name in names:
        for at, value in thinned(window(name), step, FIGURES[name].fold).items():
            found.setdefault(at, {})[name] = value
    return sorted(found.items())


def shown(value: float) -> float:
    """A figure with the digits that it has; a whole number without a point. Never NaN."""
    if not isfinite(value):
        return 0.0
    if abs(value) < WHOLE_MAX and value == int(value):
        return int(value)
    return float(f"{value:.{DIGITS}g}")

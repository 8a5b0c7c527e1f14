"""Is a figure flat, although processes start anew and every figure saws?

Knows: points of one figure, each with the life (of a process, or of a directory) that it belongs to.
Never: what the figure is, who measured it.
Holds: only points of one life are compared, so a restart is neither growth nor shrinking; what was watched for too
       short a time is called so, and never flat.
"""

from __future__ import annotations

import enum
import itertools
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Final

import attrs

WARM_SHARE: Final = 1 / 3
"""Of each life: caches and windows fill, code is loaded."""

POINTS_MAX: Final = 120
"""Of one life; more are thinned evenly, for every pair is looked at."""

HOUR_S: Final = 3_600.0


@attrs.frozen
class Point:
    at_s: float
    value: float
    life: Hashable = ""


@attrs.frozen(kw_only=True)
class Bound:
    """What a flat figure may do.

    per_hour  growth that is called flat, for a clock of an hour shows little more than noise
    slack     growth over all that was watched of one life that is called noise, however fast it came
    watched_s so long must one life be watched, after it is warm
    """

    per_hour: float
    slack: float
    watched_s: float = 240.0


class Trend(enum.StrEnum):
    FLAT = "flat"
    GROWS = "grows"
    TOO_SHORT = "too short"


@attrs.frozen(kw_only=True)
class Finding:
    """per_hour  growth; watched_s  of the longest life, warm; lives  that were compared; visible_per_hour  the least
    growth that would have been called so in this time
    """

    trend: Trend
    per_hour: float = 0.0
    watched_s: float = 0.0
    lives: int = 0
    visible_per_hour: float = float("inf")


def judge(points: Iterable[Point], bound: Bound) -> Finding:
    """The median of all slopes between two points of one life that lie at least half of it apart, heavier the further.

    The first third of each life does not count. After Theil (1950) and Sen (1968): half of the points may lie.
    """
    slopes: list[tuple[float, float]] = []
    watched: list[float] = []
    for life in _warm_lives(points):
        span_s = life[-1].at_s - life[0].at_s
        if span_s < bound.watched_s:
            continue
        watched.append(span_s)
        for one, other in itertools.combinations(_thinned(life), 2):
            apart_s = other.at_s - one.at_s
            if apart_s >= span_s / 2:
                slopes.append(((other.value - one.value) / apart_s, apart_s))
    if not slopes:
        return Finding(trend=Trend.TOO_SHORT)
    longest_s = max(watched)
    per_s = _weighted_median(slopes)
    grows = per_s * HOUR_S > bound.per_hour and per_s * longest_s > bound.slack
    return Finding(
        trend=Trend.GROWS if grows else Trend.FLAT,
        per_hour=per_s * HOUR_S,
        watched_s=longest_s,
        lives=len(watched),
        visible_per_hour=max(bound.per_hour, bound.slack / longest_s * HOUR_S),
    )


def _warm_lives(points: Iterable[Point]) -> list[list[Point]]:
    lives: defaultdict[Hashable, list[Point]] = defaultdict(list)
    for point in points:
        lives[point.life].append(point)
    warm: list[list[Point]] = []
    for life in lives.values():
        life.sort(key=lambda point: point.at_s)
        from_s = life[0].at_s + (life[-1].at_s - life[0].at_s) * WARM_SHARE
        warm.append([point for point in life if point.at_s >= from_s])
    return warm


def _thinned(life: Sequence[Point]) -> Sequence[Point]:
    if len(life) <= POINTS_MAX:
        return life
    return [life[round(n * (len(life) - 1) / (POINTS_MAX - 1))] for n in range(POINTS_MAX)]


def _weighted_median(values: list[tuple[float, float]]) -> float:
    values.sort()
    half, sum_ = sum(weight for _, weight in values) / 2, 0.0
    for value, weight in values:
        sum_ += weight
        if sum_ >= half:
            return value
    raise AssertionError("no values")

"""Where a signal is going, by a straight line through its window.

Knows: least squares.
Never: which signal it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

POINTS_MIN: Final = 4
FIT_MIN: Final = 0.8
"""Of r squared: what does not look like a line says nothing about where it goes."""


@attrs.frozen
class Trend:
    """slope  per second; fit  r squared, 0 to 1; last  the value of the line at the newest point"""

    slope: float
    fit: float
    last: float

    @property
    def is_clear(self) -> bool:
        return self.fit >= FIT_MIN

    def ahead(self, seconds: float) -> float:
        """What the line says for so many seconds from the newest point; not below 0."""
        return max(0.0, self.last + self.slope * seconds)


FLAT: Final = Trend(0.0, 0.0, 0.0)


def trend_of(points: Sequence[tuple[float, float]]) -> Trend:
    """Through (seconds, value), oldest first; FLAT when there are too few, or all at one moment."""
    if len(points) < POINTS_MIN:
        return FLAT
    count = len(points)
    began = points[0][0]
    times = [at - began for at, _ in points]
    values = [value for _, value in points]
    mean_t, mean_v = sum(times) / count, sum(values) / count
    spread_t = sum((t - mean_t) ** 2 for t in times)
    spread_v = sum((v - mean_v) ** 2 for v in values)
    if spread_t <= 0 or spread_v <= 0:
        return Trend(0.0, 0.0, values[-1])
    together = sum((t - mean_t) * (v - mean_v) for t, v in zip(times, values, strict=True))
    slope = together / spread_t
    return Trend(slope, min(1.0, together**2 / (spread_t * spread_v)), mean_v + slope * (times[-1] - mean_t))

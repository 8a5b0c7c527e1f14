"""What the last minute of a node says about how it is doing: rates, saturations, trends, one score.

Knows: figures of seconds, what counts as stressed and as having capacity.
Never: clocks, thresholds of alerts.
Holds: a saturation and the score lie between 0 and 1; a node of which nothing is known scores like an idle one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from aether.metrics.minutes import aggregate, column, mean
from aether.metrics.rings import Row, told

SAMPLES: Final = 60  # seconds
LAG_SATURATED_S: Final = 0.1
"""A loop that is so late on average has no time left for anybody."""
_P99_MS_WORST: Final = 1_000.0


@attrs.frozen(kw_only=True)
class DerivedMetrics:
    """Rates per second; latencies in milliseconds; trends are changes per minute, of the line through them.

    gc_rate  collections;  backpressure_rate  messages that found no room
    """

    request_rate: float = 0.0
    error_rate: float = 0.0
    gc_rate: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    loop_saturation: float = 0.0
    heap_saturation: float = 0.0
    backpressure_rate: float = 0.0
    cpu_trend: float = 0.0
    latency_trend_ms: float = 0.0
    error_trend: float = 0.0
    sample_count: int = 0

    @property
    def health_score(self) -> float:
        """1 is a node that answers at once, 0 one that can do nothing more."""
        latency, errors = 1 - self.p99_ms / _P99_MS_WORST, 1 - 10 * self.error_rate
        parts = ((0.3, latency), (0.3, 1 - self.loop_saturation), (0.2, 1 - self.heap_saturation), (0.2, errors))
        return sum(weight * clipped(part) for weight, part in parts)

    @property
    def is_stressed(self) -> bool:
        return self.loop_saturation > 0.7 or self.heap_saturation > 0.8 or self.error_rate > 0.05

    @property
    def has_capacity(self) -> bool:
        return self.loop_saturation < 0.5 and self.heap_saturation < 0.6 and self.error_rate < 0.01


def derive(rows: Sequence[Row]) -> DerivedMetrics:
    """Of the newest SAMPLES rows, oldest first."""
    seconds = told(rows[-SAMPLES:])
    if not seconds:
        return DerivedMetrics()
    minute = aggregate(seconds)
    return DerivedMetrics(
        request_rate=minute.invocations / len(seconds),
        error_rate=minute.error_rate,
        gc_rate=mean(column(seconds, "gc.collections")),
        p50_ms=minute.p50_ms,
        p95_ms=minute.p95_ms,
        p99_ms=minute.p99_ms,
        loop_saturation=clipped(minute.loop_lag_ms / 1e3 / LAG_SATURATED_S),
        heap_saturation=clipped(minute.heap_usage),
        backpressure_rate=mean(column(seconds, "transport.dropped")),
        cpu_trend=SAMPLES * slope(column(seconds, "cpu.usage")),
        latency_trend_ms=1e3 * SAMPLES * slope(column(seconds, "calls.mean_s")),
        error_trend=SAMPLES * slope(column(seconds, "calls.failure_rate")),
        sample_count=len(seconds),
    )


def clipped(value: float) -> float:
    """Between 0 and 1."""
    return min(1.0, max(0.0, value))


def slope(values: Sequence[float]) -> float:
    """By how much the straight line of least squares through `values` rises from each to the next."""
    middle, level = (len(values) - 1) / 2, mean(values)
    spread = sum((at - middle) ** 2 for at in range(len(values)))
    return sum((at - middle) * (value - level) for at, value in enumerate(values)) / spread if spread else 0.0

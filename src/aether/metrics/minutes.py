"""One minute of a node in thirteen numbers.

Knows: which figures they are made of.
Never: clocks, where minutes are kept.
Holds: percentiles are those of the seconds, weighed by their calls: what one busy second saw counts more than an idle
       one.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import nan
from typing import Final

import attrs

from aether.metrics.figures import PLACES
from aether.metrics.rings import Row, told

ERROR_RATE_MAX: Final = 0.1
HEAP_USAGE_MAX: Final = 0.9
LAG_MS_MAX: Final = 10.0


@attrs.frozen(kw_only=True)
class MinuteAggregate:
    """Means and sums over the seconds of one minute. Latencies in milliseconds, 0.0 when nothing was called.

    sample_count  seconds that were told; events  of the cluster that the node saw
    """

    cpu_usage: float = 0.0
    heap_usage: float = 0.0
    loop_lag_ms: float = 0.0
    latency_ms: float = 0.0
    invocations: float = 0.0
    gc_pause_ms: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    error_rate: float = 0.0
    events: float = 0.0
    sample_count: float = 0.0

    @property
    def is_healthy(self) -> bool:
        """Few failures, memory left, a loop that runs in time."""
        lag_ms = self.loop_lag_ms
        return self.error_rate < ERROR_RATE_MAX and self.heap_usage < HEAP_USAGE_MAX and lag_ms < LAG_MS_MAX

    @property
    def features(self) -> tuple[float, ...]:
        """What predictors are fed with, in an order that never changes: all but the number of samples."""
        return attrs.astuple(self)[:-1]

    @classmethod
    def from_row(cls, row: Row) -> MinuteAggregate:
        """What `to_row` made a row of; one of which nothing is known has no samples."""
        return cls(**dict(zip(_NAMES, row, strict=True))) if row[-1] == row[-1] else cls()


_NAMES: Final = tuple(field.name for field in attrs.fields(MinuteAggregate))
MINUTE_WIDTH: Final = len(_NAMES)


def to_row(minute: MinuteAggregate) -> Row:
    """As numbers; a minute without samples is one of which nothing is known."""
    return array("f", attrs.astuple(minute) if minute.sample_count else [nan] * MINUTE_WIDTH)


def aggregate(rows: Sequence[Row]) -> MinuteAggregate:
    """The minute that these rows of figures are the seconds of."""
    seconds = told(rows)
    if not seconds:
        return MinuteAggregate()
    rates = column(seconds, "calls.rate")
    calls = sum(rates)

    def per_call(name: str) -> float:
        return sum(v * r for v, r in zip(column(seconds, name), rates, strict=True)) / calls if calls else 0.0

    return MinuteAggregate(
        cpu_usage=mean(column(seconds, "cpu.usage")),
        heap_usage=mean(column(seconds, "heap.usage")),
        loop_lag_ms=1e3 * mean(column(seconds, "loop.lag_mean_s")),
        latency_ms=1e3 * per_call("calls.mean_s"),
        invocations=calls,
        gc_pause_ms=1e3 * sum(column(seconds, "gc.pause_s")),
        p50_ms=1e3 * per_call("calls.p50_s"),
        p95_ms=1e3 * per_call("calls.p95_s"),
        p99_ms=1e3 * per_call("calls.p99_s"),
        error_rate=per_call("calls.failure_rate"),
        events=sum(column(seconds, "events")),
        sample_count=float(len(seconds)),
    )


def column(rows: Sequence[Row], name: str) -> list[float]:
    """One figure of each row, 0.0 where it is not known."""
    place = PLACES[name]
    return [value if (value := row[place]) == value else 0.0 for row in rows]


def mean(values: Sequence[float]) -> float:
    """0.0 of nothing."""
    return sum(values) / len(values) if values else 0.0

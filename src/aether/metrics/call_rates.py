"""How the calls of the last second went, out of counts that only grow.

Knows: the counters of methods, what was counted at the last look.
Never: clocks: times are passed in.
Holds: what nobody called since the last look costs next to nothing; a counter that began anew counts from now on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from aether.metrics.method_counters import MethodCounter
from aether.model.artifact import Artifact
from aether.model.call_counts import NO_CALLS, CallCounts

_SHARES: Final = (0.5, 0.95, 0.99)
_NAMES: Final = ("calls.p50_s", "calls.p95_s", "calls.p99_s")


class CallRates:
    """Of one node."""

    def __init__(self) -> None:
        self._before: dict[tuple[Artifact, str], tuple[object, CallCounts]] = {}
        self._at_s: float | None = None

    def figures(self, counters: Iterable[tuple[Artifact, str, MethodCounter]], now_s: float) -> Mapping[str, float]:
        """Since the last look; {} at the first."""
        ended, seen = NO_CALLS, dict[tuple[Artifact, str], tuple[object, CallCounts]]()
        for artifact, method, counter in counters:
            key, mark = (artifact, method), counter.mark
            before = self._before.get(key)
            if before is not None and before[0] == mark:
                seen[key] = before
                continue
            counts = counter.counts()
            seen[key] = (mark, counts)
            fresh = counts.since(None if before is None else before[1])
            if before is None or fresh is not counts:
                ended += fresh
        self._before, before_s, self._at_s = seen, self._at_s, now_s
        if before_s is None or now_s <= before_s:
            return {}
        answered = ended.latencies.count
        quantiles = zip(_NAMES, ended.latencies.quantiles_s(_SHARES), strict=True)
        return {
            "calls.rate": ended.requests / (now_s - before_s),
            "calls.failure_rate": ended.errors / ended.requests if ended.requests else 0.0,
            "calls.mean_s": ended.seconds / answered if answered else 0.0,
            **dict(quantiles),
        }

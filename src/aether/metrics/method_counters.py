"""How many of this node's calls went to each method of each version, how many failed, how long they took.

Knows: counts by artifact and method, a sketch of latencies for each, the last calls that were slow.
Never: clocks, which outcome is an error (whoever makes the calls decides), the counts of other nodes.
Holds: one set of counters serves all who read them: what a version counted is the sum of its methods. Counts only grow
       while their version is there; what the newest of a slice's versions counted outlives its instances. A call costs
       one logarithm, a comparison and five additions.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from aether.metrics.slow_calls import DEFAULT, EMA_WEIGHT, LEARNING_CALLS, Adaptive, Rule, SlowCall, Strategy, rule_for
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.call_counts import CallCounts
from aether.model.limits import METHODS_COUNTED_MAX, SLOW_CALLS_KEPT, VERSIONS_COUNTED_MAX
from aether.model.sketch import BUCKETS, LATENCY_MAX_S, LATENCY_MIN_S, PER_OCTAVE, Sketch, bucket_of
from aether.model.version import Version

OTHER: Final = "other"
"""The method under which those of a version are counted that came when there were too many."""

Mark = tuple[float, int, int]
_MICROSECOND: Final = PER_OCTAVE * math.log2(1 / LATENCY_MIN_S)
_SHORTEST_S: Final = 2 * LATENCY_MIN_S
_LONGEST_S: Final = LATENCY_MAX_S * 0.9
_NEVER_CALM_S: Final = -1.0
_log2: Final = math.log2


class MethodCounter:
    """Of one method of one version.

    in_flight    calls and open streams now
    slow_over_s  a call that takes longer shall be noted; slow_calls  how many were, slowest  the last of them
    """

    __slots__ = (
        "_average_s", "_buckets", "_calm_s", "_errors", "_judged", "_rule", "_seconds", "_unanswered",
        "in_flight", "slow_calls", "slow_over_s", "slowest",
    )  # fmt: skip

    def __init__(self, rule: Rule) -> None:
        self._buckets = [0] * BUCKETS
        self._seconds = 0.0
        self._errors = 0
        self._unanswered = 0
        self.in_flight: int = 0
        self.slow_calls: int = 0
        self.slowest: deque[SlowCall] = deque(maxlen=SLOW_CALLS_KEPT)
        self._rule: Adaptive | None = None
        self._average_s = 0.0
        self._judged = 0  # calls in that average, as far as the rule asks
        self._calm_s = _NEVER_CALM_S
        self.slow_over_s: float = 0.0
        self.judge_by(rule)

    def judge_by(self, rule: Rule) -> None:
        """From now on, slow is what `rule` says; one that adapts begins to learn."""
        self._judged = 0
        self._calm_s = _NEVER_CALM_S
        if isinstance(rule, Adaptive):
            self._rule = rule
            self.slow_over_s = rule.min_s
        else:
            self._rule = None
            self.slow_over_s = rule.threshold_s

    def answered(self, latency_s: float) -> None:
        """A call ended after `latency_s`. Called by every call of the node: no other module's name is looked up."""
        self._seconds += latency_s
        if _SHORTEST_S < latency_s < _LONGEST_S:
            self._buckets[int(_log2(latency_s) * PER_OCTAVE + _MICROSECOND)] += 1
        else:
            self._buckets[bucket_of(latency_s)] += 1
        if self._rule is not None:
            average_s = self._average_s = self._average_s + EMA_WEIGHT * (latency_s - self._average_s)
            if average_s > self._calm_s:
                self._adapt(self._rule, latency_s, average_s)

    def _adapt(self, rule: Adaptive, latency_s: float, average_s: float) -> None:
        """The threshold after one more call. Most methods are fast: below `_calm_s` it is the minimum, and stays."""
        if self._judged < LEARNING_CALLS:
            self._judged += 1
            if self._judged == 1:
                average_s = self._average_s = latency_s
        self.slow_over_s = rule.threshold_s(average_s, self._judged)
        settled = self._judged >= LEARNING_CALLS and self.slow_over_s == rule.min_s
        self._calm_s = rule.min_s / rule.multiplier if settled else _NEVER_CALM_S

    def failed(self, latency_s: float | None = None) -> None:
        """A call failed; its latency only when it says something about the version: a time-out, an answer of 500."""
        self._errors += 1
        if latency_s is None:
            self._unanswered += 1
        else:
            self.answered(latency_s)

    def broke(self) -> None:
        """What was counted as answered, the opening of a stream, ended in an error."""
        self._errors += 1

    def was_slow(self, call: SlowCall) -> None:
        """`call` took longer than `slow_over_s`."""
        self.slow_calls += 1
        self.slowest.append(call)

    @property
    def mark(self) -> Mark:
        """Another one after every call that ended: cheaper to look at than `counts`.

        What takes no time to speak of does not move the sum: it falls into the first bucket.
        """
        return self._seconds, self._errors, self._buckets[0]

    def counts(self) -> CallCounts:
        """As they stand now."""
        buckets = {index: calls for index, calls in enumerate(self._buckets) if calls}
        return CallCounts(
            requests=sum(buckets.values()) + self._unanswered,
            errors=self._errors,
            seconds=self._seconds,
            latencies=Sketch(buckets),
        )


class MethodCounters:
    """Of all methods that this node calls. Owned by its Chooser."""

    def __init__(self) -> None:
        self._counters: dict[Artifact, dict[str, MethodCounter]] = {}
        self._own = 0  # counters of one method each
        self._strategy: Strategy = DEFAULT

    @property
    def strategy(self) -> Strategy:
        """Which calls are slow."""
        return self._strategy

    def judge_by(self, strategy: Strategy) -> None:
        """From now on, slow is what `strategy` says."""
        self._strategy = strategy
        for artifact, method, counter in self:
            counter.judge_by(rule_for(strategy, artifact, method))

    def of_version(self, artifact: Artifact) -> Mapping[str, MethodCounter]:
        """By method: what was counted of a version; it grows while that is called."""
        return self._counters.setdefault(artifact, {})

    def of(self, artifact: Artifact, method: str) -> MethodCounter:
        """The counter of a method, or the common one of those of its version that came too late."""
        methods = self._counters.setdefault(artifact, {})
        counter = methods.get(method)
        if counter is None and self._own >= METHODS_COUNTED_MAX:
            method = OTHER
            counter = methods.get(method)
        if counter is None:
            counter = methods[method] = MethodCounter(rule_for(self._strategy, artifact, method))
            self._own += method != OTHER
        return counter

    def keep(self, known: Iterable[Artifact]) -> None:
        """Forget the oldest of those that are gone, when there are too many."""
        surplus = max(len(self._counters) - VERSIONS_COUNTED_MAX, int(self._own >= METHODS_COUNTED_MAX))
        if surplus <= 0:
            return
        kept = set(known)
        gone = [artifact for artifact in self._counters if artifact not in kept]
        for artifact in gone[:surplus]:
            self._own -= sum(method != OTHER for method in self._counters.pop(artifact))

    def counts(self, base: ArtifactBase) -> Mapping[Version, CallCounts]:
        """What was counted of each version of `base`."""
        return {a.version: _sum(methods) for a, methods in self._counters.items() if a.base == base}

    def versions(self) -> Mapping[str, CallCounts]:
        """By `group:artifact:version`."""
        return {str(artifact): _sum(methods) for artifact, methods in self._counters.items()}

    def __iter__(self) -> Iterator[tuple[Artifact, str, MethodCounter]]:
        for artifact, methods in self._counters.items():
            for method, counter in methods.items():
                yield artifact, method, counter


def _sum(methods: Mapping[str, MethodCounter]) -> CallCounts:
    return CallCounts.total(counter.counts() for counter in methods.values())

"""How many of this node's calls went to each version of a slice, how many failed, how long they took.

Knows: counts by artifact; a histogram whose buckets are those of model.health.
Never: clocks, which outcome is an error (`chooser` decides), the counts of other nodes.
Holds: counts only grow while their version is there; what the newest of a slice's versions counted outlives its
       instances. A call costs one logarithm and two additions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from aether.model.artifact import Artifact, ArtifactBase
from aether.model.health import BUCKETS, PER_OCTAVE, VersionCounts, bucket_of
from aether.model.limits import VERSIONS_COUNTED_MAX
from aether.model.version import Version

_MICROSECOND: Final = PER_OCTAVE * math.log2(1e6)
_SHORTEST_S: Final = 2e-6
_LONGEST_S: Final = 1_000.0


class VersionCounter:
    """Of one version."""

    __slots__ = ("_buckets", "_errors", "_seconds", "_unanswered")

    def __init__(self) -> None:
        self._buckets = [0] * BUCKETS
        self._seconds = 0.0
        self._errors = 0
        self._unanswered = 0

    def answered(self, latency_s: float) -> None:
        """A call ended after `latency_s`. Called by every call of the node: no other module's name is looked up."""
        self._seconds += latency_s
        if _SHORTEST_S < latency_s < _LONGEST_S:
            self._buckets[int(math.log2(latency_s) * PER_OCTAVE + _MICROSECOND)] += 1
        else:
            self._buckets[bucket_of(latency_s)] += 1

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

    def counts(self) -> VersionCounts:
        """As they stand now."""
        buckets = {index: calls for index, calls in enumerate(self._buckets) if calls}
        return VersionCounts(
            requests=sum(buckets.values()) + self._unanswered,
            errors=self._errors,
            seconds=self._seconds,
            buckets=buckets,
        )


class VersionCounters:
    """Of all versions that this node calls. Owned by its Chooser."""

    def __init__(self) -> None:
        self._counters: dict[Artifact, VersionCounter] = {}

    def of(self, artifact: Artifact) -> VersionCounter:
        counter = self._counters.get(artifact)
        if counter is None:
            counter = self._counters[artifact] = VersionCounter()
        return counter

    def keep(self, known: Iterable[Artifact]) -> None:
        """Forget the oldest of those that are gone, when there are too many."""
        if len(self._counters) > VERSIONS_COUNTED_MAX:
            kept = set(known)
            gone = [artifact for artifact in self._counters if artifact not in kept]
            for artifact in gone[: len(self._counters) - VERSIONS_COUNTED_MAX]:
                del self._counters[artifact]

    def counts(self, base: ArtifactBase) -> Mapping[Version, VersionCounts]:
        """What was counted of each version of `base`."""
        return {a.version: counter.counts() for a, counter in self._counters.items() if a.base == base}

    def all(self) -> Mapping[str, VersionCounts]:
        """By `group:artifact:version`."""
        return {str(artifact): counter.counts() for artifact, counter in self._counters.items()}

"""How the calls to each version of a slice went, as its callers saw them: counts, and what is read off them.

Knows: counts of calls, errors and latencies by version; sums and differences of them; the latency below which a share
       of the calls stayed, to one part in eight of an octave.
Never: who counts, what is done about it.
Holds: counts of one epoch (a process of a caller) only grow; a difference that would be negative is a new beginning.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from aether.errors import BadInput
from aether.model.ids import NodeId
from aether.model.version import Version

PER_OCTAVE: Final = 8
"""Buckets of the histogram between a latency and twice as much: each is 9 % wide."""
BUCKETS: Final = 240
"""From one microsecond to eighteen minutes; what lies outside counts in the first and the last."""


@attrs.frozen(kw_only=True)
class VersionCounts:
    """Calls to one version. `buckets`: index -> calls whose latency fell into it (`bucket_of`).

    requests  calls that ended, errors included; latencies are those of calls that were answered
    seconds   sum of their latencies
    """

    requests: int = 0
    errors: int = 0
    seconds: float = 0.0
    buckets: Mapping[int, int] = attrs.field(factory=dict[int, int])

    def __attrs_post_init__(self) -> None:
        """Raise BadInput for what nobody can have counted: such counts come from other nodes."""
        numbers = (self.requests, self.errors, *self.buckets.values())
        if min(numbers) < 0 or self.errors > self.requests or not 0 <= self.seconds < math.inf:
            raise BadInput(f"{self.requests} calls with {self.errors} errors in {self.seconds} s are no counts")
        if any(not 0 <= index < BUCKETS for index in self.buckets):
            raise BadInput(f"a histogram of latencies has {BUCKETS} buckets, from 0", tuple(map(str, self.buckets))[:3])

    def __add__(self, other: VersionCounts) -> VersionCounts:
        buckets = dict(self.buckets)
        for index, calls in other.buckets.items():
            buckets[index] = buckets.get(index, 0) + calls
        return VersionCounts(
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
            seconds=self.seconds + other.seconds,
            buckets=buckets,
        )

    def since(self, earlier: VersionCounts | None) -> VersionCounts:
        """What was counted after `earlier`; all of it when it was counted anew since then."""
        if earlier is None or not _covers(self, earlier):
            return self
        buckets = {index: calls - earlier.buckets.get(index, 0) for index, calls in self.buckets.items()}
        return VersionCounts(
            requests=self.requests - earlier.requests,
            errors=self.errors - earlier.errors,
            seconds=max(0.0, self.seconds - earlier.seconds),
            buckets={index: calls for index, calls in buckets.items() if calls},
        )


def _covers(later: VersionCounts, earlier: VersionCounts) -> bool:
    errors, successes = later.errors - earlier.errors, later.requests - earlier.requests
    grown = all(later.buckets.get(index, 0) >= calls for index, calls in earlier.buckets.items())
    return grown and 0 <= errors <= successes


NOTHING: Final = VersionCounts()
_NO_COUNTS: Final[Mapping[Version, VersionCounts]] = {}


def bucket_of(latency_s: float) -> int:
    """The bucket of a latency."""
    return int(min(BUCKETS - 1.0, math.log2(latency_s * 1e6) * PER_OCTAVE)) if latency_s > 1e-6 else 0


def latency_ms(bucket: int) -> float:
    """The latency in the middle of a bucket, in milliseconds."""
    return float(2 ** ((bucket + 0.5) / PER_OCTAVE)) / 1e3


@attrs.frozen(kw_only=True)
class VersionHealth:
    """How one version did. Latencies in milliseconds, 0.0 when no call was answered."""

    requests: int = 0
    errors: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    mean_ms: float = 0.0

    @property
    def error_rate(self) -> float:
        """Share of calls that failed, 0 to 1; 0.0 without any."""
        return self.errors / self.requests if self.requests else 0.0


def health_of(counts: VersionCounts) -> VersionHealth:
    """What `counts` say."""
    answered = sum(counts.buckets.values())
    return VersionHealth(
        requests=counts.requests,
        errors=counts.errors,
        p50_ms=_quantile_ms(counts.buckets, answered, 0.5),
        p99_ms=_quantile_ms(counts.buckets, answered, 0.99),
        mean_ms=1e3 * counts.seconds / answered if answered else 0.0,
    )


def _quantile_ms(buckets: Mapping[int, int], answered: int, share: float) -> float:
    wanted = math.ceil(share * answered)
    seen = 0
    for index in sorted(buckets):
        seen += buckets[index]
        if seen >= wanted > 0:
            return latency_ms(index)
    return 0.0


@attrs.frozen(kw_only=True)
class Health:
    """The two versions of an update."""

    old: VersionHealth = VersionHealth()
    new: VersionHealth = VersionHealth()


@attrs.frozen
class HealthMark:
    """All counts at one moment: node -> (epoch, version -> counts). An epoch is one process of that node."""

    nodes: Mapping[NodeId, tuple[int, Mapping[Version, VersionCounts]]] = attrs.field(
        factory=dict[NodeId, tuple[int, Mapping[Version, VersionCounts]]]
    )

    def since(self, earlier: HealthMark | None) -> Mapping[Version, VersionCounts]:
        """What all callers together counted after `earlier`, by version; a new process counts from its beginning."""
        total: dict[Version, VersionCounts] = {}
        for node, (epoch, versions) in self.nodes.items():
            was = earlier.nodes.get(node) if earlier is not None else None
            before = was[1] if was is not None and was[0] == epoch else _NO_COUNTS
            for version, counts in versions.items():
                total[version] = total.get(version, NOTHING) + counts.since(before.get(version))
        return total


@attrs.frozen(kw_only=True)
class ClusterHealth:
    """The health of each version, over all callers that answered.

    mark     the counts as they stand now: give it back as `since`, to hear of what comes after
    unheard  live nodes that did not say in time what they counted
    """

    versions: Mapping[Version, VersionHealth] = attrs.field(factory=dict[Version, VersionHealth])
    mark: HealthMark = HealthMark()
    unheard: tuple[NodeId, ...] = ()

    def of(self, old: Version, new: Version) -> Health:
        """Of two versions; one that nobody called has no requests."""
        return Health(old=self.versions.get(old, VersionHealth()), new=self.versions.get(new, VersionHealth()))


def cluster_health(mark: HealthMark, since: HealthMark | None = None, unheard: Iterable[NodeId] = ()) -> ClusterHealth:
    """What happened between two marks; a node that was unheard of at the second is looked at from its last mark on."""
    silent = tuple(sorted(unheard))
    kept = {node: since.nodes[node] for node in silent if since is not None and node in since.nodes}
    counted = mark.since(since)
    return ClusterHealth(
        versions={version: health_of(counts) for version, counts in counted.items()},
        mark=HealthMark({**kept, **mark.nodes}),
        unheard=silent,
    )

"""How the calls to each version of a slice went, as its callers saw them: counts, and what is read off them.

Knows: counts of calls by version; what they say; how a share of the calls is named.
Never: who counts, what is done about it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import attrs

from aether.model.call_counts import CallCounts
from aether.model.ids import NodeId
from aether.model.version import Version


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


def health_of(counts: CallCounts) -> VersionHealth:
    """What `counts` say."""
    answered = counts.latencies.count
    p50_s, p99_s = counts.latencies.quantiles_s((0.5, 0.99))
    return VersionHealth(
        requests=counts.requests,
        errors=counts.errors,
        p50_ms=1e3 * p50_s,
        p99_ms=1e3 * p99_s,
        mean_ms=1e3 * counts.seconds / answered if answered else 0.0,
    )


@attrs.frozen(kw_only=True)
class Health:
    """The two versions of an update."""

    old: VersionHealth = VersionHealth()
    new: VersionHealth = VersionHealth()


@attrs.frozen(kw_only=True)
class ClusterHealth:
    """The health of each version, over all callers that answered.

    unheard  live nodes that did not say in time what they counted
    """

    versions: Mapping[Version, VersionHealth] = attrs.field(factory=dict[Version, VersionHealth])
    unheard: tuple[NodeId, ...] = ()

    def of(self, old: Version, new: Version) -> Health:
        """Of two versions; one that nobody called has no requests."""
        return Health(old=self.versions.get(old, VersionHealth()), new=self.versions.get(new, VersionHealth()))


def cluster_health(told: Iterable[Mapping[Version, CallCounts]], unheard: Iterable[NodeId] = ()) -> ClusterHealth:
    """What all callers together counted."""
    by_version: defaultdict[Version, list[CallCounts]] = defaultdict(list)
    for versions in told:
        for version, counts in versions.items():
            by_version[version].append(counts)
    return ClusterHealth(
        versions={version: health_of(CallCounts.total(counts)) for version, counts in by_version.items()},
        unheard=tuple(sorted(unheard)),
    )


def share_of(update: str, weights: Mapping[str, int]) -> str:
    """The name of one share of the calls that an update gives to each version: nodes count from when they go by it."""
    return " ".join([update, *(f"{version}={weight}" for version, weight in sorted(weights.items()) if weight > 0)])

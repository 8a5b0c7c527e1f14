"""The metrics that a node shows to Prometheus: their names, kinds, labels and meaning.

Knows: one row for each; how a figure of the node is named there.
Never: values.
Holds: names begin with `aether_`, end with their base unit, counters with `_total`; every label has few values: those
       of calls are bounded by METHODS_COUNTED_MAX, those of slices by what is deployed.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from aether.metrics.figures import FIGURES, Figure


class Kind(enum.Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


@attrs.frozen
class Metric:
    """One metric. name  as its samples have it, but for the suffixes of a histogram; labels  in order"""

    name: str
    kind: Kind
    about: str
    labels: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """Without the suffix that its kind adds."""
        return self.name.removesuffix("_total" if self.kind is Kind.COUNTER else "_info")


_CALL: Final = ("artifact", "version", "method")

NODE_INFO: Final = Metric("aether_node_info", Kind.INFO, "Always 1: which node this is", ("node", "cluster", "release"))
CALLS: Final = Metric(
    "aether_calls_total", Kind.COUNTER, "Calls that this node made and that ended", (*_CALL, "outcome")
)
CALL_DURATION: Final = Metric(
    "aether_call_duration_seconds", Kind.HISTOGRAM, "How long those took that were answered", _CALL
)
CALLS_IN_FLIGHT: Final = Metric("aether_calls_in_flight", Kind.GAUGE, "Calls and open streams of this node now", _CALL)
SLOW_CALLS: Final = Metric("aether_slow_calls_total", Kind.COUNTER, "Calls that were slow, as the strategy says", _CALL)
CALL_TRIES: Final = Metric(
    "aether_call_tries_total",
    Kind.COUNTER,
    "Further tries of calls: moved (it had not begun), repeated, refused (the budget was spent), hedged, hedged_won",
    ("artifact", "kind"),
)
CLUSTER_NODES: Final = Metric("aether_cluster_nodes", Kind.GAUGE, "Members that this node reaches, itself included")
CLUSTER_MEMBERS: Final = Metric("aether_cluster_members", Kind.GAUGE, "Members, reachable or not")
SLICES_ACTIVE: Final = Metric("aether_slices_active", Kind.GAUGE, "Slices with an ACTIVE instance, in the cluster")
SLICE_INSTANCES: Final = Metric(
    "aether_slice_instances", Kind.GAUGE, "Instances in the cluster, by state", ("artifact", "version", "state")
)
SLICE_DESIRED: Final = Metric(
    "aether_slice_instances_desired", Kind.GAUGE, "Instances that are wanted in the cluster", ("artifact", "version")
)
ROLLOUTS: Final = Metric("aether_rollouts_in_progress", Kind.GAUGE, "Updates of slices that are under way")
ALERTS: Final = Metric("aether_alerts_active", Kind.GAUGE, "Alerts that hold now, in the cluster", ("severity",))

_TOLD_BY_CALLS: Final = frozenset(
    ("calls.rate", "calls.failure_rate", "calls.mean_s", "calls.p50_s", "calls.p95_s", "calls.p99_s")
)
"""Figures that Prometheus makes itself of the counters and histograms of calls."""
_TOTALS: Final = frozenset({"raft.elections"})
_SUFFIXES: Final = {
    "ratio": "ratio", "bytes": "bytes", "seconds": "seconds", "cores": "cores",
    "per second": "per_second", "bytes per second": "bytes_per_second",
}  # fmt: skip


def metric_of(figure: Figure) -> Metric:
    """How a figure of the node is shown."""
    stem = figure.name.replace(".", "_").removesuffix("_s").removesuffix("_bytes")
    if figure.name in _TOTALS:
        return Metric(f"aether_node_{stem}_total", Kind.COUNTER, _sentence(figure.about))
    suffix = _SUFFIXES.get(figure.unit, "")
    return Metric("_".join(filter(None, ("aether_node", stem, suffix))), Kind.GAUGE, _sentence(figure.about))


def _sentence(about: str) -> str:
    """Names of figures keep their spelling."""
    return about if "." in about.partition(" ")[0] else about[:1].upper() + about[1:]


NODE_FIGURES: Final[Mapping[str, Metric]] = MappingProxyType(
    {name: metric_of(figure) for name, figure in FIGURES.items() if name not in _TOLD_BY_CALLS}
)
"""By the name of the figure."""

METRICS: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            NODE_INFO,
            CALLS,
            CALL_DURATION,
            CALLS_IN_FLIGHT,
            SLOW_CALLS,
            CALL_TRIES,
            CLUSTER_NODES,
            CLUSTER_MEMBERS,
            SLICES_ACTIVE,
            SLICE_INSTANCES,
            SLICE_DESIRED,
            ROLLOUTS,
            ALERTS,
            *NODE_FIGURES.values(),
        )
    }
)
"""All of them, by name."""

LE_S: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds of the histogram, in seconds; what lies within 1 % of one may stand on either side of it."""

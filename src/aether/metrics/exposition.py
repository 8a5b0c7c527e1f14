"""What a node knows of itself, in the formats of Prometheus.

Knows: prometheus_client's families and encoders; how frozen figures become samples.
Never: where figures come from; sockets. Importing this module is dear: it is done where somebody scrapes.
Holds: a registry of its own for each answer, and none of the library's globals; every sample belongs to a metric of the
       catalogue, or to the library's own collectors of this process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, cast

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, exposition
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from aether.metrics import catalogue
from aether.metrics.call_snapshot import MethodKey
from aether.metrics.catalogue import LE_S, Kind, Metric
from aether.metrics.exposed import Exposed
from aether.metrics.slow_calls import SlowCall
from aether.model.artifact import Artifact
from aether.model.sketch import Sketch

OPENMETRICS: Final = "application/openmetrics-text"
EXEMPLAR_CHARS_MAX: Final = 128  # of all labels of one, names included, as OpenMetrics says
Bucket = tuple[str, float] | tuple[str, float, Exemplar]
Samples = Iterable[tuple[Sequence[str], float]]


_openmetrics: Final[Callable[[CollectorRegistry], bytes]] = cast("Any", openmetrics).generate_latest  # has no types


def render(shown: Exposed, accept: str) -> tuple[bytes, str]:
    """Body and content type: OpenMetrics when `accept` names it, else the text format that all scrapers read.

    It looks at files of this process, and takes milliseconds: for a worker thread.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeCollector(shown))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    kinds = (kind.partition(";")[0].strip().lower() for kind in accept.split(","))
    if OPENMETRICS in kinds:
        return _openmetrics(registry), openmetrics.CONTENT_TYPE_LATEST
    return exposition.generate_latest(registry), "text/plain; version=0.0.4; charset=utf-8"


class NodeCollector(Collector):
    """Families out of frozen figures."""

    def __init__(self, shown: Exposed) -> None:
        self._shown = shown

    def collect(self) -> Iterator[Family]:
        """Every metric of the catalogue, also one that has no samples yet."""
        shown = self._shown
        yield _info(shown)
        yield from _of_calls(shown)
        yield _simple(catalogue.CLUSTER_NODES, [((), shown.nodes)])
        yield _simple(catalogue.CLUSTER_MEMBERS, [((), shown.members)])
        active = {artifact.base for artifact, state in shown.instances if state == "ACTIVE"}
        yield _simple(catalogue.SLICES_ACTIVE, [((), len(active))])
        instances = (((*_version(a), state), count) for (a, state), count in shown.instances.items())
        yield _simple(catalogue.SLICE_INSTANCES, instances)
        yield _simple(catalogue.SLICE_DESIRED, ((_version(a), count) for a, count in shown.desired.items()))
        yield _simple(catalogue.ROLLOUTS, [((), shown.rollouts)])
        yield _simple(catalogue.ALERTS, (((severity,), count) for severity, count in shown.alerts.items()))
        for name, metric in catalogue.NODE_FIGURES.items():
            if name in shown.figures:
                yield _simple(metric, [((), shown.figures[name])])


def _info(shown: Exposed) -> Family:
    metric = catalogue.NODE_INFO
    family = InfoMetricFamily(metric.family, metric.about)
    family.add_metric((), {"node": shown.node, "cluster": shown.cluster, "release": shown.release})
    return family


def _of_calls(shown: Exposed) -> Iterator[Family]:
    rows = [(_method(row.key), row) for row in shown.calls]
    outcomes = (
        ((*labels, outcome), count)
        for labels, row in rows
        for outcome, count in (("success", row.total.requests - row.total.errors), ("failure", row.total.errors))
    )
    yield _simple(catalogue.CALLS, outcomes)
    metric = catalogue.CALL_DURATION
    durations = HistogramMetricFamily(metric.name, metric.about, labels=metric.labels)
    for labels, row in rows:
        buckets = _buckets(row.total.latencies, shown.slow.get(row.key, ()))
        durations.add_metric(labels, buckets, row.total.seconds)
    yield durations
    yield _simple(catalogue.CALLS_IN_FLIGHT, ((labels, row.in_flight) for labels, row in rows))
    yield _simple(catalogue.SLOW_CALLS, ((labels, row.slow) for labels, row in rows))
    yield _simple(catalogue.CALL_TRIES, shown.tries.items())


def _simple(metric: Metric, samples: Samples) -> Family:
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(metric.family, metric.about, labels=metric.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _version(artifact: Artifact | None) -> tuple[str, str]:
    return ("", "") if artifact is None else (str(artifact.base), str(artifact.version))


def _method(key: MethodKey) -> tuple[str, str, str]:
    return (*_version(key[0]), key[1])


def _buckets(latencies: Sketch, slow: Sequence[SlowCall]) -> list[Bucket]:
    """Counts below each bound; the newest slow call that fell between two of them is the exemplar of the upper one."""
    examples: dict[float, SlowCall] = {}
    for call in slow:
        bound = next((bound for bound in LE_S if call.latency_s <= bound), float("inf"))
        examples.setdefault(bound, call)
    bounds = [*zip(LE_S, latencies.counts_below(LE_S), strict=True), (float("inf"), latencies.count)]
    return [
        (_bound(bound), count, _exemplar(examples[bound])) if bound in examples else (_bound(bound), count)
        for bound, count in bounds
    ]


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else repr(bound)


def _exemplar(call: SlowCall) -> Exemplar:
    labels: dict[str, str] = {}
    for name, value in (("trace_id", call.trace_id), ("request_id", call.request_id)):
        if value and sum(map(len, (*labels, *labels.values(), name, value))) <= EXEMPLAR_CHARS_MAX:
            labels[name] = value
    return Exemplar(labels, call.latency_s, call.at_s)

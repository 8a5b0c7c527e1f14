"""The figures that thresholds are asked about, of every node and every method.

Knows: names of figures, how old one may be.
Never: thresholds' values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from aether.metrics.alert_rules import Subject
from aether.metrics.figures import ClusterFigures
from aether.metrics.methods import CallFigures, MethodFigures
from aether.metrics.thresholds import METHOD_FIGURES, METHOD_PREFIX
from aether.model.limits import FIGURES_EVERY_S

FIGURES_STALE_S: Final = 10.0
"""Older ones say nothing of now, unless so many nodes are heard of in turns."""
_SUBJECT_CHARS_MAX: Final = 300


def method_subject(figures: MethodFigures) -> str:
    """`group:artifact:version/method`, or `other` for what lies beyond the limit of methods."""
    return "other" if figures.artifact is None else f"{figures.artifact}/{figures.method}"


def gather(metrics: Collection[str], nodes: ClusterFigures, calls: CallFigures) -> dict[Subject, float]:
    """The newest figure of each subject, of those `metrics`."""
    return dict((*_of_nodes(metrics, nodes), *_of_methods(metrics, calls)))


def _of_nodes(metrics: Collection[str], figures: ClusterFigures) -> Iterator[tuple[Subject, float]]:
    stale_s = FIGURES_STALE_S + figures.round_s - FIGURES_EVERY_S
    for node, newest in figures.nodes(metrics, stale_s).items():
        for metric, value in newest.items():
            yield (metric, str(node)), value


def _of_methods(metrics: Collection[str], calls: CallFigures) -> Iterator[tuple[Subject, float]]:
    wanted = [name for name in METHOD_FIGURES if METHOD_PREFIX + name in metrics]
    if not wanted:
        return
    for method in calls.methods():
        subject = method_subject(method)
        if len(subject) <= _SUBJECT_CHARS_MAX:
            for name in wanted:
                yield (METHOD_PREFIX + name, subject), float(getattr(method, name))

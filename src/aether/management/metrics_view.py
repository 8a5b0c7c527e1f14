"""What the admin API reads of the figures of nodes.

Knows: the protocol that the figures of a node meet (node.figures.Figures).
Never: how they are gathered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aether.metrics.deployments import Deployment
from aether.metrics.derived import DerivedMetrics
from aether.metrics.figures import ClusterFigures
from aether.metrics.method_windows import MethodKey
from aether.metrics.minutes import MinuteAggregate
from aether.model.artifact import Artifact
from aether.model.ids import NodeId


class NodeView(ClusterFigures, Protocol):
    """ClusterFigures, and what is made of them (metrics.view.FiguresView)."""

    @property
    def node(self) -> NodeId:
        """The answering one."""
        ...

    def known(self) -> Sequence[NodeId]:
        """Every node whose last hours are kept, those that are gone included."""
        ...

    def minutes(self, node: NodeId, count: int = ...) -> Sequence[tuple[float, MinuteAggregate]]: ...
    def minute_so_far(self, node: NodeId) -> tuple[float, MinuteAggregate]: ...
    def derived(self, node: NodeId) -> DerivedMetrics: ...


class KnownDeployments(Protocol):
    """How long instances took to start (metrics.deployments.Deployments)."""

    def artifacts(self) -> Sequence[Artifact]: ...
    def of(self, artifact: Artifact) -> Sequence[Deployment]: ...


class KnownFigures(Protocol):
    """All of it."""

    @property
    def view(self) -> NodeView: ...
    @property
    def deployments(self) -> KnownDeployments: ...
    def methods(self) -> Sequence[MethodKey]:
        """The busiest, whose last hours are kept."""
        ...

    def method_window(self, key: MethodKey, series: str, span_s: float) -> Sequence[tuple[float, float]]: ...

"""How the nodes and the calls of a cluster go, and what happens in it, as an application reads it.

Knows: which part of a node knows which figures and events.
Never: how they get here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TypeAlias

import attrs

from aether.metrics.events import Event, read_since
from aether.metrics.methods import MethodFigures
from aether.model.artifact import ArtifactBase
from aether.model.ids import NodeId
from aether.node.operations import Operations
from aether.slice_api.contract import contract_of

ClusterEvent: TypeAlias = Event
"""What happened in a cluster; `aether.Event` is a message of a stream over HTTP."""


@attrs.frozen(kw_only=True)
class ClusterMetrics:
    """What one node knows at one moment, from its memory.

    nodes    the newest figures of every node that is reached, by name: `cpu.usage`, `heap.used`, `loop.lag_s`, ...
    ages_s   how long ago they were measured
    methods  the calls of the whole cluster to each method of each version: counts, rates, percentiles
    """

    nodes: Mapping[NodeId, Mapping[str, float]]
    ages_s: Mapping[NodeId, float]
    methods: Sequence[MethodFigures]

    def of(self, target: str | type) -> Sequence[MethodFigures]:
        """The methods of one slice, in every version: `group:artifact`, or the class. Empty: nobody called it.

        Raises BadInput, ContractError for what is neither.
        """
        artifact = None if isinstance(target, str) else contract_of(target).artifact
        base = ArtifactBase.parse(target) if isinstance(target, str) else artifact and artifact.base
        return [each for each in self.methods if each.artifact is not None and each.artifact.base == base]


def metrics_of(operations: Operations) -> ClusterMetrics:
    """As they are now."""
    view = operations.figures.view
    nodes = view.nodes()
    return ClusterMetrics(
        nodes=nodes,
        ages_s={node: view.age_s(node) for node in nodes},
        methods=tuple(operations.call_metrics.figures.methods()),
    )


def events_of(operations: Operations, since: str) -> AsyncIterator[ClusterEvent]:
    """From `since` on, "" = from now on; see Events.follow. Raises BadInput."""
    return operations.events.follow(read_since(since) if since else None)

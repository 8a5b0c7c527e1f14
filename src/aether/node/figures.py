"""The figures of one node, and of all others as it knows them: built out of the node's parts.

Knows: constructors; which part counts what.
Never: what a figure means, who reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import trio

from aether.metrics.deployments import Deployments
from aether.metrics.deployments_service import DeploymentWatch
from aether.metrics.figures_service import FiguresService, Source
from aether.metrics.method_windows import MethodKey
from aether.metrics.methods import CallFigures
from aether.metrics.view import FiguresView
from aether.model.ids import NodeId
from aether.node.figure_sources import (
    HttpPorts,
    NodeNeighbours,
    calls_source,
    http_source,
    loop_source,
    raft_source,
    transport_source,
)
from aether.node.parts import Parts
from aether.node.seams import Seams


class Figures:
    """view  what this node knows of all nodes;  deployments  how long instances took to start

    reached  nodes that answer, this one included
    calls    who counts calls and knows those of other nodes; None when nobody does
    """

    def __init__(
        self, parts: Parts, reached: Callable[[], Collection[NodeId]], seams: Seams, calls: CallFigures | None = None
    ) -> None:
        node, kv = parts.facts.node, parts.kv
        self._sources: list[Source] = [
            loop_source(parts.facts),
            raft_source(parts.consensus, kv),
            transport_source(parts.transport),
            calls_source(parts.invoker, parts.hosting),
        ]
        self.view: FiguresView = FiguresView(node, reached, trio.current_time, seams.wall)
        self.service: FiguresService = FiguresService(
            node,
            self.view,
            seams.process_probe,
            seams.work,
            self._sources,
            NodeNeighbours(parts.transport, parts.consensus, kv),
            seams.wall,
            calls,
        )
        self._deployments = DeploymentWatch(kv)

    @property
    def deployments(self) -> Deployments:
        return self._deployments.deployments

    @property
    def handlers(self) -> Mapping[type, Callable[[NodeId, Any, str], None]]:
        """For the transport."""
        return self.service.handlers

    def count(self, source: Source) -> None:
        """From now on `source` tells further figures."""
        self._sources.append(source)

    def count_http(self, ports: HttpPorts) -> None:
        """From now on requests over HTTP are among the figures."""
        self.count(http_source(ports))

    def methods(self) -> Sequence[MethodKey]:
        """The busiest, whose last hours are kept."""
        return self.service.methods.keys()

    def method_window(self, key: MethodKey, series: str, span_s: float) -> Sequence[tuple[float, float]]:
        """As FiguresView.window, of one of the busiest methods."""
        now, shown_s = self.view.now_s, self.view.shown_s
        points = self.service.methods.window(key, series, now - span_s, now)
        return [(at + shown_s, value) for at, value in points]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Measure and tell until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._deployments.run)
            await nursery.start(self.service.run)
            task_status.started()

"""What a node does so that people can see and steer it: built and started behind its managers.

Knows: constructors; which part needs which.
Never: decisions of any part.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

import trio

from aether.metrics.events_service import Events
from aether.model.ids import Incarnation, NodeId
from aether.model.rows import MemberRow
from aether.node.access_parts import AccessParts
from aether.node.alerting import Alerting
from aether.node.call_metrics import CallMetrics
from aether.node.controller import NodeController
from aether.node.exposing import NodeExposition
from aether.node.figure_sources import events_source
from aether.node.figures import Figures
from aether.node.local_events import LocalEvents
from aether.node.log_levels import LogLevels
from aether.node.named_calls import NamedCalls
from aether.node.parts import Parts
from aether.node.seams import Seams
from aether.node.shown_traces import ShownTraces


class Operations:
    """Of one node. `await begin(nursery)` starts every part.

    members  their rows; reached  those of them that answer, this node included; live  the same with their incarnations
    """

    def __init__(
        self,
        parts: Parts,
        seams: Seams,
        members: Callable[[], Iterable[MemberRow]],
        reached: Callable[[], Collection[NodeId]],
        live: Callable[[], Mapping[NodeId, Incarnation]],
    ) -> None:
        config, facts, kv, consensus, invoker = parts.config, parts.facts, parts.kv, parts.consensus, parts.invoker
        node, wall = config.node, seams.wall
        self.calls: NamedCalls = NamedCalls(kv, invoker)
        self.traces: ShownTraces = ShownTraces(invoker.traces, lambda: [row.node for row in members()])
        self.call_metrics: CallMetrics = CallMetrics(node, invoker.counters, kv, wall)
        self.figures: Figures = Figures(parts, reached, seams, self.call_metrics.figures)
        self.log_levels: LogLevels = LogLevels(kv, wall)
        self.exposition: NodeExposition = NodeExposition(
            node, config.cluster, kv, invoker, self.call_metrics, self.figures.view, reached, seams.work
        )
        self.access: AccessParts = AccessParts(kv, wall)
        self.events: Events = Events(node, parts.incarnation, kv, wall)
        self.figures.count(events_source(self.events))
        self.controller: NodeController = NodeController(
            config,
            kv,
            consensus,
            seams,
            live,
            parts.transport.send,
            self.figures.view,
            self.call_metrics.figures,
            self.events,
        )
        self.local_events: LocalEvents = LocalEvents(
            node,
            self.events,
            consensus,
            members=lambda: {row.node: row.draining for row in members() if row.incarnation},
            reached=reached,
            loop_lag_s=lambda: facts.loop_lag_s,
        )
        self.alerting: Alerting = Alerting(
            kv, self.events, self.figures.view, self.call_metrics.figures, live=lambda: frozenset(reached()), wall=wall
        )

    async def begin(self, nursery: trio.Nursery) -> None:
        """Start every part in `nursery`; returns once each of them watches what it follows."""
        await nursery.start(self.call_metrics.run)
        await nursery.start(self.log_levels.run)
        await self.access.begin(nursery)
        await nursery.start(self.events.run)
        await nursery.start(self.local_events.run)
        await nursery.start(self.figures.run)
        await self.controller.begin(nursery)
        await self.alerting.begin(nursery)

"""The parts of alerts of one node, made of the node's parts.

Knows: constructors.
Never: when an alert begins, who is told.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import trio

from aether.kv.service import KvService
from aether.metrics.alert_manager import AlertManager
from aether.metrics.alert_operator import AlertOperator
from aether.metrics.alert_teller_manager import AlertTeller
from aether.metrics.events_service import Events
from aether.metrics.figures import ClusterFigures
from aether.metrics.methods import CallFigures
from aether.metrics.webhook_service import Post, post
from aether.model.ids import NodeId


class Alerting:
    """operator  carries out what people ask for; live  nodes that answer, this one included"""

    def __init__(
        self,
        kv: KvService,
        events: Events,
        figures: ClusterFigures,
        calls: CallFigures,
        *,
        live: Callable[[], Collection[NodeId]],
        wall: Callable[[], float],
        send: Post = post,
    ) -> None:
        self.operator: AlertOperator = AlertOperator(kv, lambda: events.log.alerts(), wall)
        self.manager: AlertManager = AlertManager(kv, figures, calls, live=live, wall=wall)
        self.teller: AlertTeller = AlertTeller(kv, events, send=send)

    async def begin(self, nursery: trio.Nursery) -> None:
        """Start every part in `nursery`."""
        await nursery.start(self.manager.run)
        await nursery.start(self.teller.run)

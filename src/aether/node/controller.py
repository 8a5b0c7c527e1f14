"""The controller of one node: loop, desk, operator, and what they are told of the other rooms.

Knows: constructors; how much room the members have; controllers by name.
Never: decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import trio

from aether.consensus.service import ConsensusService
from aether.control.context import RecentEvent
from aether.control.control_manager import ControlLoop
from aether.control.decisions import ClusterController
from aether.control.desk_service import ControlDesk
from aether.control.messages import ControlAnswer, ControlQuestion
from aether.control.operator import ControllerOperator
from aether.control.row_sight import RowSight
from aether.control.word_service import LeaderWord
from aether.deployment.plugins import CONTROLLERS, load_plugin
from aether.deployment.room import fleet_of, learners_of, room_for
from aether.errors import AetherError, BadInput
from aether.kv import keys
from aether.kv.service import KvService
from aether.metrics.events_service import Events
from aether.metrics.figures import ClusterFigures
from aether.metrics.methods import CallFigures
from aether.model.duty import duties_of
from aether.model.ids import Incarnation, NodeId
from aether.model.rows import DesiredRow
from aether.node.config import NodeConfig
from aether.node.seams import Seams

EVENTS_SEEN_MAX: Final = 50
"""By a controller, of the newest of the cluster."""


class NodeController:
    """Of one node. `await begin(nursery)` starts it.

    live     the members that answer, this node included
    send     puts a message into a peer's mailbox
    figures, calls, events  of the whole cluster, from memory
    """

    def __init__(
        self,
        config: NodeConfig,
        kv: KvService,
        consensus: ConsensusService,
        seams: Seams,
        live: Callable[[], Mapping[NodeId, Incarnation]],
        send: Callable[[NodeId, object, str], bool],
        figures: ClusterFigures,
        calls: CallFigures,
        events: Events,
    ) -> None:
        node = config.node
        self._kv = kv
        self._consensus = consensus
        self._log = events
        self.loop: ControlLoop = ControlLoop(
            node,
            kv,
            figures,
            calls,
            live,
            wall=seams.wall,
            room=self._room,
            base=config.controller,
            make=make_controller,
            work=seams.controller_work,
            events=self._events,
        )
        self._desk = ControlDesk(node, send, self._leader, LeaderWord(self.loop, lambda: config.cluster).answer)
        sight = RowSight(kv, live)
        self.operator: ControllerOperator = ControllerOperator(
            kv, self.loop, self._desk, sight, self._leader, seams.wall
        )

    async def begin(self, nursery: trio.Nursery) -> None:
        """Start the loop and the desk."""
        await nursery.start(self._desk.run)
        await nursery.start(self.loop.run)

    def handlers(self) -> dict[type, Callable[[NodeId, Any, str], None]]:
        """Of its messages."""

        def asked(peer: NodeId, message: ControlQuestion, _: str) -> None:
            self._desk.asked(peer, message)

        def told(peer: NodeId, message: ControlAnswer, _: str) -> None:
            self._desk.told(peer, message)

        return {ControlQuestion: asked, ControlAnswer: told}

    def peer_lost(self, node: NodeId) -> None:
        """The connection to `node` is gone."""
        self._desk.peer_lost(node)

    def _leader(self) -> NodeId | None:
        return self._consensus.status.leader

    def _events(self) -> tuple[RecentEvent, ...]:
        """The newest of the cluster, as a controller sees them."""
        chosen = self._log.select(None, lambda event: event.ordered, EVENTS_SEEN_MAX)
        return tuple(RecentEvent(at=e.at, type=e.type, subject=e.subject, summary=e.summary) for e in chosen.events)

    def _room(self, row: DesiredRow) -> int | None:
        members = tuple(self._kv.rows(keys.MEMBERS))
        duties = duties_of(members, self._kv.rows(keys.DUTIES))
        return room_for(row, fleet_of(members, duties, learners_of(members, lambda: self._consensus.status.voters)))


def make_controller(name: str) -> ClusterController:
    """The controller of that name, made without arguments. Raises NotFound, BadInput."""
    try:
        return cast("ClusterController", load_plugin(CONTROLLERS, name)())
    except AetherError:
        raise
    except Exception as error:
        raise BadInput(f"the controller {name} cannot be made", (f"{type(error).__name__}: {error}",)) from error

"""Peers in one process, without sockets: the Transport contract in virtual time, with faults from a seed.

Knows: the handshake, the clock of trio, one Random.
Never: sockets, wall-clock time, object identity across nodes: every message is encoded and decoded.
Holds: as over TCP, a lane keeps its order, a partition shorter than PEER_SILENT_S only delays, a longer one ends the
       connections, and a killed node is noticed at once.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterable
from typing import Final, NoReturn

import attrs
import trio

from aether.errors import BadInput
from aether.model.ids import ClusterUuid, NodeId
from aether.transport.counters import Counters
from aether.transport.dispatch import Dispatch
from aether.transport.network import Cable, End, Letter, MemoryNetwork
from aether.transport.presence import Direction, Presence
from aether.transport.values import Handlers, TransportStatistics
from aether.wire.lane import Lane
from aether.wire.session import AcceptingSession, Admission, DiallingSession, Hello, Identity, Refused, everyone
from aether.wire.table import MessageTable

_log: Final = logging.getLogger("aether.transport")


@attrs.define(eq=False)
class _Peer:
    node: NodeId
    listed: bool = False
    cable: Cable | None = None
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    complaints: set[str] = attrs.field(factory=set[str])


class MemoryTransport:
    """One node on a MemoryNetwork. A restarted node is a new MemoryTransport with another incarnation."""

    def __init__(
        self,
        identity: Identity,
        network: MemoryNetwork,
        peers: Iterable[NodeId],
        table: MessageTable,
        *,
        admit: Admission = everyone,
    ) -> None:
        self._identity, self._network, self._table, self._admit = identity, network, table, admit
        self._counters = Counters()
        self._peers: dict[NodeId, _Peer] = {}
        self._inbox: list[Letter] = []
        self._arrival = trio.lowlevel.ParkingLot()
        self._nursery: trio.Nursery | None = None
        self._presence = Presence(identity.node, self._counters, self._give_up)
        self.is_running = False
        for node in peers:
            self.set_peer(node)

    @property
    def node(self) -> NodeId:
        return self._identity.node

    # --- for callers ------------------------------------------------------------------------------------------------

    def send(self, to: NodeId, message: object, request_id: str = "") -> bool:
        """As Transport.send. Raises FrameTooLarge."""
        assert to != self.node, f"{to} sends {type(message).__name__} to itself; short-cut it"
        peer = self._peers.get(to)
        cable = peer.cable if peer is not None else None
        if cable is None:
            return False
        lane, payload = self._table.encode(message, request_id)
        while not cable.has_room(lane, payload):
            self._counters.dropped[lane] += 1
            if lane is not Lane.CONSENSUS:
                return False
            cable.take_oldest(lane).is_lost = True
        self._counters.sent_frames[lane] += 1
        self._counters.sent_bytes[lane] += len(payload)
        cable.has_carried = True
        self._network.carry(cable, lane, payload)
        return True

    def connected(self) -> frozenset[NodeId]:
        return self._presence.connected if self.is_running else frozenset()

    def gone(self) -> frozenset[NodeId]:
        """Nobody: in memory there is no host that outlives a node and tells of its end."""
        return frozenset()

    def statistics(self) -> TransportStatistics:
        return self._counters.snapshot()

    def set_peer(self, node: NodeId, address: str = "") -> None:
        """Add a peer; this node itself is ignored. There are no addresses in memory."""
        if node != self.node:
            (self._peers.get(node) or self._add(node)).listed = True

    def remember_peer(self, node: NodeId, address: str) -> None:
        self.set_peer(node)

    def forget_peer(self, node: NodeId) -> None:
        """End the connections to `node` and do not dial it any more. Nothing happens when it is unknown."""
        peer = self._peers.pop(node, None)
        if peer is not None:
            peer.scope.cancel()
            for cable in self._network.cables_of(self, node):
                self._network.cut(cable, "it was removed from the peers")

    def recheck(self) -> None:
        """Nobody shows certificates here."""

    def set_cluster_uuid(self, uuid: str) -> None:
        self._identity = attrs.evolve(self._identity, cluster_uuid=ClusterUuid(uuid))

    async def run(
        self, handlers: Handlers, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        """As Transport.run; the address is "" as there is none."""
        self._presence.handlers = handlers
        self._dispatch = Dispatch(self.node, self._table, handlers, self._counters)
        self._network.enter(self)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for peer in self._peers.values():
                    self._start(peer)
                task_status.started("")
                await self._receive()
        finally:
            self._nursery = None
            self._network.leave(self)

    # --- dialling and accepting -------------------------------------------------------------------------------------

    def _add(self, node: NodeId) -> _Peer:
        peer = self._peers[node] = _Peer(node)
        self._start(peer)
        return peer

    def _start(self, peer: _Peer) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(self._keep_dialled, peer)

    async def _keep_dialled(self, peer: _Peer) -> None:
        failures = 0
        with peer.scope:
            while True:
                cable = self._dial(peer)
                failures = 0 if cable is not None else failures + 1
                if cable is not None:
                    await self._network.wait_cut(cable)
                await self._network.wait_changed(self._network.backoff_s(failures))

    def _dial(self, peer: _Peer) -> Cable | None:
        target = self._network.find(self.node, peer.node) if self.is_running else None
        if target is None:
            return None
        try:
            # One handshake stands for all lanes: they live and die together here.
            theirs = self._shake_hands(target, Hello(self._identity, peer.node, Lane.CONSENSUS))
        except Refused as refused:
            self._counters.refused[refused.code.value] += 1
            if refused.reason not in peer.complaints:
                peer.complaints = {refused.reason}
                _log.error("%s: %s refuses us: %s", self.node, peer.node, refused.reason)
                self._presence.handlers.refused(peer.node, refused)
            return None
        peer.complaints = set()
        cable = peer.cable = self._network.lay(self, target)
        for lane in Lane:
            self._presence.opened((Direction.OUT, lane), theirs)
        target.accept(self._identity)
        return cable

    def _shake_hands(self, target: End, hello: Hello) -> Identity:
        """The same conversation as over TCP, without time passing. Raises Refused."""
        session = DiallingSession(hello)
        welcome = session.feed(target.answer(session.opening()))
        assert welcome is not None, "a reply is whole"
        return welcome.identity

    def answer(self, opening: bytes) -> bytes:
        """What this node says to a peer that dials it."""
        session = AcceptingSession(self._identity, self._presence.live, self._admit)
        try:
            session.feed(opening)
        except Refused as refused:
            self._counters.refused[refused.code.value] += 1
            _log.warning("%s: refused a peer: %s", self.node, refused.reason)
        return session.reply

    def accept(self, identity: Identity) -> None:
        """The peer has read its welcome: its lanes carry messages from now on."""
        if identity.node not in self._peers:
            self._add(identity.node)
        for lane in Lane:
            self._presence.opened((Direction.IN, lane), identity)

    def _give_up(self, node: NodeId) -> None:
        peer = self._peers.get(node)
        if peer is not None and peer.cable is not None:
            peer.cable.has_carried = False  # what it carried is lost with what is being told already
            self._network.cut(peer.cable, "the other direction ended")

    def cable_cut(self, cable: Cable, direction: Direction, reason: str) -> None:
        """One of our connections is no more."""
        peer_node = cable.ends[1] if direction is Direction.OUT else cable.ends[0]
        peer = self._peers.get(peer_node)
        if direction is Direction.OUT and peer is not None and peer.cable is cable:
            peer.cable = None
            for lane in Lane:
                self._counters.dropped[lane] += len(cable.waiting[lane])
        if self.is_running:
            for lane in Lane:
                carried = direction is Direction.OUT and lane is Lane.CONSENSUS and cable.has_carried
                self._presence.closed((direction, lane), peer_node, reason, carried=carried)
            if peer is not None and not peer.listed and not self._presence.has(peer_node, Direction.IN):
                self.forget_peer(peer_node)

    # --- receiving --------------------------------------------------------------------------------------------------

    def post(self, letter: Letter) -> None:
        heapq.heappush(self._inbox, letter)
        self._arrival.unpark_all()

    async def _receive(self) -> NoReturn:
        while True:
            while self._inbox and self._inbox[0].due <= trio.current_time():
                letter = heapq.heappop(self._inbox)
                if letter.cable.is_open and not letter.is_lost:
                    self._arrive(letter)
            with trio.move_on_at(self._inbox[0].due if self._inbox else float("inf")):
                await self._arrival.park()

    def _arrive(self, letter: Letter) -> None:
        cable, lane = letter.cable, letter.lane
        cable.take_oldest(lane)
        try:
            self._dispatch.deliver(cable.source.node, lane, letter.payload)
        except BadInput as error:
            self._counters.closed["malformed"] += 1
            _log.warning("%s: ended the connection from %s: %s", self.node, cable.source.node, error)
            self._network.cut(cable, str(error))

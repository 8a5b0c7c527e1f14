"""Peers in one process, without sockets: the Transport contract in virtual time, with faults from a seed.

Knows: the handshake, the clock of trio, one Random.
Never: sockets, wall-clock time, object identity across nodes: every message is encoded and decoded.
Holds: as over TCP, a lane keeps its order, a partition shorter than PEER_SILENT_S only delays, a longer one ends the
       connections, and a killed node is noticed at once.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import random
from collections import deque
from collections.abc import Iterable
from typing import Final, NoReturn

import attrs
import trio

from aether.errors import BadInput
from aether.model.ids import ClusterUuid, NodeId
from aether.model.limits import (
    OUTBOX_BYTES_MAX,
    OUTBOX_MESSAGES_MAX,
    PEER_SILENT_S,
    RECONNECT_MAX_S,
    RECONNECT_MIN_S,
)
from aether.transport.counters import Counters
from aether.transport.dispatch import Dispatch
from aether.transport.presence import Direction, Presence
from aether.transport.values import Handlers, TransportStatistics
from aether.wire.lane import Lane
from aether.wire.session import AcceptingSession, Admission, DiallingSession, Hello, Identity, Refused, everyone
from aether.wire.table import MessageTable

_log: Final = logging.getLogger("aether.transport")


@attrs.define(order=True)
class _Letter:
    """One message under way. `number` breaks ties, so that equal times keep their order."""

    due: float
    number: int
    cable: _Cable = attrs.field(order=False)
    lane: Lane = attrs.field(order=False)
    payload: bytes = attrs.field(order=False)
    is_lost: bool = attrs.field(default=False, order=False)


@attrs.define(eq=False)
class _Cable:
    """All lanes from one transport to another, while both live."""

    source: MemoryTransport
    target: MemoryTransport
    waiting: tuple[deque[_Letter], ...] = attrs.field(factory=lambda: tuple(deque[_Letter]() for _ in Lane))
    waiting_bytes: list[int] = attrs.field(factory=lambda: [0] * len(Lane))
    last_due: list[float] = attrs.field(factory=lambda: [0.0] * len(Lane))
    is_open: bool = True

    @property
    def ends(self) -> tuple[NodeId, NodeId]:
        return self.source.node, self.target.node

    def has_room(self, lane: Lane, payload: bytes) -> bool:
        full = len(self.waiting[lane]) >= OUTBOX_MESSAGES_MAX
        return not full and self.waiting_bytes[lane] + len(payload) <= OUTBOX_BYTES_MAX

    def take_oldest(self, lane: Lane) -> _Letter:
        letter = self.waiting[lane].popleft()
        self.waiting_bytes[lane] -= len(letter.payload)
        return letter


class MemoryNetwork:
    """What connects the transports of one process. Faults are drawn from `seed`; all may change while it runs."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311  # faults, not secrets
        self._running: dict[NodeId, MemoryTransport] = {}
        self._cables: list[_Cable] = []
        self._blocked: dict[tuple[NodeId, NodeId], float] = {}  # direction -> since when
        self._held: list[_Letter] = []
        self._numbers = itertools.count()
        self._delay_s = (0.0, 0.0)
        self._drop_rates = dict.fromkeys(Lane, 0.0)
        self._changed = trio.lowlevel.ParkingLot()

    # --- faults -----------------------------------------------------------------------------------------------------

    def set_delay(self, min_s: float, max_s: float) -> None:
        """Each message takes between `min_s` and `max_s` from now on; a lane still keeps its order."""
        self._delay_s = (min_s, max_s)

    def set_drop_rate(self, lane: Lane, rate: float) -> None:
        """Lose this share of the messages on `lane`, without a word to anybody."""
        self._drop_rates[lane] = rate

    def partition(self, a: NodeId, b: NodeId, *, one_way: bool = False) -> None:
        """Hold what travels from `a` to `b`, and unless `one_way` the other direction too, until `heal`."""
        for direction in ((a, b),) if one_way else ((a, b), (b, a)):
            self._blocked.setdefault(direction, trio.current_time())
        self._changed.unpark_all()

    def heal(self) -> None:
        """End all partitions. What was held arrives, if its connection still stands."""
        self._blocked.clear()
        held, self._held = self._held, []
        for letter in held:
            self._post(letter)
        self._changed.unpark_all()

    def kill(self, node: NodeId) -> None:
        """End `node` as its peers see it, at once; its `run` idles until cancelled. Nothing happens when unknown."""
        transport = self._running.pop(node, None)
        if transport is not None:
            transport.is_running = False
            for cable in [c for c in self._cables if node in c.ends]:
                self.cut(cable, "it ended the connection")
            self._changed.unpark_all()

    # --- for the transports -----------------------------------------------------------------------------------------

    def enter(self, transport: MemoryTransport) -> None:
        assert transport.node not in self._running, f"{transport.node} runs already on this network"
        self._running[transport.node] = transport
        self._changed.unpark_all()

    def leave(self, transport: MemoryTransport) -> None:
        if self._running.get(transport.node) is transport:
            self.kill(transport.node)

    def find(self, source: NodeId, target: NodeId) -> MemoryTransport | None:
        """The transport of `target`, when it runs and no partition stands between."""
        if (source, target) in self._blocked or (target, source) in self._blocked:
            return None
        return self._running.get(target)

    def lay(self, source: MemoryTransport, target: MemoryTransport) -> _Cable:
        cable = _Cable(source, target)
        self._cables.append(cable)
        return cable

    def cut(self, cable: _Cable, reason: str) -> None:
        """End a connection and tell both ends that still run."""
        if cable.is_open:
            cable.is_open = False
            self._cables.remove(cable)
            self._held = [letter for letter in self._held if letter.cable is not cable]
            cable.source.cable_cut(cable, Direction.OUT, reason)
            cable.target.cable_cut(cable, Direction.IN, reason)
            self._changed.unpark_all()

    def cables_of(self, node: NodeId, peer: NodeId) -> list[_Cable]:
        return [c for c in self._cables if set(c.ends) == {node, peer}]

    async def wait_cut(self, cable: _Cable) -> None:
        """Until `cable` is no more; cuts it when a partition outlasts PEER_SILENT_S."""
        while cable.is_open:
            since = [since for way, since in self._blocked.items() if set(way) == set(cable.ends)]
            deadline = min(since, default=float("inf")) + PEER_SILENT_S
            if trio.current_time() >= deadline:
                self.cut(cable, "it is silent")
                return
            with trio.move_on_at(deadline):
                await self._changed.park()

    async def wait_changed(self, at_most_s: float) -> None:
        with trio.move_on_after(at_most_s):
            await self._changed.park()

    def backoff_s(self, failures: int) -> float:
        longest: float = min(RECONNECT_MAX_S, RECONNECT_MIN_S * 2 ** min(failures, 16))
        return longest * (0.5 + self._random.random() / 2)

    def carry(self, cable: _Cable, lane: Lane, payload: bytes) -> None:
        """Take a message for delivery. The sender has checked that there is room."""
        if self._random.random() < self._drop_rates[lane]:
            return
        due = max(cable.last_due[lane], trio.current_time() + self._random.uniform(*self._delay_s))
        cable.last_due[lane] = due
        letter = _Letter(due, next(self._numbers), cable, lane, payload)
        cable.waiting[lane].append(letter)
        cable.waiting_bytes[lane] += len(payload)
        if cable.ends in self._blocked:
            self._held.append(letter)
        else:
            self._post(letter)

    def _post(self, letter: _Letter) -> None:
        letter.due = max(letter.due, trio.current_time())
        letter.cable.target.post(letter)


@attrs.define(eq=False)
class _Peer:
    node: NodeId
    listed: bool = False
    cable: _Cable | None = None
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
        self._inbox: list[_Letter] = []
        self._arrival = trio.lowlevel.ParkingLot()
        self._nursery: trio.Nursery | None = None
        self._presence = Presence(
            identity.node, Handlers(message={}, connected=_nobody, disconnected=_nobody), self._counters
        )
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
        self._network.carry(cable, lane, payload)
        return True

    def connected(self) -> frozenset[NodeId]:
        return self._presence.connected if self.is_running else frozenset()

    def statistics(self) -> TransportStatistics:
        return self._counters.snapshot()

    def set_peer(self, node: NodeId, address: str = "") -> None:
        """Add a peer; this node itself is ignored. There are no addresses in memory."""
        if node != self.node:
            (self._peers.get(node) or self._add(node)).listed = True

    def forget_peer(self, node: NodeId) -> None:
        """End the connections to `node` and do not dial it any more. Nothing happens when it is unknown."""
        peer = self._peers.pop(node, None)
        if peer is not None:
            peer.scope.cancel()
            for cable in self._network.cables_of(self.node, node):
                self._network.cut(cable, "it was removed from the peers")

    def set_cluster_uuid(self, uuid: str) -> None:
        self._identity = attrs.evolve(self._identity, cluster_uuid=ClusterUuid(uuid))

    async def run(
        self, handlers: Handlers, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        """As Transport.run; the address is "" as there is none."""
        self._handlers = handlers
        self._presence = Presence(self.node, handlers, self._counters)
        self._dispatch = Dispatch(self.node, self._table, handlers, self._counters)
        self._network.enter(self)
        self.is_running = True
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for peer in self._peers.values():
                    self._start(peer)
                task_status.started("")
                await self._receive()
        finally:
            self.is_running = False
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

    def _dial(self, peer: _Peer) -> _Cable | None:
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
                self._handlers.refused(peer.node, refused)
            return None
        peer.complaints = set()
        cable = peer.cable = self._network.lay(self, target)
        for lane in Lane:
            self._presence.opened((Direction.OUT, lane), theirs)
        target.accept(self._identity)
        return cable

    def _shake_hands(self, target: MemoryTransport, hello: Hello) -> Identity:
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

    def cable_cut(self, cable: _Cable, direction: Direction, reason: str) -> None:
        """One of our connections is no more."""
        peer_node = cable.ends[1] if direction is Direction.OUT else cable.ends[0]
        peer = self._peers.get(peer_node)
        if peer is not None and peer.cable is cable:
            peer.cable = None
            for lane in Lane:
                self._counters.dropped[lane] += len(cable.waiting[lane])
        if self.is_running:
            for lane in Lane:
                self._presence.closed((direction, lane), peer_node, reason)
            if peer is not None and not peer.listed and not self._presence.has(peer_node, Direction.IN):
                self.forget_peer(peer_node)

    # --- receiving --------------------------------------------------------------------------------------------------

    def post(self, letter: _Letter) -> None:
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

    def _arrive(self, letter: _Letter) -> None:
        cable, lane = letter.cable, letter.lane
        cable.take_oldest(lane)
        try:
            self._dispatch.deliver(cable.source.node, lane, letter.payload)
        except BadInput as error:
            self._counters.closed["malformed"] += 1
            _log.warning("%s: ended the connection from %s: %s", self.node, cable.source.node, error)
            self._network.cut(cable, str(error))


def _nobody(node: NodeId) -> None:
    """Before `run` there is nobody to tell."""

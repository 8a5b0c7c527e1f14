"""The cables between transports of one process: delay, loss, partition and death, drawn from a seed.

Knows: who runs, which connections stand, what is under way, the clock of trio, one Random.
Never: messages (payloads are bytes), handshakes, sockets.
Holds: as over TCP, a lane keeps its order, a partition shorter than PEER_SILENT_S only delays, a longer one ends the
       connections, and a killed node is noticed at once.
"""

from __future__ import annotations

import itertools
import random
from collections import deque
from typing import Protocol

import attrs
import trio

from aether.model.ids import NodeId
from aether.model.limits import (
    OUTBOX_BYTES_MAX,
    OUTBOX_MESSAGES_MAX,
    PEER_SILENT_S,
    RECONNECT_MAX_S,
    RECONNECT_MIN_S,
)
from aether.transport.presence import Direction
from aether.wire.lane import Lane
from aether.wire.session import Identity


@attrs.define(order=True)
class Letter:
    """One message under way. `number` breaks ties, so that equal times keep their order."""

    due: float
    number: int
    cable: Cable = attrs.field(order=False)
    lane: Lane = attrs.field(order=False)
    payload: bytes = attrs.field(order=False)
    is_lost: bool = attrs.field(default=False, order=False)


@attrs.define(eq=False)
class Cable:
    """All lanes from one transport to another, while both live."""

    source: End
    target: End
    waiting: tuple[deque[Letter], ...] = attrs.field(factory=lambda: tuple(deque[Letter]() for _ in Lane))
    waiting_bytes: list[int] = attrs.field(factory=lambda: [0] * len(Lane))
    last_due: list[float] = attrs.field(factory=lambda: [0.0] * len(Lane))
    is_open: bool = True
    has_carried: bool = False
    changed: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    @property
    def ends(self) -> tuple[NodeId, NodeId]:
        return self.source.node, self.target.node

    def has_room(self, lane: Lane, payload: bytes) -> bool:
        full = len(self.waiting[lane]) >= OUTBOX_MESSAGES_MAX
        return not full and self.waiting_bytes[lane] + len(payload) <= OUTBOX_BYTES_MAX

    def take_oldest(self, lane: Lane) -> Letter:
        letter = self.waiting[lane].popleft()
        self.waiting_bytes[lane] -= len(letter.payload)
        return letter


class End(Protocol):
    """A transport, as the network needs it. `is_running` is set by the network alone."""

    is_running: bool

    @property
    def node(self) -> NodeId: ...

    def answer(self, opening: bytes) -> bytes:
        """What it says to a peer that dials it."""
        ...

    def accept(self, identity: Identity) -> None:
        """The peer has read its welcome: its lanes carry messages from now on."""
        ...

    def post(self, letter: Letter) -> None:
        """Take a letter that is due later."""
        ...

    def cable_cut(self, cable: Cable, direction: Direction, reason: str) -> None:
        """One of its connections is no more."""
        ...


class MemoryNetwork:
    """What connects the transports of one process. Faults are drawn from `seed`; all may change while it runs."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # faults, not secrets
        self._running: dict[NodeId, list[End]] = {}  # several under one id is a fault too: the first answers
        self._cables: dict[End, dict[Cable, None]] = {}  # at both ends of each
        self._blocked: dict[tuple[NodeId, NodeId], float] = {}  # direction -> since when
        self._stalled: dict[NodeId, float] = {}  # since when
        self._slow_s: dict[NodeId, float] = {}
        self._held: list[Letter] = []
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
        self._tell_everybody()

    def heal(self) -> None:
        """End all partitions. What was held arrives, if its connection still stands."""
        self._blocked.clear()
        self._release()

    def stall(self, node: NodeId) -> None:
        """Hold what `node` sends and what is sent to it, until `resume`, as if its process were stopped."""
        self._stalled.setdefault(node, trio.current_time())
        self._tell_everybody()

    def resume(self, node: NodeId) -> None:
        """End what `stall` began; partitions stay."""
        self._stalled.pop(node, None)
        self._release()

    def slow_down(self, node: NodeId, delay_s: float) -> None:
        """Each message from or to `node` takes so much longer from now on; 0 = as others."""
        self._slow_s[node] = delay_s

    def kill(self, node: NodeId) -> None:
        """End `node` as its peers see it, at once; its `run` idles until cancelled. Nothing happens when unknown."""
        for transport in tuple(self._running.get(node, ())):
            self.leave(transport)

    # --- for the transports -----------------------------------------------------------------------------------------

    def enter(self, transport: End) -> None:
        transport.is_running = True
        self._running.setdefault(transport.node, []).append(transport)
        self._changed.unpark_all()

    def leave(self, transport: End) -> None:
        transport.is_running = False
        running = self._running.get(transport.node, [])
        if transport in running:
            running.remove(transport)
            for cable in tuple(self._cables.get(transport, ())):
                self.cut(cable, "it ended the connection")
            self._cables.pop(transport, None)
            self._changed.unpark_all()

    def find(self, source: NodeId, target: NodeId) -> End | None:
        """The transport of `target`, when it runs and no partition stands between."""
        if self._held_since(source, target) is not None or self._held_since(target, source) is not None:
            return None
        return next(iter(self._running.get(target, ())), None)

    def lay(self, source: End, target: End) -> Cable:
        cable = Cable(source, target)
        for end in (source, target):
            self._cables.setdefault(end, {})[cable] = None
        return cable

    def cut(self, cable: Cable, reason: str) -> None:
        """End a connection and tell both ends that still run."""
        if cable.is_open:
            cable.is_open = False
            for end in (cable.source, cable.target):
                del self._cables[end][cable]
            self._held = [letter for letter in self._held if letter.cable is not cable]
            cable.source.cable_cut(cable, Direction.OUT, reason)
            cable.target.cable_cut(cable, Direction.IN, reason)
            cable.changed.unpark_all()

    def cables_of(self, transport: End, peer: NodeId) -> list[Cable]:
        return [cable for cable in self._cables.get(transport, ()) if peer in cable.ends]

    async def wait_cut(self, cable: Cable) -> None:
        """Until `cable` is no more; cuts it when a partition outlasts PEER_SILENT_S."""
        while cable.is_open:
            a, b = cable.ends
            since = [each for each in (self._held_since(a, b), self._held_since(b, a)) if each is not None]
            deadline = min(since, default=float("inf")) + PEER_SILENT_S
            if trio.current_time() >= deadline:
                self.cut(cable, "it is silent")
                return
            with trio.move_on_at(deadline):
                await cable.changed.park()

    async def wait_changed(self, at_most_s: float) -> None:
        with trio.move_on_after(at_most_s):
            await self._changed.park()

    def _held_since(self, source: NodeId, target: NodeId) -> float | None:
        """When messages in this direction began to be held; None: they travel."""
        since = (self._blocked.get((source, target)), self._stalled.get(source), self._stalled.get(target))
        return min((each for each in since if each is not None), default=None)

    def _release(self) -> None:
        """Post what nothing holds any more."""
        held, self._held = self._held, []
        for letter in held:
            if self._held_since(*letter.cable.ends) is None:
                self._post(letter)
            else:
                self._held.append(letter)
        self._tell_everybody()

    def _tell_everybody(self) -> None:
        self._changed.unpark_all()
        for cables in self._cables.values():
            for cable in cables:
                cable.changed.unpark_all()

    def backoff_s(self, failures: int) -> float:
        longest: float = min(RECONNECT_MAX_S, RECONNECT_MIN_S * 2 ** min(failures, 16))
        return longest * (0.5 + self._random.random() / 2)

    def carry(self, cable: Cable, lane: Lane, payload: bytes) -> None:
        """Take a message for delivery. The sender has checked that there is room."""
        if self._random.random() < self._drop_rates[lane]:
            return
        slow_s = sum(self._slow_s.get(node, 0.0) for node in cable.ends)
        due = max(cable.last_due[lane], trio.current_time() + self._random.uniform(*self._delay_s) + slow_s)
        cable.last_due[lane] = due
        letter = Letter(due, next(self._numbers), cable, lane, payload)
        cable.waiting[lane].append(letter)
        cable.waiting_bytes[lane] += len(payload)
        if self._held_since(*cable.ends) is not None:
            self._held.append(letter)
        else:
            self._post(letter)

    def _post(self, letter: Letter) -> None:
        letter.due = max(letter.due, trio.current_time())
        letter.cable.target.post(letter)

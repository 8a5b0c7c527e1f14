"""Real cores in true time, each with a clock of its own: rates that differ, steps, pauses, links that are cut one way.

Everything comes from one seed. Time is true time in seconds; what a node can see of it is `now_s`.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterable, Mapping

from aether.consensus.config import RaftConfig
from aether.consensus.core import RaftCore
from aether.consensus.lease import LeaseClock, lease_s
from aether.consensus.messages import Message
from aether.consensus.values import Role
from aether.errors import AetherError
from aether.model.ids import NodeId
from aether.model.limits import CLOSED_LEADER_GRACE_S, TICK_S
from aether.storage.memory import MemoryStorage

ELECTION_S = 2.0  # the longest election time-out


class Process:
    """One node: its store, its core, and its clock, which reads `rate * true time + stepped_s`."""

    def __init__(self, name: NodeId, make: Callable[[], RaftConfig], rate: float) -> None:
        self.name = name
        self.make = make
        self.rate = rate
        self.stepped_s = 0.0
        self.storage = MemoryStorage()
        self.paused_until = 0.0
        self.incarnation = 0
        self.start(0.0)

    def start(self, true_s: float) -> None:
        config = self.make()
        self.incarnation += 1
        self.core = RaftCore(config, self.storage.load())
        self.lease = LeaseClock(lease_s(config.election_ticks_min, TICK_S))
        self.tick_due_s = self.turn_began_s = self.now_s(true_s)

    def now_s(self, true_s: float) -> float:
        return self.rate * true_s + self.stepped_s


class Clockwork:
    """`cut` holds the links that lose everything, (from, to); what is on its way when one is cut arrives still."""

    def __init__(
        self,
        names: Iterable[str],
        seed: int,
        rates: Mapping[str, float] | None = None,
        *,
        delay_s: tuple[float, float] = (0.0005, 0.01),
        draw: Callable[[str], random.Random] | None = None,
        priorities: Mapping[str, int] | None = None,
        **settings: object,
    ) -> None:
        self.random = random.Random(f"clockwork {seed}")
        self.true_s = 0.0
        self.cut: set[tuple[str, str]] = set()
        self.terms: list[tuple[float, str, int]] = []  # who won when
        self.committed = 0  # by anybody until now
        self.on_turn: Callable[[Process], None] = lambda process: None
        self._delay_s = delay_s
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        voters = tuple(NodeId(name) for name in names)
        self.processes: dict[str, Process] = {}
        for name in voters:
            rng = draw(name) if draw else random.Random(f"{seed} {name}")
            wished = (priorities or {}).get(name, 0)

            def make(name: NodeId = name, rng: random.Random = rng, wished: int = wished) -> RaftConfig:
                return RaftConfig(node=name, voters=voters, random=rng, priority=wished, **settings)

            self.processes[name] = process = Process(name, make, (rates or {}).get(name, 1.0))
            phase = 0.0 if draw else self.random.random()
            process.tick_due_s = phase * TICK_S
            self._schedule_tick(process)

    # --- time ---------------------------------------------------------------------------------------------------------

    def at(self, true_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (max(true_s, self.true_s), next(self._order), action))

    def run(self, seconds: float) -> None:
        until = self.true_s + seconds
        while self._events and self._events[0][0] <= until:
            self.true_s, _, action = heapq.heappop(self._events)
            action()
        self.true_s = until

    def _schedule_tick(self, process: Process) -> None:
        self.at((process.tick_due_s - process.stepped_s) / process.rate, lambda: self._tick(process))

    def _tick(self, process: Process) -> None:
        """As the service does: on a grid, and what was missed is skipped."""
        if self.true_s < process.paused_until:
            self.at(process.paused_until, lambda: self._tick(process))
            return
        missed = math.floor((process.now_s(self.true_s) - process.tick_due_s) / TICK_S)
        process.tick_due_s += (max(0, missed) + 1) * TICK_S
        self._schedule_tick(process)
        self.turn(process, lambda core: core.tick())

    # --- one node -----------------------------------------------------------------------------------------------------

    def turn(self, process: Process, act: Callable[[RaftCore], None]) -> None:
        """One turn of a service's loop."""
        core = process.core
        process.lease.note(core.term, core.begun_round, process.turn_began_s)
        process.turn_began_s = process.now_s(self.true_s)
        led = core.role is Role.LEADER
        act(core)
        while (ready := core.ready()) is not None:
            for to, message in ready.messages:
                self._send(process.name, to, message)
            if ready.write is not None:
                process.storage.write([ready.write])
                core.persisted(ready.write.number)
            if ready.committed:
                core.applied(ready.committed[-1].index)
        core.check()
        self.committed = max(self.committed, core.commit_index)
        if core.role is Role.LEADER and not led:
            self.terms.append((self.true_s, process.name, core.term))
        self.on_turn(process)

    def _send(self, sender: str, to: str, message: Message) -> None:
        if (sender, to) not in self.cut:
            self.at(self.true_s + self.random.uniform(*self._delay_s), lambda: self._deliver(sender, to, message))

    def _deliver(self, sender: str, to: str, message: Message) -> None:
        process = self.processes[to]
        if self.true_s < process.paused_until:
            self.at(process.paused_until, lambda: self._deliver(sender, to, message))
        else:
            self.turn(process, lambda core: core.step(NodeId(sender), message))

    # --- faults -------------------------------------------------------------------------------------------------------

    def pause(self, name: str, seconds: float) -> None:
        self.processes[name].paused_until = self.true_s + seconds

    def restart(self, name: str) -> None:
        """At once; its peers see its connections close. The tick that is due already is the first of its new life."""
        self.processes[name].start(self.true_s)
        self.closed(name)

    def closed(self, name: str) -> None:
        """The connections of `name` are gone for the time of grace, though it may live."""
        for peer in self.processes.values():
            if peer.name != name:
                self.at(self.true_s + CLOSED_LEADER_GRACE_S, self._closing(peer, name))

    def _closing(self, peer: Process, name: str) -> Callable[[], None]:
        def tell() -> None:
            if self.true_s < peer.paused_until:
                self.at(peer.paused_until, tell)
            else:
                self.turn(peer, lambda core: core.peer_closed(NodeId(name)))

        return tell

    def keep_links(self, *links: str) -> None:
        """Only these: "ab" both ways, "a>b" one way."""
        kept = {(link[0], link[-1]) for link in links} | {(link[1], link[0]) for link in links if len(link) == 2}
        names = list(self.processes)
        self.cut = {(a, b) for a in names for b in names if a != b} - kept

    # --- work ---------------------------------------------------------------------------------------------------------

    @property
    def leaders(self) -> list[str]:
        return [name for name, process in self.processes.items() if process.core.role is Role.LEADER]

    def propose(self, name: str) -> bool:
        accepted = False

        def act(core: RaftCore) -> None:
            nonlocal accepted
            try:
                core.propose([b"x"])
                accepted = True
            except AetherError:
                accepted = False

        self.turn(self.processes[name], act)
        return accepted

    def write_everywhere(self, every_s: float) -> None:
        """Whoever believes to lead is given something to commit, again and again."""

        def act() -> None:
            for name in self.leaders:
                if self.true_s >= self.processes[name].paused_until:
                    self.propose(name)
            self.at(self.true_s + every_s, act)

        self.at(self.true_s, act)

    def leads_a_quorum(self) -> str | None:
        """Who commits what it is given now, within a second; it may change meanwhile."""
        before = self.committed
        for name in self.leaders:
            self.propose(name)
        self.run(1.0)
        ours = [name for name in self.leaders if self.processes[name].core.commit_index > before]
        return ours[-1] if ours else None

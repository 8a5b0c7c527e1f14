"""One simulated cluster: one loop, one heap of events, all randomness from one seed.

Knows: virtual microseconds; nodes, clients, network, disks; the order of the phases: safety, liveness, audit.
Never: a real clock, a thread, an order that depends on hashes.
Holds: the same seed gives the same events; after each the oracle has looked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from aether.consensus.config import RaftConfig
from aether.consensus.entry import Entry
from aether.consensus.messages import Message
from aether.consensus.quorum import Configuration
from aether.consensus.spelling import MESSAGES
from aether.consensus.values import Ready, Role
from aether.model.ids import NodeId
from aether.model.limits import WORKERS_SERVED_BY_LEADER_MAX
from aether.testing.simulation.atlas import Atlas
from aether.testing.simulation.chaos import Chaos
from aether.testing.simulation.clients import Clients
from aether.testing.simulation.clock import Clock
from aether.testing.simulation.disk import Disk, Snapshot
from aether.testing.simulation.faults import TICK_US, Faults, stream
from aether.testing.simulation.history import History
from aether.testing.simulation.liveness import Liveness
from aether.testing.simulation.loop import Loop
from aether.testing.simulation.machine import Answer
from aether.testing.simulation.network import Network
from aether.testing.simulation.node import MakeCore, MakeMachine, Node
from aether.testing.simulation.oracle import Oracle
from aether.testing.simulation.readers import Readers
from aether.testing.simulation.schedule import Schedule
from aether.testing.simulation.site import Site
from aether.testing.simulation.storing import Storing

_LATE_US = 10 * TICK_US  # a clock that was set back stops ticks for no longer
_CODECS = {cls: (encode, decode) for cls, encode, decode in MESSAGES.values()}


class World:
    """The cluster of one seed. `run_events`: faults rage. `heal`: a core is healed and must recover; then the audit."""

    def __init__(
        self, seed: int, faults: Faults, make_core: MakeCore, make_machine: MakeMachine, schedule: Schedule
    ) -> None:
        self.loop: Loop = Loop()
        names = [NodeId(f"n{i}") for i in range(1, faults.nodes + faults.spares + 1)]
        founders = names[: faults.nodes]
        clocks = stream(seed, "clocks")
        nodes = {
            name: Node(
                self._config_maker(seed, faults, name, founders if name in founders else ()),
                make_core,
                make_machine,
                Disk(faults.sector_bytes),
                Clock(1 + clocks.uniform(-1, 1) * faults.drift),
                faults.snapshot_every,
            )
            for name in names
        }
        self.site: Site = Site(
            seed=seed,
            faults=faults,
            loop=self.loop,
            schedule=schedule,
            nodes=nodes,
            network=Network(self.loop, names, faults, seed, schedule, self._deliver),
            atlas=Atlas(lambda: [h for n in nodes.values() for h in n.halves()]),
        )
        self.oracle: Oracle = Oracle(nodes, Configuration(tuple(founders)))
        self._history = History()
        self.chaos: Chaos = Chaos(self.site, self.start, self.turn)
        self._storing = Storing(self.site, self.oracle, self.turn, self.chaos.crash)
        self.readers: Readers = Readers(self.site, self.turn, self._history, lambda: len(self.oracle.committed))
        self.clients: Clients = Clients(self.site, self.turn, self._history, self.readers.told)
        self._ticks = stream(seed, "ticks")
        for node in nodes.values():
            self.start(node)
        self.clients.begin()
        self.readers.begin()
        self.chaos.begin()

    @staticmethod
    def _config_maker(seed: int, faults: Faults, name: NodeId, voters: Sequence[NodeId]) -> Callable[[], RaftConfig]:
        rng = stream(seed, f"elections {name}")
        return lambda: RaftConfig(
            node=name,
            voters=tuple(voters),
            random=rng,
            append_bytes_max=faults.append_bytes_max,
            inflight_appends_max=faults.inflight_appends_max,
            uncommitted_bytes_max=faults.uncommitted_bytes_max,
            reads_pending_max=faults.reads_pending_max,
            lease_reads=faults.lease_reads,
            snapshot_chunk_bytes=faults.snapshot_chunk_bytes,
            snapshot_window=2,
            election_ticks_min=faults.election_ticks_min,
            election_ticks_max=faults.election_ticks_max,
            entries_kept=faults.entries_kept,
            apply_bytes_max=faults.apply_bytes_max,
            held_bytes_max=2_000,
            workers_direct_max=stream(seed, "workers").choice((1, WORKERS_SERVED_BY_LEADER_MAX)),
        )

    # --- phases -------------------------------------------------------------------------------------------------------

    def run_events(self, count: int) -> None:
        """Safety: carry out `count` events under faults."""
        while self.loop.events < count:
            self.loop.next()

    def heal(self) -> None:
        """Liveness: heal a core; it must elect, answer and agree, in bounded time. Then audit what was promised."""
        liveness = Liveness(self.site, self.oracle, self.clients, self.readers)
        liveness.choose_core()
        for name in sorted(self.site.core):
            node = self.site.nodes[name]
            if node.core is None:
                self.start(node)
            self._storing.resume(node)
        self.clients.serve_once_more()
        self.readers.serve_once_more()
        liveness.run()
        self.clients.close_history()
        self._history.audit()

    # --- nodes --------------------------------------------------------------------------------------------------------

    def start(self, node: Node) -> None:
        """Begin an incarnation from the disk, or refuse to."""
        if node.is_removed:
            return
        expected = node.disk.expected()
        found = node.start()
        if found is None:
            self.oracle.refused(node)
            self.loop.counts["refused"] += 1
            self.loop.note("refuse", node.name, detail=node.refused)
            return
        self.oracle.restarted(node, found, expected)
        self.loop.counts["starts"] += 1
        due_us = node.clock.local_us(self.loop.now_us) + self._ticks.randrange(TICK_US)
        self._plan_tick(node, node.incarnation, due_us)
        self.turn(node, lambda: None, "start")

    def _plan_tick(self, node: Node, incarnation: int, due_local_us: int) -> None:
        """Ticks come on a fixed grid of the node's own clock; what a late turn missed is skipped."""
        wait_us = node.clock.until_us(due_local_us, self.loop.now_us)
        self.loop.later(min(wait_us, _LATE_US), partial(self._tick, node, incarnation, due_local_us))

    def _tick(self, node: Node, incarnation: int, due_local_us: int) -> None:
        if node.core is None or node.incarnation != incarnation:
            return
        if self._postponed(node, partial(self._tick, node, incarnation, due_local_us)):
            return
        local_us = node.clock.local_us(self.loop.now_us)
        missed = max(0, local_us - due_local_us) // TICK_US
        due_local_us += (missed + 1) * TICK_US
        self._plan_tick(node, incarnation, min(due_local_us, local_us + _LATE_US))
        self.turn(node, partial(node.tick, self.loop.now_us), "tick")

    def turn(self, node: Node, act: Callable[[], None], event: str, peer: str = "", detail: object = "") -> None:
        """Note it, do it, carry out what the core wants, and let the oracle look."""
        happened = self.loop.note(event, node.name, peer, detail)
        node.begin_turn(self.loop.now_us)
        act()
        node.carry_out(self)
        happened.state = self.oracle.observe(node)
        self._storing.look(node)
        self.readers.applied(node)
        core = node.running
        if core.role is not node.role:
            node.role = core.role
            if core.role is Role.LEADER:
                self.chaos.hunt(node, core.term)
        if node.is_removed:
            node.crash(self._ticks, torn=False, scattered=False)
            self.loop.note("removed", node.name)

    def _postponed(self, node: Node, again: Callable[[], None]) -> bool:
        """Whether the node is paused, and `again` comes when it goes on."""
        if self.loop.now_us >= node.paused_until_us:
            return False
        self.loop.later(node.paused_until_us - self.loop.now_us, again)
        return True

    def _deliver(self, sender: NodeId, to: NodeId, message: Message) -> None:
        node = self.site.nodes[to]
        if node.core is None or self._postponed(node, partial(self._deliver, sender, to, message)):
            return
        encode, decode = _CODECS[type(message)]
        self.turn(node, partial(node.step, sender, decode(encode(message))), "deliver", sender, message)

    # --- what nodes tell while they carry out -------------------------------------------------------------------------

    def writes(self, node: Node, entries: Sequence[Entry]) -> None:
        self.oracle.writes(node, entries)

    def sends(self, node: Node, to: NodeId, message: Message) -> None:
        self.oracle.sends(node, to, message)
        self.site.network.send(node.name, to, message)

    def answers_reads(self, node: Node, ready: Ready) -> None:
        self.readers.take(node, ready)

    def restores(self, node: Node, snapshot: Snapshot) -> None:
        self.loop.counts["restores"] += 1
        self.oracle.restores(node, snapshot)

    def saves(self, snapshot: Snapshot) -> None:
        self.loop.counts["snapshots"] += 1
        self.oracle.saves(snapshot)

    def applies(self, node: Node, ready: Ready, answers: Sequence[Answer]) -> None:
        self.loop.counts["applied"] += len(ready.committed)
        self.oracle.applied(node.name, node.machine)
        for answer in answers:
            self.clients.applied(answer)

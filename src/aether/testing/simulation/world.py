"""One simulated cluster: one loop, one heap of events, all randomness from one seed.

Knows: virtual microseconds; nodes, clients, the network between them, the faults of this run.
Never: a real clock, a thread, an order that depends on hashes.
Holds: the same seed gives the same events; after each the oracle has looked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from aether.consensus.config import RaftConfig
from aether.consensus.core import RaftCore
from aether.consensus.messages import AppendEntries, Message, SnapshotChunk
from aether.consensus.spelling import MESSAGES
from aether.consensus.values import Ready, Role, StorageWrite
from aether.errors import NotLeader, Overloaded
from aether.model.ids import NodeId
from aether.testing.simulation.chaos import Chaos
from aether.testing.simulation.clients import Client, audit_order
from aether.testing.simulation.disk import LocalSnapshot
from aether.testing.simulation.faults import MILLISECOND, SECOND, Faults, stream
from aether.testing.simulation.loop import Loop
from aether.testing.simulation.node import MakeCore, MakeMachine, Node, log_of
from aether.testing.simulation.oracle import Oracle
from aether.testing.simulation.readers import Readers

_TICK_US = 100 * MILLISECOND
_HEAL_US = 60 * SECOND  # many election time-outs: after healing everything must be well by then

_CODECS = {cls: (encode, decode) for cls, encode, decode in MESSAGES.values()}


class World:
    """The cluster of one seed. `run_events`: faults rage. `heal`: they end, and the cluster must recover."""

    def __init__(self, seed: int, faults: Faults, make_core: MakeCore, make_machine: MakeMachine) -> None:
        self.faults = faults
        self.loop: Loop = Loop()
        self._seed = seed
        self._rng = {purpose: stream(seed, purpose) for purpose in ("network", "disk", "clients", "ticks")}
        names = [NodeId(f"n{i}") for i in range(1, faults.nodes + 1)]
        self._nodes = {name: Node(self._config_maker(name, names), make_core, make_machine) for name in names}
        self._oracle = Oracle({name: node.disk for name, node in self._nodes.items()})
        self._clients = [Client(i + 1, names, stream(seed, f"client {i}")) for i in range(faults.clients)]
        ticks = self._rng["ticks"]
        self._tick_us = {name: round(_TICK_US * (1 + ticks.uniform(-1, 1) * faults.drift)) for name in names}
        self._chaos = Chaos(self.loop, self._nodes, faults, stream(seed, "chaos"), self._start, self._drive)
        self._readers = Readers(
            self.loop,
            self._nodes,
            faults,
            stream(seed, "readers"),
            lambda: self._oracle.committed_index,
            self._drive,
        )
        for node in self._nodes.values():
            self._start(node)
        for client in self._clients:
            self.loop.later(self._rng["clients"].randrange(SECOND), partial(self._client_turn, client))
        self._readers.begin()
        self._chaos.begin()

    def _config_maker(self, name: NodeId, names: Sequence[NodeId]) -> Callable[[], RaftConfig]:
        faults = self.faults
        rng = stream(self._seed, f"elections {name}")
        return lambda: RaftConfig(
            node=name,
            voters=tuple(names),
            random=rng,
            append_bytes_max=faults.append_bytes_max,
            inflight_appends_max=faults.inflight_appends_max,
            snapshot_chunk_bytes=faults.snapshot_chunk_bytes,
            snapshot_window=2,
            election_ticks_min=faults.election_ticks_min,
            election_ticks_max=faults.election_ticks_max,
            entries_kept=faults.entries_kept,
            apply_bytes_max=faults.apply_bytes_max,
            held_bytes_max=2_000,
        )

    def run_events(self, count: int) -> None:
        """Carry out `count` events under faults."""
        for _ in range(count):
            self.loop.next()

    # --- nodes --------------------------------------------------------------------------------------------------------

    def _start(self, node: Node) -> None:
        core = node.start()
        self._oracle.restarted(node.name)
        self.loop.counts["starts"] += 1
        self.loop.note(f"start {node.name} term={core.term} last={core.last_index} commit={core.commit_index}")
        self.loop.later(self._rng["ticks"].randrange(_TICK_US), lambda: self._tick(node, node.incarnation))
        self._drive(node)

    def _tick(self, node: Node, incarnation: int) -> None:
        if node.core is None or node.incarnation != incarnation:
            return
        if self.loop.now_us < node.paused_until_us:
            self.loop.later(node.paused_until_us - self.loop.now_us, lambda: self._tick(node, incarnation))
            return
        self.loop.later(self._tick_us[node.name], lambda: self._tick(node, incarnation))
        node.core.tick()
        self._drive(node)

    def _drive(self, node: Node) -> None:
        """Carry out what the core wants, as its service would, and let the oracle look."""
        core = node.core
        assert core is not None
        log = log_of(core)
        while (ready := core.ready()) is not None:
            self._carry_out(node, core, ready)
        self._oracle.observe(core, log)
        if core.role is not node.role:
            node.role = core.role
            self.loop.note(f"role {node.name} {core.role} term={core.term}")
            if core.role is Role.LEADER:
                self._chaos.hunt(node)

    def _carry_out(self, node: Node, core: RaftCore, ready: Ready) -> None:
        if ready.write is not None:
            self._oracle.writes(core, log_of(core), ready.write.entries)
            self._enqueue(node, ready.write)
        for to, message in ready.messages:
            self._oracle.sends(node.name, to, message)
            self._send(node.name, to, message)
        self._readers.take(node, ready)
        if ready.restore is not None or ready.committed:
            answers = node.apply(ready)
            self.loop.counts["applied"] += len(ready.committed)
            self.loop.counts["restores"] += ready.restore is not None
            self._oracle.applied(node.name, node.machine)
            for session, request, answer in answers:
                self._answer(session, request, answer)
            self._oracle.executed_once(node.name, node.machine)
            if node.take_snapshot(self.faults.snapshot_every):
                self.loop.counts["snapshots"] += 1
                self._sync(node)
        self._readers.applied(node)

    # --- disk ---------------------------------------------------------------------------------------------------------

    def _enqueue(self, node: Node, write: StorageWrite) -> None:
        node.disk.queue.append(write)
        self._sync(node)

    def _sync(self, node: Node) -> None:
        """Start a sync of all that is queued, unless one is under way: its end starts the next (group commit)."""
        if node.syncing or not node.disk.queue:
            return
        node.syncing = len(node.disk.queue)
        rng, faults = self._rng["disk"], self.faults
        delay_us = rng.randrange(faults.disk_us)
        if not self.loop.healed and rng.random() < faults.disk_stall:
            delay_us += rng.randrange(faults.disk_stall_us)
        incarnation = node.incarnation
        self.loop.later(delay_us, lambda: self._synced(node, incarnation))

    def _synced(self, node: Node, incarnation: int) -> None:
        core = node.core
        if core is None or node.incarnation != incarnation:
            return
        if self.loop.now_us < node.paused_until_us:
            self.loop.later(node.paused_until_us - self.loop.now_us, lambda: self._synced(node, incarnation))
            return
        jobs = node.disk.persist(node.syncing)
        node.syncing = 0
        self._oracle.persists(node.name)
        for job in jobs:
            if isinstance(job, LocalSnapshot):
                core.compacted(job.snapshot)
            else:
                core.persisted(job.number)
        self.loop.note(f"durable {node.name} last={node.disk.last_index} term={node.disk.hard.term}")
        self._sync(node)
        self._drive(node)

    # --- network ------------------------------------------------------------------------------------------------------

    def _send(self, sender: NodeId, to: NodeId, message: Message) -> None:
        rng, faults = self._rng["network"], self.faults
        self.loop.counts["messages"] += 1
        if (sender, to) in self._chaos.blocked or (not self.loop.healed and rng.random() < faults.loss):
            self.loop.counts["lost"] += 1
            return
        copies = 2 if not self.loop.healed and rng.random() < faults.duplication else 1
        for _ in range(copies):
            delay_us = rng.randrange(1, faults.delay_us)
            if not self.loop.healed and rng.random() < faults.slow:
                delay_us += rng.randrange(faults.slow_delay_us)
            self.loop.later(delay_us, lambda: self._deliver(sender, to, message))

    def _deliver(self, sender: NodeId, to: NodeId, message: Message) -> None:
        node = self._nodes[to]
        if node.core is None:
            return
        if self.loop.now_us < node.paused_until_us:
            self.loop.later(node.paused_until_us - self.loop.now_us, lambda: self._deliver(sender, to, message))
            return
        encode, decode = _CODECS[type(message)]
        self.loop.note(f"{sender}>{to} {_describe(message)}")
        node.core.step(sender, decode(encode(message)))
        self._drive(node)

    # --- clients ------------------------------------------------------------------------------------------------------

    def _client_turn(self, client: Client) -> None:
        """Ask anew, or repeat what was not answered in time. Also the clients' time-out."""
        rng = self._rng["clients"]
        if client.answered:
            if self.loop.healed:
                return
            client.next_request(self.loop.now_us)
            client.tries = 0
        else:
            client.give_up_target()
            client.tries += 1
            self.loop.counts["repeats"] += 1
        self._ask(client)
        patience_us = min(self.faults.request_us << min(client.tries, 10), 2 * SECOND)
        self.loop.later(patience_us + rng.randrange(patience_us), lambda: self._client_turn(client))

    def _ask(self, client: Client) -> None:
        target, command = client.ask()
        node = self._nodes[target]
        core = node.core
        if core is None or self.loop.now_us < node.paused_until_us:
            return
        try:
            core.propose([command])
        except NotLeader as refusal:
            if refusal.leader:
                client.redirect(NodeId(refusal.leader))
                self.loop.later(
                    self._rng["clients"].randrange(1, self.faults.delay_us), partial(self._ask_again, client)
                )
        except Overloaded:
            self.loop.counts["overloaded"] += 1
        else:
            self.loop.counts["proposals"] += 1
            self.loop.note(f"propose {target} {command.decode()}")
            self._drive(node)

    def _answer(self, session: int, request: int, answer: int) -> None:
        """A node that applied a command tells the client, who hears it late or not at all."""
        rng = self._rng["clients"]
        if not self.loop.healed and rng.random() < self.faults.loss:
            return
        client = self._clients[session - 1]
        self.loop.later(rng.randrange(1, self.faults.delay_us), lambda: self._answered(client, request, answer))

    def _answered(self, client: Client, request: int, answer: int) -> None:
        if client.answer(request, answer, self.loop.now_us):
            self._readers.acknowledged(client.key, answer)
            self.loop.later(self._rng["clients"].randrange(self.faults.think_us), partial(self._ask_anew, client))

    def _ask_again(self, client: Client) -> None:
        if not client.answered and client.redirects <= len(self._nodes):
            self._ask(client)

    def _ask_anew(self, client: Client) -> None:
        if client.answered and not self.loop.healed:
            client.next_request(self.loop.now_us)
            self._ask(client)

    # --- the end ------------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """End all faults; assert that the cluster elects, answers every client and agrees, in bounded time."""
        self.loop.healed = True
        self.loop.note("heal")
        self._chaos.heal()
        deadline_us = self.loop.now_us + _HEAL_US
        while not self._is_well():
            assert self.loop.now_us < deadline_us, (
                f"Liveness: not well {_HEAL_US // SECOND} s after healing: {self._state()}"
            )
            self.loop.next()
        self.loop.counts["healed_ms"] = (self.loop.now_us - deadline_us + _HEAL_US) // MILLISECOND
        self._audit()

    def _is_well(self) -> bool:
        if not (self._readers.answered and all(client.answered for client in self._clients)):
            return False
        cores = [node.core for node in self._nodes.values() if node.core is not None]
        return (
            len(cores) == len(self._nodes)
            and sum(core.role is Role.LEADER for core in cores) == 1
            and len({core.applied_index for core in cores}) == 1
            and all(core.applied_index == core.last_index for core in cores)
        )

    def _state(self) -> str:
        cores = [node.core for node in self._nodes.values() if node.core is not None]
        nodes = [f"{c.node} {c.role} term={c.term} applied={c.applied_index} last={c.last_index}" for c in cores]
        return "; ".join(nodes) + f"; clients waiting {sum(not client.answered for client in self._clients)}"

    def _audit(self) -> None:
        for node in self._nodes.values():
            for client in self._clients:
                client.audit(node.machine)
        audit_order(self._clients)
        self.loop.counts["acknowledged"] = sum(len(client.acknowledged) for client in self._clients)
        self.loop.counts["terms"] = max(self._oracle.leaders, default=0)
        self.loop.counts["leaders"] = len(self._oracle.leaders)


def _describe(message: Message) -> str:
    """One word and the numbers of a message."""
    match message:
        case AppendEntries():
            return (
                f"AppendEntries term={message.term} prev={message.prev_index}/{message.prev_term} "
                f"commit={message.commit_index} entries={len(message.entries)}"
            )
        case SnapshotChunk():
            return f"SnapshotChunk term={message.term} index={message.index} offset={message.offset}"
        case _:
            encode, _ = _CODECS[type(message)]
            return f"{type(message).__name__} {' '.join(map(str, encode(message)))}"

"""One simulated node: a core with its disk, clock and state machine, and what its process would hold in memory.

Knows: how a service drives a core: the write queue, group commit, snapshots, muting. All calls of the core are here.
Never: other nodes, which faults happen, when a disk is done.
Holds: one incarnation at a time; what a crash loses and what a restart finds.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from aether.consensus.config import RaftConfig
from aether.consensus.core import RaftCore
from aether.consensus.entry import Entry
from aether.consensus.lease import LeaseClock, lease_s
from aether.consensus.membership import MembershipChange
from aether.consensus.messages import Message
from aether.consensus.quorum import Configuration
from aether.consensus.values import HardState, Persisted, Ready, Role, StorageWrite, StoredSnapshot
from aether.consensus.write_queue import WriteQueue
from aether.errors import NotLeader, StorageCorrupt
from aether.model.ids import LogIndex, NodeId
from aether.testing.simulation.clock import Clock
from aether.testing.simulation.disk import Disk, Snapshot
from aether.testing.simulation.faults import SECOND, TICK_US
from aether.testing.simulation.machine import Answer, SessionMachine

MakeCore = Callable[[RaftConfig, Persisted], RaftCore]
MakeMachine = Callable[[], SessionMachine]
FOR_EVER_US = 2**60


class Surroundings(Protocol):
    """What a node tells the world while it carries out a Ready."""

    def writes(self, node: Node, entries: Sequence[Entry]) -> None:
        """Entries go to the disk's queue."""
        ...

    def sends(self, node: Node, to: NodeId, message: Message) -> None: ...

    def answers_reads(self, node: Node, ready: Ready) -> None:
        """`ready.reads` and `ready.reads_refused` are answers for those who asked here."""
        ...

    def restores(self, node: Node, snapshot: Snapshot) -> None:
        """The state machine is about to take it."""
        ...

    def saves(self, snapshot: Snapshot) -> None:
        """The state machine was frozen."""
        ...

    def applies(self, node: Node, ready: Ready, answers: Sequence[Answer]) -> None:
        """`answers` are for the clients."""
        ...


class Node:
    """core      None while the node is down
    incarnation  counts the starts: events of an older one are void
    refused      why it did not start: its disk is damaged; "" otherwise
    batch        what the disk is writing now; disk_stands  and never ends
    saving       the snapshot that is being saved
    configuration  in force here, or when it stopped; is_spare  it was never a member; is_removed  it is one no more
    """

    def __init__(
        self,
        make_config: Callable[[], RaftConfig],
        make_core: MakeCore,
        make_machine: MakeMachine,
        disk: Disk,
        clock: Clock,
        snapshot_every: int,
    ) -> None:
        self._make_config = make_config
        self._make_core = make_core
        self._make_machine = make_machine
        self.config: RaftConfig = make_config()
        self.name: NodeId = self.config.node
        self.disk: Disk = disk
        self.clock: Clock = clock
        self.core: RaftCore | None = None
        self.machine: SessionMachine = make_machine()
        self.incarnation: int = 0
        self.refused: str = ""
        self.paused_until_us: int = 0
        self.role: Role = Role.FOLLOWER  # as noted last
        self.batch: list[StorageWrite] = []
        self.disk_stands: bool = False
        self.full_until_us: int = 0
        self.saving: Snapshot | None = None
        self._queue = WriteQueue(HardState())
        self._frozen: tuple[Snapshot, int] | None = None  # and the write that has to be durable before it
        self._travelling: dict[StoredSnapshot, bytes] = {}  # held fast while they are sent
        self._snapshot_every = snapshot_every
        self._snapshot_at = LogIndex(0)
        self._muted = False
        self.configuration: Configuration = Configuration(self.config.voters)
        self.is_spare: bool = not self.config.voters
        self.is_removed: bool = False
        self._is_member = not self.is_spare

    # --- life and death -----------------------------------------------------------------------------------------------

    def start(self) -> Persisted | None:
        """Begin a new incarnation from the disk; gives what was found there, None when the node refuses it."""
        try:
            persisted = self.disk.load()
        except StorageCorrupt as error:
            self.refused = str(error)
            return None
        self.incarnation += 1
        self.role = Role.FOLLOWER
        self.machine = self._make_machine()
        if persisted.snapshot is not None:
            self.machine.restore(self._content(persisted.snapshot))
        self._snapshot_at = self.disk.snapshot_index
        self._queue = WriteQueue(persisted.hard_state)
        self._muted = False
        self.core = self._make_core(self._make_config(), persisted)
        self._lease = LeaseClock(lease_s(self.config.election_ticks_min, TICK_US / SECOND))
        self._turn_began_s = 0.0
        return persisted

    def crash(self, rng: random.Random, *, torn: bool, scattered: bool) -> int:
        """Lose everything but the disk; gives how many writes under way were lost."""
        lost = self.disk.tear(self.batch, rng, torn=torn, scattered=scattered)
        if self.saving is not None and rng.random() < 0.5:
            self.disk.tear_save(self.saving)
        self.core = self.saving = self._frozen = None
        self._travelling.clear()
        self.batch = []
        return lost

    @property
    def is_silent_leader(self) -> bool:
        """Whether it leads and must not be heard, because its disk stands still."""
        return self._muted and self.core is not None and self.core.role is Role.LEADER

    def halves(self) -> tuple[tuple[NodeId, ...], ...]:
        """The sets of voters whose majorities its configuration asks for."""
        return tuple(half for half in (self.configuration.voters, self.configuration.outgoing) if half)

    # --- inputs: the core of a running node ---------------------------------------------------------------------------

    @property
    def running(self) -> RaftCore:
        """The core, of a node that is known to run."""
        assert self.core is not None
        return self.core

    def tick(self, now_us: int) -> None:
        self.running.tick()
        self._muted = self._queue.is_stalled(now_us / SECOND, self.config.election_ticks_max * TICK_US / SECOND)

    def step(self, sender: NodeId, message: Message) -> None:
        self.running.step(sender, message)

    def propose(self, command: bytes) -> None:
        """Raises NotLeader, Overloaded."""
        if self.is_silent_leader:
            raise NotLeader(self.name, None)
        self.running.propose([command])

    def begin_turn(self, now_us: int) -> None:
        """As a service does: rounds of heartbeats that are news began in the last turn, and not before it did."""
        self._lease.note(self.running.term, self.running.begun_round, self._turn_began_s)
        self._turn_began_s = self.clock.local_us(now_us) / SECOND

    def leased_index(self, now_us: int) -> LogIndex | None:
        """What to read at without asking anybody; None without a lease."""
        core = self.running
        holds = self._lease.holds(core.term, core.leased_round, self.clock.local_us(now_us) / SECOND)
        return core.commit_index if holds else None

    def read_index(self, context: int) -> None:
        """Raises NotLeader, Overloaded."""
        self.running.read_index(context)

    def transfer(self, to: NodeId) -> None:
        self.running.transfer(to)

    def change_members(self, change: Mapping[str, tuple[NodeId, ...]]) -> None:
        """Raises NotLeader, Conflict, BadInput."""
        core = self.running
        core.propose_change(MembershipChange(**change), core.configuration_index)

    def peer_closed(self, peer: NodeId) -> None:
        self.running.peer_closed(peer)

    # --- the disk -----------------------------------------------------------------------------------------------------

    @property
    def wants_to_write(self) -> bool:
        """Whether the disk is idle and has something to do."""
        return self._queue.has_work

    def begin_write(self, now_us: int) -> None:
        """One group commit of all that has queued."""
        self.batch = self._queue.take(now_us / SECOND)

    def end_write(self) -> None:
        """The batch is durable."""
        batch, self.batch = self.batch, []
        self.disk.write(batch)
        self._queue.done(batch)
        self.running.persisted(self._queue.acknowledged)

    def no_space(self) -> None:
        """The batch found no space: it comes first the next time."""
        batch, self.batch = self.batch, []
        self._queue.put_back(batch)

    @property
    def wants_to_save(self) -> bool:
        """Whether a frozen state may be saved now: what it covers is durable."""
        return self.saving is None and self._frozen is not None and self._queue.acknowledged >= self._frozen[1]

    def begin_save(self) -> None:
        assert self._frozen is not None
        self.saving = self._frozen[0]

    def end_save(self) -> None:
        """The local snapshot is durable."""
        snapshot, self.saving, self._frozen = self.saving, None, None
        assert snapshot is not None
        self.disk.save(snapshot, self.running.keep_from(snapshot.meta.index))
        self.running.compacted(snapshot.stored)

    # --- carrying out -------------------------------------------------------------------------------------------------

    def carry_out(self, around: Surroundings) -> None:
        """Everything that the core wants, as its service would."""
        core = self.running
        while (ready := core.ready()) is not None:
            if ready.write is not None:
                around.writes(self, ready.write.entries)
            if not self.is_silent_leader:
                for to, message in ready.messages:
                    around.sends(self, to, message)
            if ready.write is not None:
                self._queue.put(ready.write)
            core.persisted(self._queue.acknowledged)
            if ready.reads or ready.reads_refused:
                around.answers_reads(self, ready)
            self._send_chunks(core, ready, around)
            if ready.restore is not None:
                content = self._content(ready.restore)
                around.restores(self, Snapshot(ready.restore.meta, content))
                self.machine.restore(content)
                self._snapshot_at = ready.restore.meta.index
                core.restored(ready.restore)
            if ready.restore is not None or ready.committed:
                around.applies(self, ready, self._apply(core, ready))
        self._look_at_members(core)
        if self._frozen is None and self._snapshot_is_due(core):
            self._freeze(core, around)

    def _content(self, snapshot: StoredSnapshot) -> bytes:
        content = self.disk.content(snapshot)
        assert content is not None, f"{self.name} does not hold the snapshot at {snapshot.meta.index}"
        return content

    def _send_chunks(self, core: RaftCore, ready: Ready, around: Surroundings) -> None:
        for order in ready.chunks:
            content = self._travelling.get(order.snapshot, self.disk.content(order.snapshot))
            if content is None:
                core.snapshot_gone(order.snapshot)
                continue
            self._travelling[order.snapshot] = content
            if not self.is_silent_leader:
                around.sends(self, order.to, order.fill(content[order.offset : order.offset + order.length]))
        if self._travelling:
            for snapshot in self._travelling.keys() - core.snapshots_travelling:
                del self._travelling[snapshot]

    def _apply(self, core: RaftCore, ready: Ready) -> list[Answer]:
        if not ready.committed:
            return []
        answers = self.machine.apply(ready.committed)
        core.applied(ready.committed[-1].index)
        return answers

    def _look_at_members(self, core: RaftCore) -> None:
        if core.configuration is not self.configuration:
            self.configuration = core.configuration
            self._is_member = self.name in core.configuration.members()
            self.is_spare = self.is_spare and not self._is_member
        if not self._is_member and not self.is_spare:
            self.is_removed = core.is_removed

    def _freeze(self, core: RaftCore, around: Surroundings) -> None:
        meta = core.snapshot_meta()
        if meta.configuration.voters:  # a newcomer may not have come to the entry that adds it
            self._snapshot_at = meta.index
            snapshot = Snapshot(meta, self.machine.snapshot())
            self._frozen = (snapshot, self._queue.last_put)
            around.saves(snapshot)

    def _snapshot_is_due(self, core: RaftCore) -> bool:
        applied = core.applied_index
        return applied - self._snapshot_at >= self._snapshot_every and applied > core.snapshot_index

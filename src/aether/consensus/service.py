"""Drives the Raft core of one node: ticks, mailboxes, the write-ahead log, the state machine, snapshots.

Knows: time, the Work seam, the storage and the send that are passed in.
Never: connections, keys, what a command means.
Holds: one turn at a time touches the core: of whoever brings mail when mail is rare, else of the loop, with all that
       came until then; another task writes, one group commit at a time. The disk works while messages travel.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final, NoReturn

import trio
from trio import TaskStatus

from aether.consensus.backlog import Backlog
from aether.consensus.bell_service import Bell
from aether.consensus.config import RaftConfig
from aether.consensus.connections_service import Connections
from aether.consensus.core import RaftCore
from aether.consensus.durations import Durations
from aether.consensus.membership_service import MembershipDesk
from aether.consensus.messages import Message, SnapshotChunk
from aether.consensus.notices import CommitNotices
from aether.consensus.proposal_queue import RARE_S, ProposalQueue
from aether.consensus.read_service import ReadDesk
from aether.consensus.snapshot_plan import SnapshotPlan
from aether.consensus.snapshot_service import SnapshotDesk
from aether.consensus.status import ConsensusStatus
from aether.consensus.status_service import StatusBoard
from aether.consensus.values import (
    PreparingStorage,
    Role,
    StateMachine,
    StorageWrite,
)
from aether.consensus.writer_service import DiskWriter
from aether.errors import NotLeader
from aether.model import limits
from aether.model.ids import LogIndex, NodeId
from aether.work import Work

_log = logging.getLogger("aether.consensus")
_SLICE_S: Final = 0.005  # after so long in the state machine, other tasks get a turn
_DISK_STALL_S: Final = limits.ELECTION_TICKS_MAX * limits.TICK_S  # the longest election time-out


class ConsensusService:
    """One node's member of the consensus group.

    config    of the core; `config.entries_kept` entries stay in the log behind a snapshot
    storage   opened by the caller, loaded and written here, closed by the caller after `run` has ended
    machine   gets committed entries, in order, on this task
    send      puts a message into a peer's mailbox at once; False when it could not, which Raft makes good
    group     makes fewer payloads of those that are proposed together, in order; each becomes an entry
    entries_between_snapshots   applied entries after which the state is saved and the log shortened (SnapshotPlan)
    """

    def __init__(
        self,
        config: RaftConfig,
        storage: PreparingStorage,
        machine: StateMachine,
        send: Callable[[NodeId, Message], bool],
        work: Work,
        *,
        entries_between_snapshots: int = limits.LOG_ENTRIES_BETWEEN_SNAPSHOTS,
        group: Callable[[Sequence[bytes]], list[bytes]] = list,
    ) -> None:
        self._config = config
        self._storage = storage
        self._machine = machine
        self._send = send
        self._work = work
        self._core: RaftCore | None = None

        # mailboxes of the loop, filled by anybody
        self._bell = Bell()
        self._inbox: list[tuple[NodeId, Message]] = []
        self._proposals = ProposalQueue(config.proposal_bytes_max, group)
        self._reads = ReadDesk(config, self._ring)
        self.membership: MembershipDesk = MembershipDesk(
            config.node, self._ring, lambda: self.status, self.status_changed
        )
        self._tick_due = False
        self._connections = Connections(config, self._ring)
        self._messages_dropped = 0

        # turns
        self._has_mail = True
        self._leads = False  # and takes proposals; only turns change it
        self._may_turn = False  # while the loop runs, but not within a turn, nor while one was cut short
        self._turned_at_s = 0.0
        self._defect: Exception | None = None  # of a turn that somebody else's task took: the loop ends with it
        self._notices = CommitNotices()

        self._disk = DiskWriter(config.node, storage, work, self._attend)

        # what the loop remembers between turns
        self._backlog = Backlog()
        plan = SnapshotPlan(entries_between_snapshots)
        self._snapshots = SnapshotDesk(config, storage, machine, send, work, plan, self._ring, self._disk.fail)

        self._muted = False  # the disk stalls: as leader neither heard nor asked, so that another one is elected
        self._seen: tuple[object, ...] = ()
        self._look_again = True  # what a tick changes is not in _seen
        self._board = StatusBoard(ConsensusStatus(node=config.node, voters=config.voters))

    # --- called by other tasks: never block ---------------------------------------------------------------------------
    def deliver(self, sender: NodeId, message: Message) -> None:
        """Take a message from the transport. When the mailbox is full it is dropped and counted; Raft makes it good."""
        if len(self._inbox) >= limits.CONSENSUS_INBOX_MESSAGES_MAX:
            self._messages_dropped += 1
            return
        self._inbox.append((sender, message))
        if trio.current_time() - self._turned_at_s < RARE_S:  # such as the answer of the second follower
            self._ring()
        else:
            self._attend()

    def propose(self, payload: bytes, *, asker: NodeId | None = None) -> None:
        """Ask for `payload` to be committed; the state machine sees it when it is, or never.

        asker  another node, on which somebody waits for it: that hears of the commit without delay
        Raises NotLeader, Overloaded, BadInput (longer than a proposal may be); then it is certain that it never is.
        """
        if not self._leads or self._disk.failure is not None:
            raise NotLeader(self._config.node, self._whom_to_ask())
        proposals = self._proposals
        wants_turn = proposals.put(payload, 0.0 if proposals.is_crowded else trio.current_time() - self._turned_at_s)
        if asker is not None:
            self._notices.awaited_by(asker)
        if wants_turn:
            self._attend()
        elif not self._has_mail:
            self._ring()

    def _whom_to_ask(self) -> NodeId | None:
        """Who leads or soon will, when this node does not, or must not be heard."""
        core = self._core
        if core is None or (core.role is Role.LEADER and self._is_silent):
            return None
        return core.leader if core.transferee is None else core.transferee

    async def read_index(self) -> LogIndex:
        """An index that covers all that was committed anywhere before this call: apply up to it, then read.

        On any node, without a log write: a round trip of the leader to a majority, one hop more from a follower, shared
        by all who wait. The caller's scope is the bound; cancelling is free. Raises Draining, Overloaded.
        """
        return await self._reads.read_index()

    def peer_closed(self, peer: NodeId) -> None:
        """`peer` closed its connection: unless it is back within CLOSED_LEADER_GRACE_S, it is presumed dead."""
        self._connections.closed(peer)

    def peer_opened(self, peer: NodeId) -> None:
        """`peer` is connected (again)."""
        self._connections.opened(peer)

    @property
    def status(self) -> ConsensusStatus:
        """A frozen look at now."""
        core = self._core
        if core is None:
            return self._board.published
        muted = core.role is Role.LEADER and self._is_silent
        return ConsensusStatus(
            node=self._config.node,
            role=Role.FOLLOWER if muted else core.role,
            term=core.term,
            leader=None if muted else core.leader,
            voters=core.voters,
            configuration=core.configuration,
            configuration_index=core.configuration_index,
            is_changing=core.configuration.is_joint or core.configuration_index > core.commit_index,
            is_removed=core.is_removed,
            has_quorum=not muted and core.quorum_active(),
            commit_index=core.commit_index,
            applied_index=core.applied_index,
            reachable=self._connections.reachable(core.voters),
        )

    @property
    def _is_silent(self) -> bool:
        """Whether this node, if it leads, must not be heard: its disk stalls or has failed."""
        return self._muted or self._disk.failure is not None

    @property
    def disk_is_full(self) -> bool:
        """Whether writes wait for space on the disk."""
        return self._disk.is_full

    @property
    def disk_stands_still(self) -> bool:
        """Whether nothing becomes durable here: no space, or a disk that does not answer."""
        return self._muted

    @property
    def messages_dropped(self) -> int:
        """Messages from peers that found the mailbox full."""
        return self._messages_dropped

    @property
    def uncommitted(self) -> int:
        """Entries in the log of this node that are not known to be committed."""
        return 0 if self._core is None else self._core.last_index - self._core.commit_index

    @property
    def disk_writes(self) -> Durations:
        """Of group commits to this node's log."""
        return self._disk.durations

    async def status_changed(self, since: ConsensusStatus) -> ConsensusStatus:
        """The status, once role, term, leader, voters or quorum differ from `since`. Level-triggered."""
        return await self._board.changed(lambda: self.status, since)

    # --- the tasks ----------------------------------------------------------------------------------------------------
    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled. started() once the store is loaded. Run at most once.

        Raises StorageCorrupt and StorageFull from loading, StorageFailed when the store fails, then or later.
        Cancellation waits for the write in progress.
        """
        with closing(self._reads), closing(self.membership):
            persisted = await self._work.run(self._storage.load)
            self._core = core = RaftCore(self._config, persisted)
            self._disk.begin(persisted.hard_state)
            if persisted.snapshot is not None:
                await self._snapshots.restore(persisted.snapshot)
            async with trio.open_nursery() as nursery:
                for task in (self._tick, self._disk.run, self._connections.run, *self._snapshots.tasks):
                    nursery.start_soon(task)
                await self._take_turns(core, task_status)
                nursery.cancel_scope.cancel()
            raise self._defect or self._disk.failure or AssertionError("the loop ended without a reason")

    async def _take_turns(self, core: RaftCore, task_status: TaskStatus[None]) -> None:
        """Whenever mail waits; then tell the commit index to whom nothing else has told it."""
        try:
            # What is known to be committed is applied before anybody is let in.
            while not (self._carry_out(core) and self._apply(core, trio.current_time(), at_once=True)):
                await trio.lowlevel.checkpoint()
            self._may_turn = True
            task_status.started()
            while self._disk.failure is None and self._defect is None:
                if self._has_mail:
                    self._turn()
                if not self._notices:
                    await self._bell.wait()
                    continue
                await trio.lowlevel.checkpoint()  # whom the commit woke has the next word: it may propose more
                if not self._has_mail:
                    for to, notice in self._notices.take():
                        self._send(to, notice)
        finally:  # whatever ended it: nobody is led any more, and a proposal would be lost
            self._may_turn, self._muted, self._leads = False, True, False
            self._snapshots.hurry()
            self._publish(core)

    def _ring(self) -> None:
        """Have the loop take a turn."""
        self._has_mail = True
        self._bell.ring()

    def _attend(self) -> None:
        """Take a turn at once, without waiting for the loop's task; if another one is under way, the loop takes it."""
        if not self._may_turn:
            self._ring()
            return
        try:
            self._turn()
        except Exception as error:  # noqa: BLE001 - the loop raises it; here it would hit whoever brought the mail
            self._defect = error
            self._bell.ring()
        if self._notices or self._disk.failure is not None:
            self._bell.ring()

    @trio.lowlevel.enable_ki_protection
    def _turn(self) -> None:
        """Take the mail, and carry out what comes of it."""
        core = self._core
        assert core is not None, "nobody takes turns before the store is loaded"
        self._may_turn = self._has_mail = False
        self._take_mail(core)
        is_done = self._carry_out(core)
        if not is_done:
            self._ring()
        self._leads = core.role is Role.LEADER and not self._muted and core.transferee is None
        if not self._leads:
            self._notices.await_nothing()
        self._publish(core)
        self._may_turn = is_done  # else the loop goes on, once everybody had a turn; never after a defect
        self._turned_at_s = trio.current_time()

    async def _tick(self) -> NoReturn:
        """Ticks on a fixed grid. What a late turn missed is skipped: the messages of the peers are late as well."""
        due_s = trio.current_time()
        while True:
            missed = math.floor((trio.current_time() - due_s) / limits.TICK_S)
            due_s += (missed + 1) * limits.TICK_S
            await trio.sleep_until(due_s)
            self._tick_due = True
            self._attend()

    # --- one turn of the loop -----------------------------------------------------------------------------------------
    def _take_mail(self, core: RaftCore) -> None:
        """Everything that waits, messages before the tick: a heartbeat that is here counts as heard in time."""
        self._reads.begin_turn(core)
        core.persisted(self._disk.acknowledged)
        inbox, self._inbox = self._inbox, []
        for sender, message in inbox:
            if isinstance(message, SnapshotChunk) and message.total_bytes > self._config.snapshot_bytes_max:
                problem = f"cannot take the snapshot of {sender}, and stays behind"
                self._snapshots.complain_of_size(problem, message.total_bytes)
            core.step(sender, message)
        self._snapshots.take(core, self._disk.acknowledged, self._disk.last_put)
        for peer in self._connections.take_dead():
            core.peer_closed(peer)
        if self._tick_due:
            self._tick_due = False
            core.tick()
            self._look_again = True
            self._muted = self._disk.is_stalled(trio.current_time(), _DISK_STALL_S)
        self._proposals.feed(core)
        self.membership.carry_out(core)
        self._reads.put(core)

    def _carry_out(self, core: RaftCore) -> bool:
        """Until nothing is left; False when that would take too long: let others run, then call it again."""
        began_s = trio.current_time()
        while (ready := core.ready()) is not None:
            muted = self._is_silent and core.role is Role.LEADER
            durable = self._disk.acknowledged
            self._give_out(core, () if muted else ready.messages, ready.write)
            core.persisted(self._disk.acknowledged)
            self._reads.take(core, ready)
            if ready.restore is not None:
                self._backlog.clear()
            if ready.chunks or ready.restore is not None:
                self._snapshots.carry_out(ready, muted=muted)
            if ready.committed:
                self._backlog.add(ready.committed, trio.current_time())
            if not self._apply(core, began_s):
                return False
            if ready.is_final(core.commit_index) and durable == self._disk.acknowledged:
                return True  # the next look would find nothing, and costs as much as this one
        return self._apply(core, began_s)

    def _give_out(self, core: RaftCore, messages: Sequence[tuple[NodeId, Message]], write: StorageWrite | None) -> None:
        """One peer, this node's disk, the other peers: a peer that wakes up may take the processor, and one peer with
        this disk is a majority of three."""
        for to, message in messages:
            if self._notices.holds_back(to, message, core.last_index):
                continue
            self._send(to, message)
            if write is not None:
                self._disk.put(write)
                write = None
        if write is not None:
            self._disk.put(write)

    def _apply(self, core: RaftCore, began_s: float, *, at_once: bool = False) -> bool:
        """What need not wait for the disk; False when the turn, which began at `began_s`, has taken too long."""
        if not self._backlog:
            return True
        now_s = trio.current_time()
        writes_first = self._disk.is_busy and core.role is not Role.LEADER and not at_once
        while entries := self._backlog.take(now_s, writes_first=writes_first):
            self._machine.apply(entries)
            core.applied(entries[-1].index)
            self._snapshots.applied(core, entries, self._disk.last_put)
            if trio.current_time() - began_s > _SLICE_S:
                return False
        return True

    def _publish(self, core: RaftCore) -> None:
        seen = (core.role, core.term, core.leader, core.configuration_index, core.is_removed, self._is_silent)
        if seen == self._seen and not self._look_again:
            return
        self._seen, status = seen, self.status
        self._look_again = status.is_changing  # which ends with a commit
        self._board.publish(status)

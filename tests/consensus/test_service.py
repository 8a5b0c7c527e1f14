"""The service in virtual time: three nodes in one loop, memory for disks, function calls for a network."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import msgpack
import pytest
import trio
import trio.testing

from aether.consensus.config import RaftConfig
from aether.consensus.core import RaftCore
from aether.consensus.entry import Entry, EntryKind
from aether.consensus.membership import MembershipChange
from aether.consensus.membership_service import MembershipDesk
from aether.consensus.messages import AppendEntries, Message, SnapshotChunk
from aether.consensus.progress import Mode
from aether.consensus.quorum import Configuration
from aether.consensus.service import ConsensusService
from aether.consensus.status import ConsensusStatus
from aether.consensus.values import Role, StorageWrite
from aether.errors import (
    BadInput,
    Conflict,
    Draining,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    StorageCorrupt,
    StorageFailed,
    StorageFull,
)
from aether.model import limits
from aether.model.ids import LogIndex, NodeId, Term
from aether.storage.disk import DiskStorage
from aether.storage.memory import MemoryStorage
from aether.work import InlineWork

A, B, C, D = NodeId("a"), NodeId("b"), NodeId("c"), NodeId("d")
NAMES = (A, B, C)
ELECTION_S = limits.ELECTION_TICKS_MAX * limits.TICK_S


class Journal:
    """A state machine that remembers everything it was given."""

    def __init__(self) -> None:
        self.applied: list[tuple[int, bytes]] = []
        self.last_index = 0
        self.restored_at: list[int] = []

    def apply(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            assert entry.index == self.last_index + 1
            self.last_index = entry.index
            if entry.kind is EntryKind.COMMAND:
                self.applied.append((entry.index, entry.payload))

    def freeze(self) -> Iterator[bytes]:
        applied = list(self.applied)
        return (bytes(msgpack.packb(row)) for row in applied)

    def restoration(self, index: LogIndex) -> JournalRestoration:
        return JournalRestoration(self, index)

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.applied]


class JournalRestoration:
    """A new journal beside the old one."""

    def __init__(self, journal: Journal, index: LogIndex) -> None:
        self._journal = journal
        self._index = index
        self._fed = msgpack.Unpacker()

    def feed(self, piece: bytes) -> None:
        self._fed.feed(piece)

    def finish(self) -> None:
        self._journal.applied = [(at, payload) for at, payload in self._fed]
        self._journal.last_index = self._index
        self._journal.restored_at.append(self._index)


class Node:
    """One service with its disk; `stop` is a crash of the process, after which the disk remains."""

    def __init__(self, group: Group, name: NodeId, storage: MemoryStorage | None = None) -> None:
        self.group = group
        self.name = name
        self.storage = storage or MemoryStorage()
        self.disk_delay_s = 0.001
        self.start()

    def start(self) -> None:
        self.machine = Journal()
        config = RaftConfig(
            node=self.name,
            voters=self.group.names if self.name in self.group.names else (),
            random=random.Random(self.name),
            entries_kept=self.group.entries_kept,
        )
        work = InlineWork(lambda: self.disk_delay_s)
        self.service = ConsensusService(
            config, self.storage, self.machine, self.send, work, entries_between_snapshots=self.group.between_snapshots
        )
        self.scope = trio.CancelScope()
        self.error: BaseException | None = None
        self.group.nursery.start_soon(self.run, self.service, self.scope)

    async def run(self, service: ConsensusService, scope: trio.CancelScope) -> None:
        with scope:
            try:
                await service.run()
            except StorageFailed as error:
                self.error = error

    def stop(self) -> None:
        self.scope.cancel()
        self.storage.crash()

    def send(self, to: NodeId, message: Message) -> bool:
        return self.group.carry(self.name, to, message)


class Group:
    """The nodes and the network between them: one millisecond each way, cut where `cut` says so."""

    def __init__(
        self, nursery: trio.Nursery, names: tuple[NodeId, ...], between_snapshots: int, entries_kept: int
    ) -> None:
        self.nursery = nursery
        self.names = names
        self.between_snapshots = between_snapshots
        self.entries_kept = entries_kept
        self.cut: set[NodeId] = set()
        self.seen: list[tuple[NodeId, NodeId, Message]] = []
        self.nodes = {name: Node(self, name) for name in names}

    def carry(self, sender: NodeId, to: NodeId, message: Message) -> bool:
        self.seen.append((sender, to, message))
        if sender in self.cut or to in self.cut:
            return False
        self.nursery.start_soon(self._deliver, sender, to, message)
        return True

    async def _deliver(self, sender: NodeId, to: NodeId, message: Message) -> None:
        await trio.sleep(0.001)
        if to not in self.cut and to in self.nodes:
            self.nodes[to].service.deliver(sender, message)

    def leaders(self) -> list[Node]:
        return [
            node
            for node in self.nodes.values()
            if not node.scope.cancel_called and node.name not in self.cut and node.service.status.role is Role.LEADER
        ]

    async def leader(self, within_s: float = 5 * ELECTION_S) -> Node:
        """The one leader, once there is one that its followers have accepted."""
        with trio.fail_after(within_s):
            while True:
                leaders = self.leaders()
                if leaders and leaders[-1].service.status.has_quorum:
                    return max(leaders, key=lambda node: node.service.status.term)
                await trio.sleep(0.01)

    def join(self, name: NodeId) -> Node:
        """A newcomer with an empty store."""
        self.nodes[name] = Node(self, name)
        return self.nodes[name]

    async def until(self, condition: Callable[[], bool], within_s: float = 5.0) -> None:
        with trio.fail_after(within_s):
            while not condition():
                await trio.sleep(0.01)

    def followers(self, leader: Node) -> list[Node]:
        return [node for node in self.nodes.values() if node is not leader]


@pytest.fixture
async def form(nursery):
    """Start a group; everything ends with the test."""

    def build(names: tuple[NodeId, ...] = NAMES, between_snapshots: int = 10_000, entries_kept: int = 5_000) -> Group:
        return Group(nursery, names, between_snapshots, entries_kept)

    return build


async def test_three_nodes_elect_one_leader(autojump_clock, form):
    """Without a leader nothing else happens."""
    group = form()
    leader = await group.leader()
    await group.until(lambda: all(node.service.status.leader == leader.name for node in group.nodes.values()))
    assert [node.name for node in group.leaders()] == [leader.name]


async def test_a_proposal_is_applied_on_every_node_in_order(autojump_clock, form):
    """The main job: the same commands, in the same order, everywhere."""
    group = form()
    leader = await group.leader()
    wanted = [b"%d" % number for number in range(100)]
    for payload in wanted:
        leader.service.propose(payload)
    await group.until(lambda: all(node.machine.payloads == wanted for node in group.nodes.values()))


async def test_proposals_wait_while_the_disk_works_and_share_its_next_sync(autojump_clock, form):
    """Group commit: a busy log pays one sync for many commands."""
    group = form()
    leader = await group.leader()
    syncs: list[int] = []
    write = leader.storage.write

    def counting(writes: Sequence[StorageWrite]) -> None:
        syncs.append(sum(entry.kind is EntryKind.COMMAND for one in writes for entry in one.entries))
        write(writes)

    leader.storage.write = counting  # type: ignore[method-assign]
    leader.disk_delay_s = 0.05
    for number in range(50):
        leader.service.propose(b"%d" % number)
        await trio.sleep(0.002)
    await group.until(lambda: len(leader.machine.payloads) == 50)
    await trio.sleep(0.2)
    assert sum(syncs) == 50
    assert len(syncs) <= 5


async def test_a_follower_refuses_proposals_and_names_the_leader(autojump_clock, form):
    """The caller learns where to go, and that nothing happened."""
    group = form()
    leader = await group.leader()
    follower = group.followers(leader)[0]
    await group.until(lambda: follower.service.status.leader == leader.name)
    with pytest.raises(NotLeader) as caught:
        follower.service.propose(b"x")
    assert (caught.value.node, caught.value.leader) == (follower.name, leader.name)


async def test_a_service_that_has_not_started_refuses_proposals(autojump_clock):
    """Before the store is loaded nobody knows who leads."""
    config = RaftConfig(node=A, voters=(A,), random=random.Random(1))
    service = ConsensusService(config, MemoryStorage(), Journal(), lambda to, message: True, InlineWork())
    with pytest.raises(NotLeader, match="a does not lead"):
        service.propose(b"x")


async def test_a_proposal_that_is_too_long_is_refused_at_once(autojump_clock, form):
    """It could never travel in one frame."""
    group = form((A,))
    leader = await group.leader()
    with pytest.raises(BadInput, match="1048577 bytes"):
        leader.service.propose(bytes(limits.PROPOSAL_BYTES_MAX + 1))


async def test_the_proposal_queue_is_bounded(autojump_clock, form):
    """A caller that outruns the disk is told so instead of filling the memory."""
    group = form((A,))
    leader = await group.leader()
    payload = bytes(limits.PROPOSAL_BYTES_MAX)
    for _ in range(1 + limits.PROPOSALS_QUEUED_BYTES_MAX // len(payload)):  # the first goes to the log at once
        leader.service.propose(payload)
    with pytest.raises(Overloaded):
        leader.service.propose(payload)
    before = len(leader.machine.payloads)
    await group.until(lambda: len(leader.machine.payloads) > before)
    leader.service.propose(b"room again")


async def test_the_group_survives_the_death_of_its_leader(autojump_clock, form):
    """What was committed stays, and two of three nodes go on."""
    group = form()
    leader = await group.leader()
    leader.service.propose(b"before")
    survivors = group.followers(leader)
    await group.until(lambda: all(node.machine.payloads == [b"before"] for node in group.nodes.values()))
    leader.stop()
    group.cut.add(leader.name)
    successor = await group.leader()
    assert successor is not leader
    successor.service.propose(b"after")
    await group.until(lambda: all(node.machine.payloads == [b"before", b"after"] for node in survivors))


async def test_a_closed_connection_of_the_leader_shortens_the_election(autojump_clock, form):
    """The fast path: a dead process is noticed by its sockets, not by an election time-out."""
    group = form()
    leader = await group.leader()
    await trio.sleep(3.0)
    leader.stop()
    group.cut.add(leader.name)
    began_s = trio.current_time()
    for node in group.followers(leader):
        node.service.peer_closed(leader.name)
    await group.leader()
    assert trio.current_time() - began_s < limits.ELECTION_TICKS_MIN * limits.TICK_S / 2


async def test_a_leader_that_reconnects_within_its_grace_is_not_presumed_dead(autojump_clock, form):
    """One lost connection must not cost an election."""
    group = form()
    leader = await group.leader()
    await trio.sleep(1.0)
    term = leader.service.status.term
    for node in group.followers(leader):
        node.service.peer_closed(leader.name)
        node.service.peer_opened(leader.name)
    await trio.sleep(2.0)
    assert leader.service.status.role is Role.LEADER
    assert leader.service.status.term == term


async def test_all_nodes_restart_with_what_was_committed(autojump_clock, form):
    """A power cut of the whole cluster loses nothing that was acknowledged."""
    group = form()
    leader = await group.leader()
    wanted = [b"%d" % number for number in range(20)]
    for payload in wanted:
        leader.service.propose(payload)
    await group.until(lambda: leader.machine.payloads == wanted)
    for node in group.nodes.values():
        node.stop()
    await trio.sleep(0.1)
    for node in group.nodes.values():
        node.start()
    await group.leader()
    await group.until(lambda: all(node.machine.payloads == wanted for node in group.nodes.values()))


async def test_snapshots_shorten_the_log_and_a_restart_begins_at_the_newest(autojump_clock, form):
    """Nothing grows without bound, and a long life does not mean a long start."""
    group = form((A,), between_snapshots=50, entries_kept=10)
    leader = await group.leader()
    for number in range(175):
        leader.service.propose(b"%d" % number)
        await trio.sleep(0.005)
    await group.until(lambda: len(leader.machine.payloads) == 175)
    await trio.sleep(0.5)
    before = leader.machine.payloads
    leader.stop()
    await trio.sleep(0.1)
    persisted = leader.storage.load()
    assert persisted.snapshot is not None
    assert persisted.snapshot.meta.index >= 150
    assert len(persisted.entries) < 60
    leader.start()
    await group.until(lambda: leader.machine.payloads == before)
    assert leader.machine.restored_at == [persisted.snapshot.meta.index]


async def test_a_follower_that_missed_the_log_catches_up_by_snapshot(autojump_clock, form):
    """Entries that the leader no longer holds arrive as state."""
    group = form(between_snapshots=40, entries_kept=5)
    leader = await group.leader()
    lagging = group.followers(leader)[0]
    group.cut.add(lagging.name)
    wanted = [b"%d" % number for number in range(150)]
    for payload in wanted:
        leader.service.propose(payload)
        await trio.sleep(0.005)
    await group.until(lambda: leader.machine.payloads == wanted)
    await trio.sleep(0.5)
    group.cut.clear()
    await group.until(lambda: lagging.machine.payloads == wanted, within_s=30.0)
    assert lagging.machine.restored_at
    assert lagging.storage.load().snapshot is not None
    current = await group.leader()
    current.service.propose(b"and on")
    await group.until(lambda: lagging.machine.payloads == [*wanted, b"and on"])


async def test_a_failed_store_ends_the_service_with_its_error(autojump_clock, form):
    """After a failed sync nobody knows what is on the disk: going on could lose acknowledged commands."""
    group = form()
    leader = await group.leader()
    leader.storage.fail("the disk is gone")
    leader.service.propose(b"x")
    await group.until(lambda: leader.error is not None)
    assert isinstance(leader.error, StorageFailed)
    assert "the disk is gone" in str(leader.error)
    with pytest.raises(NotLeader):
        leader.service.propose(b"y")


async def test_b32_a_leader_whose_disk_stalls_loses_leadership(autojump_clock, form):
    """A leader that cannot write must not hold the office: heartbeats alone would keep it for ever."""
    group = form()
    leader = await group.leader()
    await trio.sleep(1.0)
    leader.disk_delay_s = 60.0
    leader.service.propose(b"stuck")
    await group.until(lambda: leader.service.status.role is not Role.LEADER, within_s=3.0)
    with pytest.raises(NotLeader):
        leader.service.propose(b"x")
    successor = await group.leader()
    assert successor is not leader
    successor.service.propose(b"goes on")
    others = [node for node in group.nodes.values() if node is not leader]
    await group.until(lambda: all(b"goes on" in node.machine.payloads for node in others))


async def test_a_full_disk_refuses_proposals_until_space_returns(autojump_clock, form):
    """Nothing was written, so nothing is lost: the same writes go on when there is room."""
    group = form((A,))
    leader = await group.leader()
    write = leader.storage.write
    full_until_s = trio.current_time() + 5.0

    def refusing(writes: Sequence[StorageWrite]) -> None:
        if trio.current_time() < full_until_s:
            raise StorageFull("memory", 4096)
        write(writes)

    leader.storage.write = refusing  # type: ignore[method-assign]
    leader.service.propose(b"waits")
    await trio.sleep(1.0)
    with pytest.raises(NotLeader):
        leader.service.propose(b"refused")
    await group.until(lambda: leader.machine.payloads == [b"waits"], within_s=10.0)
    assert trio.current_time() >= full_until_s
    await group.until(lambda: leader.service.status.role is Role.LEADER)
    leader.service.propose(b"again")
    await group.until(lambda: leader.machine.payloads == [b"waits", b"again"])


async def test_status_changed_waits_for_another_role(autojump_clock, form):
    """Watchers sleep while only indexes move, and see the new state when they wake."""
    group = form((A,))
    node = group.nodes[A]
    since = node.service.status
    with trio.fail_after(10.0):
        while node.service.status.role is not Role.LEADER or not since.has_quorum:
            since = await node.service.status_changed(since)
    assert since.leader == A
    settled = node.service.status
    node.service.propose(b"x")
    with trio.move_on_after(5.0) as waiting:
        await node.service.status_changed(settled)
    assert waiting.cancelled_caught
    assert node.service.status.applied_index > settled.applied_index


async def test_status_changed_lets_others_run_even_when_it_need_not_wait(autojump_clock, form):
    """A watcher in a loop would otherwise freeze the node that it watches."""
    group = form((A,))
    leader = await group.leader()
    with trio.testing.assert_checkpoints():
        found = await leader.service.status_changed(ConsensusStatus(node=A))
    assert found == leader.service.status


async def test_every_change_of_role_is_one_line_in_the_log(autojump_clock, form, caplog):
    """The first thing to look at when a cluster misbehaves."""
    caplog.set_level(logging.INFO, logger="aether.consensus")
    group = form()
    leader = await group.leader()
    lines = [line.getMessage() for line in caplog.records if line.name == "aether.consensus"]
    assert [line for line in lines if f"{leader.name} is leader in term" in line]
    assert len(lines) == len(set(lines))


@pytest.fixture
async def ticks(nursery, monkeypatch):
    """A running follower, and the times of its ticks since its start, in ticks."""
    at: list[float] = []
    config = RaftConfig(node=A, voters=NAMES, random=random.Random(1))
    service = ConsensusService(config, MemoryStorage(), Journal(), lambda to, message: True, InlineWork())
    tick = RaftCore.tick
    began_s = trio.current_time()

    def noting(core: RaftCore) -> None:
        at.append(round((trio.current_time() - began_s) / limits.TICK_S, 6))
        tick(core)

    monkeypatch.setattr(RaftCore, "tick", noting)
    await nursery.start(service.run)
    yield at
    nursery.cancel_scope.cancel()


async def test_ticks_keep_to_their_grid(autojump_clock, ticks):
    """Time-outs are counted in ticks: a drifting clock would stretch them."""
    await trio.sleep(10.5 * limits.TICK_S)
    assert ticks == [float(number) for number in range(1, 11)]


async def test_a_blocked_loop_ticks_once_not_for_every_missed_tick(autojump_clock, ticks):
    """User code that blocks the loop delays the leader's messages too: counting lost ticks would start an election."""
    await trio.sleep(2.5 * limits.TICK_S)
    autojump_clock.jump(20 * limits.TICK_S)
    await trio.sleep(2 * limits.TICK_S)
    assert ticks == [1.0, 2.0, 22.5, 23.0, 24.0]


async def test_a_follower_that_catches_up_gives_others_their_turns(autojump_clock, form, nursery):
    """What it is sent at once takes a state machine far longer than a turn may: calls of its slices wait meanwhile."""
    group = form()
    leader = await group.leader()
    behind = group.followers(leader)[0]
    behind.stop()
    for _ in range(60):
        leader.service.propose(bytes(limits.APPLY_BYTES_MAX))
        await trio.sleep(0.01)
    behind.start()
    apply, gaps, piece_s = behind.machine.apply, [], 0.004

    def slowly(entries: Sequence[Entry]) -> None:
        autojump_clock.jump(piece_s)
        apply(entries)

    behind.machine.apply = slowly

    async def another() -> None:
        while True:
            before_s = trio.current_time()
            await trio.sleep(0.001)
            gaps.append(trio.current_time() - before_s - 0.001)

    nursery.start_soon(another)
    await group.until(lambda: len(behind.machine.payloads) == 60)
    assert max(gaps) <= 4 * piece_s  # a turn of two pieces when a message comes, and one of the loop


async def test_a_node_restarts_from_its_directory(autojump_clock, nursery, tmp_path):
    """The whole way to a real disk and back."""
    wanted = [b"%d" % number for number in range(30)]
    for life in range(2):
        storage = DiskStorage(tmp_path / "a", "test", A, segment_bytes=8192)
        machine = Journal()
        config = RaftConfig(node=A, voters=(A,), random=random.Random(1), entries_kept=2)
        service = ConsensusService(
            config, storage, machine, lambda to, message: True, InlineWork(), entries_between_snapshots=7
        )
        with closing(storage), trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                await inner.start(service.run)
                await trio.sleep(1.0)
                for payload in wanted if life == 0 else ():
                    service.propose(payload)
                    await trio.sleep(0.01)
                await trio.sleep(1.0)
                scope.cancel()
        assert machine.payloads == wanted
    assert machine.restored_at


async def test_a_corrupt_store_ends_run_with_the_reason(autojump_clock, tmp_path):
    """A node must not start from a log that it cannot trust."""
    storage = DiskStorage(tmp_path / "a", "test", A, segment_bytes=4096)
    storage.load()
    storage.close()
    (segment,) = (tmp_path / "a" / "wal").iterdir()
    raw = bytearray(segment.read_bytes())
    raw[50] ^= 1
    segment.write_bytes(raw)
    config = RaftConfig(node=A, voters=(A,), random=random.Random(1))
    with closing(DiskStorage(tmp_path / "a", "test", A, segment_bytes=4096)) as storage:
        service = ConsensusService(config, storage, Journal(), lambda to, message: True, InlineWork())
        with pytest.raises(StorageCorrupt, match="does not match its checksum"):
            await service.run()


async def test_b40_a_state_machine_that_raises_ends_its_node(autojump_clock):
    """A node that goes on without its state would answer from the past, and look healthy."""

    class Broken(Journal):
        def apply(self, entries: Sequence[Entry]) -> None:
            super().apply(entries)
            if self.applied:
                raise ValueError("a bug in the state machine")

    config = RaftConfig(node=A, voters=(A,), random=random.Random(1))
    service = ConsensusService(config, MemoryStorage(), Broken(), lambda to, message: True, InlineWork())
    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="a bug"), flatten_subgroups=True), trio.fail_after(60):
        async with trio.open_nursery() as running:
            await running.start(service.run)
            while service.status.role is not Role.LEADER:
                await service.status_changed(service.status)
            service.propose(b"x")
    assert service.status.role is not Role.LEADER
    with pytest.raises(NotLeader):
        service.propose(b"y")


async def test_messages_beyond_the_mailbox_are_dropped_and_counted(autojump_clock):
    """A flood from peers cannot fill the memory of a busy node."""
    config = RaftConfig(node=A, voters=NAMES, random=random.Random(1))
    service = ConsensusService(config, MemoryStorage(), Journal(), lambda to, message: True, InlineWork())
    for _ in range(limits.CONSENSUS_INBOX_MESSAGES_MAX + 3):
        service.deliver(B, object())  # type: ignore[arg-type]
    assert service.messages_dropped == 3


class Started:
    """Notes what the machine had been given when the service said that it serves."""

    def __init__(self, machine: Journal) -> None:
        self._machine = machine
        self.payloads: list[bytes] | None = None

    def started(self, value: object = None) -> None:
        self.payloads = self._machine.payloads


async def test_what_is_known_to_be_committed_is_applied_before_anybody_is_let_in(autojump_clock, form):
    """The rows tell whose store is whose: a node that let peers in before it read them would trust an emptied disk."""
    group = form((A,))
    leader = await group.leader()
    for payload in (b"member row", b"another"):
        leader.service.propose(payload)
        await trio.sleep(0.1)
    leader.stop()
    await trio.sleep(0.1)
    machine = Journal()
    config = RaftConfig(node=A, voters=(A,), random=random.Random(1))
    service = ConsensusService(config, leader.storage, machine, lambda to, message: True, InlineWork())
    started = Started(machine)
    with trio.move_on_after(1.0):
        await service.run(task_status=started)
    assert started.payloads == [b"member row"], "the commit index is written with the next entry: the last is unknown"


def lone_voter(**changes: int) -> tuple[ConsensusService, Journal]:
    """A service of which the tests play the peers."""
    machine = Journal()
    voters = (A,) if changes.pop("alone", 0) else NAMES
    config = RaftConfig(node=A, voters=voters, random=random.Random(1), **changes)
    service = ConsensusService(
        config, MemoryStorage(), machine, lambda to, message: True, InlineWork(), entries_between_snapshots=3
    )
    return service, machine


async def test_a_follower_says_that_it_cannot_take_a_snapshot(autojump_clock, nursery, caplog):
    """It would stay behind for ever, and nobody would know why."""
    service, _ = lone_voter(snapshot_bytes_max=100)
    await nursery.start(service.run)
    for _ in range(3):
        service.deliver(
            B,
            SnapshotChunk(
                term=Term(1),
                index=LogIndex(9),
                snapshot_term=Term(1),
                configuration=Configuration(NAMES),
                configuration_index=LogIndex(0),
                offset=0,
                total_bytes=101,
                checksum=0,
                chunk=b"x",
            ),
        )
        await trio.sleep(0.1)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert said == ["a cannot take the snapshot of b, and stays behind: it has 101 bytes, the limit is 100"]


async def test_a_state_that_no_follower_could_take_is_said_where_it_grows(autojump_clock, nursery, caplog):
    """Before a follower needs it there is still time to delete something."""
    service, machine = lone_voter(alone=1, snapshot_bytes_max=40)
    await nursery.start(service.run)
    for number in range(12):
        while service.status.role is not Role.LEADER:
            await trio.sleep(0.01)
        service.propose(b"some more %d" % number)
        await trio.sleep(0.05)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(said) == 1
    assert "no follower takes" in said[0]
    assert len(machine.payloads) == 12, "it goes on all the same"


async def test_the_status_counts_the_voters_that_are_connected(autojump_clock, nursery):
    """An operator without a quorum wants to know how many are missing; who is no voter does not count."""
    service, _ = lone_voter()
    await nursery.start(service.run)
    assert service.status.reachable == 1
    service.peer_opened(B)
    service.peer_opened(C)
    service.peer_opened(NodeId("guest"))
    assert service.status.reachable == 3
    service.peer_closed(B)
    assert service.status.reachable == 2


class WatchedWork:
    """Keeps the names of what leaves the loop, and gives it a virtual while."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        self.names.append(function.__name__)
        await trio.sleep(0.05)
        return function(*args)


async def test_the_state_is_encoded_beside_the_loop_as_it_was_at_its_index(autojump_clock, nursery):
    """A large state takes longer than a heartbeat may be late; what is applied meanwhile is not in it."""
    storage, machine, work = MemoryStorage(), Journal(), WatchedWork()
    config = RaftConfig(node=A, voters=(A,), random=random.Random(1))
    service = ConsensusService(config, storage, machine, lambda to, message: True, work, entries_between_snapshots=5)
    await nursery.start(service.run)
    while service.status.role is not Role.LEADER:
        await trio.sleep(0.01)
    for number in range(12):
        service.propose(b"%d" % number)
        await trio.sleep(0.06)
    await trio.sleep(1.0)
    assert work.names.count("save_snapshot") >= 1
    saved = storage.load().snapshot
    assert saved is not None
    reader = storage.open_snapshot(saved)
    assert reader is not None
    entries = msgpack.Unpacker()
    entries.feed(reader.read(0, saved.total_bytes))
    assert max(at for at, _ in entries) == saved.meta.index < machine.last_index


# --- membership -------------------------------------------------------------------------------------------------------


async def test_a_newcomer_learns_and_then_votes(autojump_clock, form):
    """The way into a running group: learner, caught up, voter; the log has it all along."""
    group = form()
    leader = await group.leader()
    leader.service.propose(b"before")
    newcomer = group.join(D)
    members = leader.service.membership
    learning = await members.change(MembershipChange(add=(D,)), leader.service.status.configuration_index)
    await group.until(lambda: newcomer.machine.payloads == [b"before"])
    voting = await members.change(MembershipChange(promote=(D,)), learning)
    assert voting > learning
    assert leader.service.status.configuration == Configuration((A, B, C, D))
    await group.until(lambda: newcomer.service.status.voters == (A, B, C, D))
    assert (await members.followers())[D].mode is Mode.REPLICATE


async def test_a_change_against_another_configuration_is_refused(autojump_clock, form):
    """Two operators at once: the second must look again."""
    group = form()
    leader = await group.leader()
    await leader.service.membership.change(MembershipChange(add=(D,)), LogIndex(0))
    with pytest.raises(Conflict, match="look again"):
        await leader.service.membership.change(MembershipChange(remove=(C,)), LogIndex(0))
    follower = group.followers(leader)[0]
    with pytest.raises(NotLeader):
        await follower.service.membership.change(MembershipChange(remove=(C,)), LogIndex(0))


async def test_a_leader_that_removes_itself_hears_that_it_is_out(autojump_clock, form):
    """The operator who takes a machine away should not have to know who leads."""
    group = form()
    leader = await group.leader()
    await leader.service.membership.change(MembershipChange(remove=(leader.name,)), LogIndex(0))
    assert leader.service.status.is_removed
    await group.until(lambda: any(node is not leader for node in group.leaders()), within_s=0.5)


async def test_a_leader_that_gives_up_its_own_vote_hears_that_it_is_done(autojump_clock, form):
    """It leads no more, but not because the change failed."""
    group = form()
    leader = await group.leader()
    index = await leader.service.membership.change(MembershipChange(demote=(leader.name,)), LogIndex(0))
    await group.until(lambda: any(node is not leader for node in group.leaders()), within_s=0.5)
    status = leader.service.status
    assert (status.configuration_index, status.is_changing) == (index, False)
    assert leader.name in status.configuration.learners


async def test_a_leader_that_is_cut_off_while_it_removes_itself_does_not_call_that_done(autojump_clock, form):
    """The entry stands in its own log alone, and the others will cut it off."""
    group = form()
    leader = await group.leader()
    group.cut.add(leader.name)
    with trio.fail_after(3 * ELECTION_S), pytest.raises(OutcomeUnknown):
        await leader.service.membership.change(MembershipChange(remove=(leader.name,)), LogIndex(0))
    assert leader.service.status.configuration_index > 0
    group.cut.clear()
    await group.until(lambda: leader.service.status.configuration_index == 0)


async def test_a_change_under_way_when_its_node_stops_has_an_unknown_outcome(autojump_clock, form):
    """Nobody waits for the end of it at a node that is no more."""
    group = form()
    leader = await group.leader()
    for follower in group.followers(leader):
        group.cut.add(follower.name)
    with trio.fail_after(1.0):
        async with trio.open_nursery() as own:

            async def change() -> None:
                with pytest.raises(OutcomeUnknown):
                    await leader.service.membership.change(MembershipChange(add=(D,)), LogIndex(0))

            own.start_soon(change)
            await trio.sleep(0.1)
            leader.stop()


async def test_leadership_goes_where_it_is_sent_and_loses_no_proposal(autojump_clock, form):
    """A rolling restart hands over first, so that nobody waits for an election."""
    group = form()
    leader = await group.leader()
    heir = group.followers(leader)[0]
    leader.service.propose(b"at the same time")
    assert await leader.service.membership.transfer(heir.name) == heir.name
    await group.until(lambda: all(node.machine.payloads == [b"at the same time"] for node in group.nodes.values()))


async def test_a_handover_to_a_dead_node_is_given_up_and_what_waited_goes_on(autojump_clock, form):
    """Proposals that came in the same turn are neither lost nor refused in silence."""
    group = form()
    leader = await group.leader()
    heir = group.followers(leader)[0]
    heir.stop()
    with trio.fail_after(ELECTION_S * 2):
        async with trio.open_nursery() as nursery:

            async def hand_over() -> None:
                with pytest.raises(Conflict, match="did not take it over"):
                    await leader.service.membership.transfer(heir.name)

            nursery.start_soon(hand_over)
            leader.service.propose(b"waits")
            await trio.sleep(0.1)
            with pytest.raises(NotLeader):
                leader.service.propose(b"refused")
        await group.until(lambda: leader.machine.payloads == [b"waits"])


async def test_errands_of_a_node_that_stops_are_refused(autojump_clock, form):
    """Nobody waits for an answer that cannot come."""
    group = form()
    leader = await group.leader()
    leader.stop()
    await trio.sleep(0.1)
    with pytest.raises(Draining):
        await leader.service.membership.transfer()


async def test_a_defect_that_an_errand_meets_stops_the_node_and_leaves_nobody_waiting(autojump_clock):
    """Handed to the caller as if it were an answer, it would leave a core at work that is half changed."""
    status = ConsensusStatus(node=A)

    async def never(since: ConsensusStatus) -> ConsensusStatus:
        await trio.sleep_forever()

    desk = MembershipDesk(A, lambda: None, lambda: status, never)
    core: Any = None

    def meets_a_defect(core: RaftCore) -> None:
        raise KeyError("d")

    async def ask() -> None:
        with pytest.raises(Draining):
            await desk._run(meets_a_defect)

    with trio.fail_after(1.0):
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(KeyError):
                desk.carry_out(core)


async def test_a_proposal_alone_leaves_before_propose_returns(autojump_clock, form):
    """No task switch stands between a lone caller and the network."""
    group = form()
    leader = await group.leader()
    await trio.sleep(limits.TICK_S / 2)
    group.seen.clear()
    leader.service.propose(b"alone")
    sent = [to for sender, to, message in group.seen if isinstance(message, AppendEntries) and message.entries]
    assert sorted(sent) == sorted(set(group.names) - {leader.name})


async def test_proposals_that_come_together_share_the_entries_of_a_message(autojump_clock, form):
    """A message, a write and a wake-up for each would cost far more than the entry."""
    group = form()
    leader = await group.leader()
    await trio.sleep(limits.TICK_S / 2)
    group.seen.clear()
    for number in range(100):
        leader.service.propose(b"%d" % number)
    await group.until(lambda: len(leader.machine.payloads) == 100)
    full = [
        len(m.entries)
        for _, to, m in group.seen
        if isinstance(m, AppendEntries) and to == group.followers(leader)[0].name
    ]
    assert [count for count in full if count][:2] == [1, 99]  # a network that reorders may want them again


async def test_followers_hear_of_a_commit_without_any_further_proposal(autojump_clock, form):
    """A notice waits for entries that may never come: not longer than others take to run once."""
    group = form()
    leader = await group.leader()
    leader.service.propose(b"last")
    await group.until(lambda: leader.machine.payloads == [b"last"])
    await trio.sleep(0.003)  # one way through the network, and less than a heartbeat
    assert [node.machine.payloads for node in group.followers(leader)] == [[b"last"]] * 2


async def test_a_defect_in_a_turn_ends_the_service_and_not_who_brought_the_mail(autojump_clock):
    """The transport and the callers are innocent of a command that the state machine cannot take."""

    class Broken(Journal):
        def apply(self, entries: Sequence[Entry]) -> None:
            if any(entry.payload == b"bad" for entry in entries):
                raise BadInput("unknown command", ("upgrade",))
            super().apply(entries)

    config = RaftConfig(node=A, voters=(A,), random=random.Random(1))
    service = ConsensusService(config, MemoryStorage(), Broken(), lambda to, message: True, InlineWork())

    async def propose() -> None:
        while service.status.role is not Role.LEADER:
            await trio.sleep(limits.TICK_S)
        service.propose(b"bad")

    async def both() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(service.run)
            nursery.start_soon(propose)

    with trio.fail_after(60), pytest.raises(ExceptionGroup) as raised:
        await both()
    assert raised.value.subgroup(BadInput) is not None
    with pytest.raises(NotLeader):
        service.propose(b"later")

"""Snapshots of the real store between services, in virtual time: over a network that loses, doubles and reorders."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from aether.consensus.config import RaftConfig
from aether.consensus.messages import Message, SnapshotChunk, SnapshotReply
from aether.consensus.service import ConsensusService
from aether.consensus.values import Role, StoredSnapshot
from aether.errors import BadInput, StorageFull
from aether.kv.commands import Apply, encode_command, stamped
from aether.kv.store import Store
from aether.model import limits
from aether.model.ids import LogIndex, NodeId
from aether.storage.memory import MemoryStorage
from aether.work import InlineWork

A, B, C = NodeId("a"), NodeId("b"), NodeId("c")
NAMES = (A, B, C)


def put(key: str, value: bytes) -> bytes:
    return stamped(encode_command(Apply(0, 0, 0, (), ((key, value),))), 1)


class WatchedStore(Store):
    """Notes each installation, and the pieces that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[int] = []
        self.fed: Callable[[], None] = lambda: None
        self.restored_at: list[int] = []
        self.listen(lambda applied: self.restored_at.append(self.revision) if applied.restored else None)

    def restoration(self, index: LogIndex) -> Any:
        restoration = super().restoration(index)
        feed = restoration.feed

        def watched(piece: bytes) -> None:
            self.pieces.append(len(piece))
            self.fed()
            feed(piece)

        restoration.feed = watched  # type: ignore[method-assign]  # this one is watched, not its class
        return restoration


class WatchedStorage(MemoryStorage):
    """Counts readers; may be full."""

    def __init__(self) -> None:
        super().__init__()
        self.open_readers = 0
        self.saved: list[StoredSnapshot] = []
        self.full = 0

    def open_snapshot(self, snapshot: StoredSnapshot) -> Any:
        reader = super().open_snapshot(snapshot)
        if reader is not None:
            self.open_readers += 1
            reader.close = self._closed  # type: ignore[method-assign]
        return reader

    def _closed(self) -> None:
        self.open_readers -= 1

    def save_snapshot(self, *arguments: Any) -> StoredSnapshot | None:
        if self.full:
            self.full -= 1
            raise StorageFull("memory", 1)
        saved = super().save_snapshot(*arguments)
        self.saved += [saved] if saved is not None else []
        return saved


class Node:
    """One service with its disk."""

    def __init__(self, net: Network, name: NodeId) -> None:
        self.net, self.name = net, name
        self.storage = WatchedStorage()
        self.work_s = 0.0005
        self.read_s = self.save_s = 0.0
        self.start()

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The Work seam: each visit to the disk takes a while, reading a snapshot another."""
        slow = {"read": self.read_s, "save_snapshot": self.save_s}
        await trio.sleep(self.work_s + slow.get(function.__name__, 0.0))
        return function(*arguments)

    def start(self) -> None:
        self.store = WatchedStore()
        config = RaftConfig(
            node=self.name,
            voters=self.net.names,
            random=random.Random(self.name),
            entries_kept=0,
            snapshot_chunk_bytes=self.net.chunk_bytes,
            snapshot_window=3,
        )
        self.service = ConsensusService(
            config,
            self.storage,
            self.store,
            lambda to, message: self.net.carry(self.name, to, message),
            self,
            entries_between_snapshots=20,
        )
        self.scope = trio.CancelScope()
        self.net.nursery.start_soon(self._run, self.service, self.scope)

    async def _run(self, service: ConsensusService, scope: trio.CancelScope) -> None:
        with scope:
            await service.run()

    async def restart(self) -> None:
        """The process dies; what it had not synced is lost."""
        self.scope.cancel()
        self.storage.crash()
        await trio.sleep(0.02)
        self.start()


class Network:
    """loss, doubles  of a hundred messages, which then come in any order; without them each pair's order is kept."""

    def __init__(self, nursery: trio.Nursery, names: tuple[NodeId, ...] = NAMES, chunk_bytes: int = 500) -> None:
        self.nursery, self.names, self.chunk_bytes = nursery, names, chunk_bytes
        self.random = random.Random(1)
        self.loss = self.doubles = 0
        self.cut: set[NodeId] = set()
        self.seen: list[tuple[NodeId, NodeId, Message]] = []
        self.lines: dict[tuple[NodeId, NodeId], list[Message]] = {}
        self.nodes = {name: Node(self, name) for name in names}

    def carry(self, sender: NodeId, to: NodeId, message: Message) -> bool:
        self.seen.append((sender, to, message))
        if {sender, to} & self.cut:
            return False
        if self.random.randrange(100) >= self.loss:
            for _ in range(2 if self.random.randrange(100) < self.doubles else 1):
                self.lines.setdefault((sender, to), []).append(message)
                self.nursery.start_soon(self._deliver, sender, to)
        return True

    async def _deliver(self, sender: NodeId, to: NodeId) -> None:
        disordered = bool(self.loss or self.doubles)
        await trio.sleep(0.001 + (self.random.random() * 0.01 if disordered else 0))
        line = self.lines[sender, to]
        message = line.pop(self.random.randrange(len(line)) if disordered else 0)
        self.nodes[to].service.deliver(sender, message)

    async def leader(self) -> Node:
        with trio.fail_after(60):
            while True:
                for node in self.nodes.values():
                    status = node.service.status
                    if status.role is Role.LEADER and status.has_quorum and node.name not in self.cut:
                        return node
                await trio.sleep(0.01)

    async def write(self, count: int, keys: int = 40, value: bytes = bytes(200)) -> None:
        """`count` rows by whoever leads, all of them applied there."""
        for number in range(count):
            leader = await self.leader()
            leader.service.propose(put(f"key/{number % keys}", value + b"%d" % self.random.randrange(10**6)))
            await trio.sleep(0.002)
        await trio.sleep(0.5)

    async def agree(self, within_s: float = 120.0) -> None:
        """Until all stores are equal, at one revision."""
        with trio.fail_after(within_s):
            while len({node.store.snapshot() for node in self.nodes.values()}) > 1:
                await trio.sleep(0.1)

    def chunks_to(self, name: NodeId) -> list[SnapshotChunk]:
        return [message for _, to, message in self.seen if to == name and isinstance(message, SnapshotChunk)]


@pytest.fixture
async def network(nursery):
    """Makes the group; everything ends with the test."""
    return lambda **settings: Network(nursery, **settings)


async def lagging(net: Network) -> tuple[Node, Node]:
    """The leader, and a follower that missed more than its log holds."""
    leader = await net.leader()
    behind = next(node for node in net.nodes.values() if node is not leader)
    net.cut.add(behind.name)
    await net.write(90)
    net.seen.clear()
    return leader, behind


@pytest.mark.parametrize("seed", range(6))
async def test_a_snapshot_is_installed_once_whatever_happens_on_the_way(autojump_clock, network, seed):
    """Chunks and answers are lost, doubled and out of order; receiver and sender restart in mid-transfer."""
    net = network(chunk_bytes=200)
    net.random.seed(seed)
    _, behind = await lagging(net)
    net.loss, net.doubles = 10, 10
    net.cut.clear()
    for _ in range(3):
        await trio.sleep(0.15 + net.random.random() * 0.3)
        await behind.restart()
        await net.write(3)
    await (await net.leader()).restart()
    await net.write(30)
    net.loss = net.doubles = 0
    await net.write(1)
    await net.agree()
    assert len(behind.store.restored_at) <= 2, "at its last start, and perhaps one that it received since"
    assert behind.storage.open_readers == 0


async def test_a_follower_that_restarts_goes_on_where_it_stopped(autojump_clock, network):
    """What it had is on its disk: a large state and a short-lived process come together in the end."""
    net = network(chunk_bytes=100)
    _, behind = await lagging(net)
    net.cut.clear()
    with trio.fail_after(10):
        while not behind.storage._arriving or len(behind.storage._arriving[1]) < 2_000:
            await trio.sleep(0.001)
    await behind.restart()
    here = behind.storage.load().partial.arrived_bytes
    assert here >= 2_000
    sent = len(net.seen)
    await net.agree()
    again = [m.offset for _, to, m in net.seen[sent:] if to == behind.name and isinstance(m, SnapshotChunk)]
    assert min(again) >= here - 3 * 100


async def test_entries_follow_while_a_snapshot_is_installed(autojump_clock, network):
    """The machine takes long. The leader is answered all the time, and the rows come right after the swap."""
    net = network()
    leader, behind = await lagging(net)
    behind.read_s = 5.0
    net.cut.clear()
    with trio.fail_after(30):
        while not behind.service._core.is_restoring:
            await trio.sleep(0.01)
    term, before = leader.service.status.term, behind.service._core.snapshot_index
    await trio.sleep(0.5)
    await net.write(10)
    assert behind.service._core.is_restoring
    assert behind.service._core.last_index >= before + 10
    assert behind.store.revision < before
    await net.agree()
    assert behind.store.restored_at[-1:] == [before]
    assert (await net.leader()).service.status.term == term


async def test_nothing_keeps_the_loop_longer_than_a_piece(autojump_clock, network):
    """Between two pieces others run: counted, not measured."""
    net = network(chunk_bytes=limits.SNAPSHOT_CHUNK_BYTES)
    leader = await net.leader()
    behind = next(node for node in net.nodes.values() if node is not leader)
    net.cut.add(behind.name)
    await net.write(90, keys=90, value=bytes(20_000))
    turns = [0]

    async def others() -> None:
        while True:
            turns[0] += 1
            await trio.lowlevel.checkpoint()

    fed_at: list[int] = []
    behind.work_s = 0.0  # virtual time stands still while `others` never waits
    net.cut.clear()
    async with trio.open_nursery() as nursery:
        begun = trio.Event()

        def fed() -> None:
            if not fed_at:
                nursery.start_soon(others)
                begun.set()
            fed_at.append(turns[0])

        behind.store.fed = fed
        await begun.wait()
        while not behind.store.restored_at:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert max(behind.store.pieces) <= limits.SNAPSHOT_PIECE_BYTES
    assert len(fed_at) >= 20
    others_ran = [later - earlier for earlier, later in itertools.pairwise(fed_at[1:])]
    assert sum(others_ran) >= len(others_ran) - 1, "one turn of everybody for each piece"
    assert max(others_ran) >= 1


async def test_a_reader_is_kept_while_its_snapshot_travels_and_no_longer(autojump_clock, network):
    """A newer snapshot must not take it away; a finished transfer must not keep it."""
    net = network(chunk_bytes=50)
    leader, behind = await lagging(net)
    net.cut.clear()
    with trio.fail_after(10):
        while not net.chunks_to(behind.name):
            await trio.sleep(0.001)
    travelling = net.chunks_to(behind.name)[0].index
    await net.write(70)
    assert max(snapshot.meta.index for snapshot in leader.storage.saved) >= travelling + 40
    await net.agree()
    await trio.sleep(0.5)
    assert {chunk.index for chunk in net.chunks_to(behind.name)} == {travelling}
    assert behind.store.restored_at == [travelling]
    assert {node.storage.open_readers for node in net.nodes.values()} == {0}


async def test_b28_a_snapshot_that_is_due_while_another_is_saved_is_taken_when_that_is_done(autojump_clock, network):
    """Nothing is written any more: without a second look the log would stay as long as it is."""
    net = network(names=(A,))
    node = await net.leader()
    node.save_s = 2.0
    for number in range(70):
        node.service.propose(put(f"k{number}", b"v" * 50))
        await trio.sleep(0.01)
    assert node.storage.saved == []
    await trio.sleep(5.0)
    assert [snapshot.meta.index for snapshot in node.storage.saved][-1] == node.store.revision
    assert len(node.storage.saved) == 2


async def test_whoever_saves_a_state_rests_between_its_pieces_until_the_node_stops(
    autojump_clock, network, monkeypatch
):
    """All nodes save at one index, beside loops that want the same processors; a stop must not wait for rests."""
    net = network(names=(A,))
    node = await net.leader()
    rests: list[float] = []
    desk = node.service._snapshots
    monkeypatch.setattr(desk._hurry, "wait", rests.append)
    times = iter([0.0, 0.001, 1.0, 1.0005, 2.0, 2.5, 3.0])  # before and after each piece
    clock = SimpleNamespace(perf_counter=lambda: next(times))
    monkeypatch.setattr("aether.consensus.snapshot_service.time", clock)
    assert list(desk._unhurried(iter([b"one", b"two", b"three"]))) == [b"one", b"two", b"three"]
    assert rests == pytest.approx([0.003, 0.0015, 0.005])
    assert not desk._hurry.is_set()
    node.scope.cancel()
    await trio.testing.wait_all_tasks_blocked()
    assert desk._hurry.is_set()


async def test_a_snapshot_without_space_is_taken_later(autojump_clock, network, caplog):
    """It is skipped, said, and due again as after a success."""
    net = network(names=(A,))
    node = await net.leader()
    node.storage.full = 1
    for number in range(30):
        node.service.propose(put(f"k{number}", b"v"))
        await trio.sleep(0.01)
    assert node.storage.saved == []
    assert "skips the snapshot" in caplog.text
    for number in range(15):
        node.service.propose(put(f"k{number}", b"v"))
        await trio.sleep(0.01)
    assert len(node.storage.saved) == 1


async def test_a_snapshot_that_the_machine_cannot_read_stops_the_node(autojump_clock):
    """A newer release wrote it: going on without its rows would be worse."""
    storage = MemoryStorage()
    config = RaftConfig(node=A, voters=(A,), random=random.Random(1))
    service = ConsensusService(config, storage, Store(), lambda to, message: True, InlineWork())
    with trio.move_on_after(5):
        await service.run()
    meta = service._core.snapshot_meta()
    assert storage.save_snapshot(meta, [b"\xc0 from the future"], LogIndex(1)) is not None
    again = ConsensusService(config, storage, Store(), lambda to, message: True, InlineWork())
    with pytest.raises(BadInput, match="malformed store snapshot"):
        await again.run()


async def test_answers_name_what_is_on_the_disk(autojump_clock, network):
    """Every offset that was acknowledged was in storage before; that is what a restart goes on from."""
    net = network(chunk_bytes=100)
    _, behind = await lagging(net)
    promised: list[tuple[int, int]] = []
    carry = net.carry

    def watched(sender: NodeId, to: NodeId, message: Message) -> bool:
        if sender == behind.name and isinstance(message, SnapshotReply):
            arriving = behind.storage._arriving
            promised.append((message.offset, len(arriving[1]) if arriving else -1))
        return carry(sender, to, message)

    net.carry = watched  # type: ignore[method-assign]
    net.cut.clear()
    await net.agree()
    assert len(promised) > 20
    assert all(offset <= stored for offset, stored in promised if stored >= 0)

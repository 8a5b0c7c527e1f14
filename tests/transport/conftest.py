"""A few nodes on either transport, with handlers that record what they are told."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from aether.transport import Handlers, MemoryNetwork, MemoryTransport, TcpTransport, Transport
from aether.wire import Identity, Lane, MessageTable, Refused

PATIENCE_S = 10.0


@attrs.frozen
class Heartbeat:
    number: int
    filler: bytes = b""


@attrs.frozen
class Note:
    content: Any


@attrs.frozen
class Chunk:
    data: bytes


def make_table() -> MessageTable:
    table = MessageTable()
    table.register(1, Heartbeat, Lane.CONSENSUS, lambda m: (m.number, m.filler), lambda f: Heartbeat(f[0], f[1]))
    table.register(2, Note, Lane.CALLS, lambda m: (m.content,), lambda f: Note(f[0]))
    table.register(3, Chunk, Lane.BULK, lambda m: (m.data,), lambda f: Chunk(f[0]))
    return table


@attrs.frozen
class Novelty:
    number: int


def make_newer_table(first: int, count: int) -> MessageTable:
    """That of a release with `count` more messages; the first of them is Novelty."""
    table = make_table()
    for tag in range(first, first + count):
        cls = Novelty if tag == first else attrs.make_class(f"Novelty{tag}", ["number"])
        table.register(tag, cls, Lane(tag % len(Lane)), lambda m: (m.number,), lambda f: None)
    return table


class Node:
    """A transport, and everything that its handlers were told, in order."""

    def __init__(self, identity: Identity, transport: Transport) -> None:
        self.identity, self.transport, self.name = identity, transport, identity.node
        self.address = ""
        self.received: list[tuple[str, Any, str]] = []
        self.events: list[tuple[str, str]] = []
        self.refusals: list[Refused] = []
        self.answer: Callable[[str, Any, str], None] | None = None
        self.when_connected: Callable[[str], object] = lambda peer: None
        self._changed = trio.lowlevel.ParkingLot()
        self._scope = trio.CancelScope()

    def handlers(self) -> Handlers:
        def message(peer: str, message: Any, request_id: str) -> None:
            self.received.append((peer, message, request_id))
            if self.answer is not None:
                self.answer(peer, message, request_id)
            self._changed.unpark_all()

        def event(kind: str) -> Callable[[str], None]:
            def told(peer: str) -> None:
                self.events.append((kind, peer))
                if kind == "connected":
                    self.when_connected(peer)
                self._changed.unpark_all()

            return told

        def refused(peer: str, refused: Refused) -> None:
            self.refusals.append(refused)
            self._changed.unpark_all()

        return Handlers(
            message={Heartbeat: message, Note: message, Chunk: message},
            connected=event("connected"),
            disconnected=event("disconnected"),
            refused=refused,
        )

    async def run(self, *, task_status: trio.TaskStatus[str]) -> None:
        with self._scope:
            await self.transport.run(self.handlers(), task_status=task_status)

    def stop(self) -> None:
        self._scope.cancel()

    async def until(self, condition: Callable[[], object]) -> None:
        with trio.fail_after(PATIENCE_S):
            while not condition():
                await self._changed.park()

    async def until_connected(self, *peers: str) -> None:
        await self.until(lambda: self.transport.connected() >= set(peers))

    async def until_received(self, count: int) -> None:
        await self.until(lambda: len(self.received) >= count)

    def count(self, kind: str, peer: str) -> int:
        return self.events.count((kind, peer))


def make_identity(name: str, **changes: Any) -> Identity:
    facts = {"cluster": "shop", "node": name, "store": f"store-{name}", "incarnation": f"{name}-1", **changes}
    return Identity(**facts)


class World:
    """Starts nodes of one kind of transport; each knows the address of those started before it."""

    Heartbeat, Note, Chunk = Heartbeat, Note, Chunk

    def __init__(self, kind: str, nursery: trio.Nursery) -> None:
        self.kind, self._nursery = kind, nursery
        self.network = MemoryNetwork(seed=1)
        self.nodes: dict[str, Node] = {}
        self.options: dict[str, Any] = {}
        self.streams: list[trio.SocketStream] = []

    def make(
        self, name: str, *, knows: bool = True, bind: str = "127.0.0.1:0", contacts=(), table=None, **changes: Any
    ) -> Node:
        identity = make_identity(name, **changes)
        peers = {n: node.address for n, node in self.nodes.items() if knows}
        table = table or make_table()
        transport: Transport
        if self.kind == "tcp":
            transport = TcpTransport(identity, bind, peers, table, contacts=contacts, **self.options)
        else:
            transport = MemoryTransport(identity, self.network, peers, table)
        return Node(identity, transport)

    async def run(self, node: Node) -> None:
        node.address = await self._nursery.start(node.run)

    async def start(self, name: str, **changes: Any) -> Node:
        node = self.make(name, **changes)
        await self.run(node)
        self.nodes.setdefault(name, node)
        return node

    async def connect(self, node: Node) -> trio.SocketStream:
        """A bare connection, as a stranger would make it."""
        host, _, port = node.address.rpartition(":")
        stream = await trio.open_tcp_stream(host, int(port))
        self.streams.append(stream)
        return stream

    async def pair(self) -> tuple[Node, Node]:
        a = await self.start("a")
        b = await self.start("b")
        a.transport.set_peer("b", b.address)
        await a.until_connected("b")
        await b.until_connected("a")
        return a, b


@contextlib.asynccontextmanager
async def open_world(kind: str) -> AsyncIterator[World]:
    async with trio.open_nursery() as nursery:
        world = World(kind, nursery)
        yield world
        for stream in world.streams:
            await trio.aclose_forcefully(stream)
        nursery.cancel_scope.cancel()


@pytest.fixture(params=["memory", "tcp"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def clock(kind: str) -> trio.abc.Clock:
    """Virtual time in memory, real time over sockets. Tests name it themselves: pytest-trio looks nowhere else."""
    return MockClock(autojump_threshold=0.0) if kind == "memory" else MockClock(rate=1.0)


@pytest.fixture
async def world(kind: str, clock: trio.abc.Clock) -> AsyncIterator[World]:
    async with open_world(kind) as world:
        yield world


@pytest.fixture
async def tcp_world() -> AsyncIterator[World]:
    async with open_world("tcp") as world:
        yield world


@pytest.fixture
async def memory_world(autojump_clock: MockClock) -> AsyncIterator[World]:
    async with open_world("memory") as world:
        yield world

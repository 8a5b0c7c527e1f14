"""Many whole nodes in one process and in virtual time, and what each of them costs.

Knows: the assembly of a node, the in-memory network, the context that every task of a node inherits.
Never: what the nodes are made to do.
Holds: a step of a task counts for the node whose nursery the task lives in. Processor time is that of this thread
       alone, so that other processes do not count. The caches of the processor are shared by all nodes of the
       simulation, which no real node has to suffer: the more nodes, the colder they are when one has its turn again.
       `from_cold` makes them as cold at every size.
"""

from __future__ import annotations

import gc
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Final

import attrs
import trio

from aether.cluster.opening import open_node
from aether.forge.polling import until
from aether.model.ids import NodeId, StoreId
from aether.node.config import NodeConfig
from aether.node.node import Node
from aether.node.seams import OpenedStorage, Seams
from aether.storage.memory import MemoryStorage
from aether.testing.processes import ScriptedProcess
from aether.transport.memory import MemoryTransport
from aether.transport.network import MemoryNetwork
from aether.work import InlineWork

VOTERS: Final = 5
PATIENCE_S: Final = 300.0  # virtual
LOOK_S: Final = 0.05
EPOCH_S: Final = 1_700_000_000.0
LINK_S: Final = (0.0002, 0.001)  # one way

_MORE_THAN_CACHES: Final = b"x" * 2**26  # reading it leaves nothing else there
_NODE: ContextVar[NodeId] = ContextVar("node")


class Meter(trio.abc.Instrument):
    """Processor time and steps of each node's tasks. The end of a step that a step began within counts as one."""

    def __init__(self) -> None:
        self.cpu_ns: Counter[NodeId] = Counter()
        self.steps: Counter[NodeId] = Counter()
        self._since_ns = 0
        self._last: NodeId | None = None
        self._cold: NodeId | None = None

    @contextmanager
    def from_cold(self, node: NodeId) -> Generator[None]:
        """Inside, `node` finds cold caches whenever it wakes up after another one."""
        self._cold = node
        try:
            yield
        finally:
            self._cold = None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._cold is not None:
            node = task.context.get(_NODE)
            if node == self._cold != self._last:
                _MORE_THAN_CACHES.count(b"y")
            self._last = node
        self._since_ns = time.thread_time_ns()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        took_ns = time.thread_time_ns() - self._since_ns
        node = task.context.get(_NODE, "")
        self.cpu_ns[node] += took_ns
        self.steps[node] += 1


@attrs.frozen
class Cost:
    """What one node has sent, received and spent. log_index  how long the log was"""

    cpu_s: float
    steps: int
    sent_bytes: int
    sent_frames: int
    received_bytes: int
    received_frames: int
    log_index: int

    def since(self, before: Cost) -> Cost:
        own, then = attrs.astuple(self), attrs.astuple(before)
        return Cost(*(a - b for a, b in zip(own, then, strict=True)))


@attrs.define(eq=False)
class _Member:
    node: Node | None = None
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    ended: trio.Event = attrs.field(factory=trio.Event)


class WideCluster:
    """Nodes `n001`, ...: the first VOTERS found the cluster, the others join it as workers."""

    def __init__(self, slices: Sequence[type], nursery: trio.Nursery, meter: Meter, seed: int) -> None:
        self._slices = slices
        self._nursery = nursery
        self.meter: Meter = meter
        self._seed = seed
        self._network = MemoryNetwork(seed)
        self._network.set_delay(*LINK_S)
        self._members: dict[NodeId, _Member] = {}

    async def start(self, count: int) -> None:
        """Returns once all are ready, and every one knows all the others."""
        names = [NodeId(f"n{number:03}") for number in range(1, count + 1)]
        founders = names[:VOTERS]
        for name in founders:
            await self._start(name, founders)
        await self.until(lambda: all(node.ready.is_set() for node in self.nodes.values()))
        for name in names[VOTERS:]:
            await self._start(name, founders)
        await self.until(self._is_whole)

    def _is_whole(self) -> bool:
        nodes = self.nodes
        return all(node.ready.is_set() and len(node.transport.connected()) == len(nodes) - 1 for node in nodes.values())

    async def _start(self, name: NodeId, founders: Sequence[NodeId]) -> None:
        joins = name not in founders
        config = NodeConfig(
            node=name,
            cluster="wide",
            peers={} if joins else {each: "127.0.0.1:1" for each in founders if each != name},
            join=("127.0.0.1:1",) if joins else (),
            port=1,
        )
        member = self._members[name] = _Member()
        token = _NODE.set(name)
        try:
            await self._nursery.start(self._run, member, config, founders)
        finally:
            _NODE.reset(token)

    async def _run(
        self, member: _Member, config: NodeConfig, founders: Sequence[NodeId], *, task_status: trio.TaskStatus[None]
    ) -> None:
        draw = random.Random(f"{self._seed}/{config.node}")

        def make_transport(
            config: NodeConfig, identity: object, table: object, admit: object, wrap: object = None
        ) -> MemoryTransport:
            return MemoryTransport(identity, self._network, founders, table, admit=admit)

        seams = Seams(
            make_transport=make_transport,
            work=InlineWork(),
            slice_work=InlineWork(),
            worker_processes=False,
            process_probe=lambda: ScriptedProcess().read,  # the real one would raise alerts on a busy machine
            wall=lambda: EPOCH_S + trio.current_time(),
            rng=draw,
            new_id=lambda: f"{draw.getrandbits(48):012x}",
            new_uuid=lambda: f"{draw.getrandbits(128):032x}",
        )
        store = OpenedStorage(MemoryStorage(), StoreId(f"store-{config.node}"), founders=config.voters)
        try:
            with member.scope:
                async with open_node(config, self._slices, (), seams, store) as node:
                    member.node = node
                    task_status.started()
                    await trio.sleep_forever()
        finally:
            member.node = None
            member.ended.set()

    async def kill(self, names: Sequence[NodeId]) -> None:
        """End them at once, as a switch that loses power would."""
        for name in names:
            self._members[name].scope.cancel()
        for name in names:
            await self._members.pop(name).ended.wait()

    @property
    def nodes(self) -> dict[NodeId, Node]:
        """Those that run."""
        return {name: member.node for name, member in self._members.items() if member.node is not None}

    @property
    def leader(self) -> Node:
        """Who leads, and is known to do so by its own committed row."""
        leading = [node for node in self.nodes.values() if node.kv.leadership is not None]
        assert leading, "an election goes on"
        return max(leading, key=lambda node: node.consensus.status.term)

    def cost(self, name: NodeId) -> Cost:
        """Of one node, since it started."""
        node = self._members[name].node
        assert node is not None, f"{name} does not run"
        sent = node.transport.statistics()
        return Cost(
            cpu_s=self.meter.cpu_ns[name] / 1e9,
            steps=self.meter.steps[name],
            sent_bytes=sum(sent.sent_bytes.values()),
            sent_frames=sum(sent.sent_frames.values()),
            received_bytes=sum(sent.received_bytes.values()),
            received_frames=sum(sent.received_frames.values()),
            log_index=node.consensus.status.commit_index,
        )

    def is_voter(self, name: NodeId) -> bool:
        return name in self.leader.consensus.status.configuration.voters

    async def until(self, condition: Callable[[], object]) -> float:
        """How long it took in virtual seconds until `condition()` held."""
        began = trio.current_time()
        await until(condition, PATIENCE_S, every_s=LOOK_S)
        return trio.current_time() - began


@asynccontextmanager
async def wide_cluster(count: int, *slices: type, seed: int = 0) -> AsyncGenerator[WideCluster]:
    """`count` nodes that are ready. Run it under a MockClock that jumps."""
    meter = Meter()
    trio.lowlevel.add_instrument(meter)
    try:
        async with trio.open_nursery() as nursery:
            cluster = WideCluster(slices, nursery, meter, seed)
            await cluster.start(count)
            gc.collect()
            yield cluster
            nursery.cancel_scope.cancel()
    finally:
        trio.lowlevel.remove_instrument(meter)

"""What the figures of a cluster of ten cost each node: measuring, telling, keeping, with fifty methods that are called.

Ten nodes' worth of figures in one process over real sockets: their transports, their services, one of them leading; no
consensus, whose heartbeats cost far more. All of it at PACE times the pace of production: what ten nodes cost in a
second would be lost in the noise. Beside it the same process with the services asleep: connections, and calls that are
counted. What figures cost is the difference, for each time that a node measured itself: a machine without the time for
PACE of them in a second measures fewer, and the figure stays. Bare is one look at the process alone.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from unittest import mock

import trio

from aether.metrics import figures_service
from aether.metrics.call_rates import CallRates
from aether.metrics.figures_service import FiguresService
from aether.metrics.method_counters import MethodCounters
from aether.metrics.methods import MethodFigures
from aether.metrics.process_service import ProcessProbe
from aether.metrics.view import FiguresView
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, NodeId, StoreId
from aether.node.facts import NodeFacts
from aether.node.figure_sources import loop_source, transport_source
from aether.node.messages_table import messages_table
from aether.transport.tcp import TcpTransport
from aether.transport.values import Handlers
from aether.wire.session import Identity
from aether.work import BareThreadWork
from benchmarks.figure import Figure, Goal, medians

NODES = 10
METHODS = 50
CALLS = 10  # of each method, in each second
SNAPSHOT_BYTES = 15_000
PACE = 5.0
CORE_PERCENT_MAX = 1.0
CONNECT_S_MAX = 30.0
ASLEEP_S = 1e6
NAMES = tuple(NodeId(f"node-{n}") for n in range(NODES))
ARTIFACT = Artifact.parse("bench.figures:slice:1.0.0")


class Neighbours:
    """Of one node; the first of all leads, for ever."""

    def __init__(self, node: NodeId, transport: TcpTransport) -> None:
        self._node, self._transport = node, transport

    def send(self, to: NodeId, message: object) -> bool:
        return self._transport.send(to, message)

    def connected(self) -> Collection[NodeId]:
        return self._transport.connected()

    def voters(self) -> Collection[NodeId]:
        return NAMES[:5]

    def leader(self) -> NodeId:
        return NAMES[0]

    def leads(self) -> bool:
        return self._node == NAMES[0]


class Calls:
    """Fifty methods, and what is told of them."""

    def __init__(self) -> None:
        self.counters = MethodCounters()
        self._counters = [self.counters.of(ARTIFACT, f"method_{n}") for n in range(METHODS)]
        self._told = [MethodFigures(artifact=ARTIFACT, method=f"method_{n}", rate=10.0) for n in range(METHODS)]

    def methods(self) -> Sequence[MethodFigures]:
        return self._told

    def local_snapshot(self) -> bytes:
        return bytes(SNAPSHOT_BYTES)

    def take(self, node: NodeId, snapshot: bytes) -> None:
        """Nobody looks at it."""

    async def count(self) -> None:
        """As many calls as PACE seconds have, each second."""
        while True:
            await trio.sleep(1 / PACE)
            for counter in self._counters:
                for number in range(CALLS):
                    counter.answered(0.001 * (1 + number))

    def source(self, rates: CallRates, now_s: float) -> Mapping[str, float]:
        return rates.figures(self.counters, now_s)


class Member:
    """What figures are made of in one node."""

    def __init__(self, node: NodeId, addresses: Mapping[NodeId, str]) -> None:
        identity = Identity(cluster="bench", node=node, store=StoreId(node), incarnation=Incarnation("1"))
        self.transport = TcpTransport(identity, "127.0.0.1:0", addresses, messages_table())
        self.calls, self.facts, self.looks = Calls(), NodeFacts(node), 0
        self.reached = trio.Event()  # all others
        self.neighbours = Neighbours(node, self.transport)
        self.view = FiguresView(node, lambda: NAMES, trio.current_time, time.time)
        rates = CallRates()
        sources = [
            loop_source(self.facts),
            transport_source(self.transport),
            lambda now_s: self.calls.source(rates, now_s),
            self._count_look,
        ]
        self.service = FiguresService(
            node,
            self.view,
            lambda: ProcessProbe().read,
            BareThreadWork(),
            sources,
            self.neighbours,
            time.time,
            self.calls,
        )

    def _count_look(self, _: float) -> Mapping[str, float]:
        self.looks += 1
        return {}

    async def start(self, nursery: trio.Nursery) -> str:
        """Where it listens."""

        def look(_: NodeId) -> None:
            if len(self.transport.connected()) == NODES - 1:
                self.reached.set()

        handlers = Handlers(message=self.service.handlers, connected=look, disconnected=look)
        nursery.start_soon(self.facts.run)
        nursery.start_soon(self.calls.count)
        return str(await nursery.start(self.transport.run, handlers))


@contextmanager
def pace(awake: bool) -> Iterator[None]:
    """Figures PACE times as often as in production, or never again after the first."""
    every_s, snapshot_s = (1 / PACE, 10 / PACE) if awake else (ASLEEP_S, ASLEEP_S)
    with (
        mock.patch.object(figures_service, "FIGURES_EVERY_S", every_s),
        mock.patch.object(figures_service, "CALL_SNAPSHOT_EVERY_S", snapshot_s),
    ):
        yield


async def spent(seconds: float, awake: bool) -> tuple[float, float]:
    """Processor time per second of all nodes together, and how often a second they measured themselves."""
    addresses: dict[NodeId, str] = {}
    with pace(awake):
        async with trio.open_nursery() as nursery:
            members = []
            for node in NAMES:
                member = Member(node, addresses)
                addresses[node] = await member.start(nursery)
                members.append(member)
            with trio.fail_after(CONNECT_S_MAX):
                for member in members:
                    await member.reached.wait()
            for member in members:
                await nursery.start(member.service.run)
            await trio.sleep(0.5)
            began_s, used_s = time.monotonic(), time.process_time()
            looks = sum(member.looks for member in members)
            await trio.sleep(seconds)
            used_s, took_s = time.process_time() - used_s, time.monotonic() - began_s
            looks = sum(member.looks for member in members) - looks
            known = min(len(member.view.nodes()) for member in members)
            nursery.cancel_scope.cancel()
    assert not awake or known == NODES, f"a node knows the figures of {known} nodes only"
    return used_s / took_s, looks / took_s


def one_look_s(seconds: float) -> float:
    """Processor time of one look at the process."""
    probe, looks, began_s = ProcessProbe(), 0, time.process_time()
    while time.process_time() - began_s < seconds / 5:
        probe.read()
        looks += 1
    return (time.process_time() - began_s) / looks


def figures(seconds: float, rounds: int) -> list[Figure]:
    """The difference between a cluster whose figures are awake and one whose are asleep."""
    seconds = max(seconds, 5 / PACE)  # each node looks a few times
    measured: list[tuple[float, float]] = []
    for _ in range(rounds):
        (awake_s, looks), (asleep_s, _) = (trio.run(spent, seconds, awake) for awake in (True, False))
        measured.append((100 * (awake_s - asleep_s) / looks, 100 * one_look_s(seconds)))
    ours, bare = medians(measured)
    name = f"figures of {NODES} nodes x {METHODS} methods, of a core per node"
    return [Figure(name, "%", ours, bare, Goal(CORE_PERCENT_MAX, is_ratio=False))]

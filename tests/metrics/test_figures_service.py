"""Nodes that tell each other how they are doing, without a cluster around them."""

from collections import Counter
from functools import partial
from itertools import pairwise

import pytest
import trio
import trio.testing

from aether.errors import BadInput
from aether.metrics.figures_messages import FiguresPing, FiguresPong, NodeFigures, SnapshotsTold, read_told, spell_told
from aether.metrics.figures_service import FiguresService
from aether.metrics.methods import MethodFigures
from aether.metrics.own_figures import row_of
from aether.metrics.passing import round_s
from aether.metrics.process_service import ProcessReading
from aether.metrics.view import FiguresView
from aether.model.artifact import Artifact
from aether.model.ids import NodeId
from aether.model.limits import (
    CALL_SNAPSHOT_EVERY_S,
    FIGURES_EVERY_S,
    FIGURES_PASSED_MAX,
    FIGURES_QUIET_S,
    FIGURES_REPEATED_MAX,
    SNAPSHOTS_PASSED_BYTES_MAX,
    SNAPSHOTS_PASSED_MAX,
)
from aether.node.messages_table import messages_table
from aether.work import InlineWork

OLD_S = 3.2
"""Measured up to a second before it is told, passed on a second later, in force for another; and a little latency."""

A, B, C, D, E, F = map(NodeId, "abcdef")


class Wall:
    """A clock that a test may set."""

    ahead_s = 1e9

    def __call__(self):
        return self.ahead_s + trio.current_time()


wall = Wall()


class Net:
    """Nodes that reach each other at once; what is said is spelt and read, and its bytes counted by second."""

    def __init__(self, names, voters=None):
        self.names = tuple(names)
        self.voters = tuple(voters or names)
        self.leader = None
        self.services, self.calls = {}, {}
        self.table = messages_table()
        self.sent, self.received = Counter(), Counter()  # bytes, by second, node and kind
        self.rows = Counter()  # of figures that were received, by second and node
        self.cut, self.old = set(), {}

    def lead(self, node):
        self.leader = node

    def add(self, node, calls=None):
        view = FiguresView(node, lambda: self.names, trio.current_time, wall)
        near = Near(self, node)
        probe = partial(ProcessReading, rss_bytes=1)
        service = FiguresService(node, view, lambda: probe, InlineWork(), [], near, wall, calls)
        self.services[node], self.calls[node] = service, calls
        return service

    async def start(self, nursery, calls=lambda: None):
        for node in self.names:
            await nursery.start(self.add(node, calls()).run)


class Near:
    def __init__(self, net, node):
        self.net, self.node = net, node

    def send(self, to, message):
        if self.node in self.net.cut or to in self.net.cut:
            return False
        _, payload = self.net.table.encode(message, "")
        kind = "snapshots" if isinstance(message, SnapshotsTold) else "figures"
        self.net.sent[int(trio.current_time()), self.node, kind] += len(payload)
        self.net.received[int(trio.current_time()), to, kind] += len(payload)
        read, _ = self.net.table.decode(payload)
        if not isinstance(read, SnapshotsTold):
            self.net.rows[int(trio.current_time()), to] += len(read_told(read.told))
        if to in self.net.services:
            self.net.services[to].handlers[type(read)](self.node, read, "")
        elif to in self.net.old:
            self.net.old[to].hear(self.node, read)
        return True

    def connected(self):
        return () if self.node in self.net.cut else set(self.net.names) - {self.node} - self.net.cut

    def voters(self):
        return self.net.voters

    def leader(self):
        return self.net.leader

    def leads(self):
        return self.net.leader == self.node


class Calls:
    """What a node counted is a text; what it was told is remembered."""

    def __init__(self, size=100):
        self.told, self.size, self.number = {}, size, 0

    def methods(self):
        return [MethodFigures(artifact=Artifact.parse("g:a:1.0.0"), method="m", rate=2.0, p95_s=0.5)]

    def local_snapshot(self):
        self.number += 1
        return str(self.number).encode().ljust(self.size, b".")

    def take(self, node, snapshot):
        if snapshot.startswith(b"bad"):
            raise BadInput("no snapshot")
        self.told[node] = snapshot


@pytest.fixture
async def net():
    async with trio.open_nursery() as nursery:
        yield partial(_net, nursery)
        nursery.cancel_scope.cancel()


async def _net(nursery, names, voters=None, calls=lambda: None):
    found = Net(names, voters)
    await found.start(nursery, calls)
    return found


async def test_all_know_of_all_whoever_leads(autojump_clock, net):
    """Nobody, at first: who begins to lead has all figures and all calls already."""
    net = await net([A, B, C], voters=[A, B], calls=Calls)
    await trio.sleep(3.5)

    for reader in (A, B, C):
        assert net.services[reader].view.known() == [A, B, C]
    await trio.sleep(10)
    for reader in (A, B, C):
        assert set(net.calls[reader].told) == {A, B, C} - {reader}


async def test_what_could_not_be_told_is_told_to_whoever_is_reached_next(autojump_clock, net):
    """Up to ten rows; a hole of up to ten seconds is filled, of voters and of workers."""
    net = await net([A, B, C, D], voters=[A, B, C])
    net.lead(A)
    await trio.sleep(5.5)
    net.cut = {C, D}
    await trio.sleep(FIGURES_REPEATED_MAX - 3)
    assert net.services[A].view.age_s(D) > 5
    net.cut = set()
    await trio.sleep(12)

    for reader in (A, B):
        for node in (A, B, C, D):
            seconds = [at for at, _ in net.services[reader].view.window(node, "heap.used", 60)]
            assert max(later - earlier for earlier, later in pairwise(seconds)) <= 2
            assert len(seconds) >= 21


def ages(net, readers):
    """Of the nodes of `net`, the oldest that one of `readers` knows."""
    return max(net.services[reader].view.age_s(node) for reader in readers for node in net.names)


@pytest.mark.parametrize("count", [10, 20, 21, 60])
async def test_nobodys_figures_are_older_than_a_round_and_the_ways(autojump_clock, net, count):
    names = [NodeId(f"n{n:03}") for n in range(count)]
    net = await net(names, voters=names[:5])
    net.lead(names[0])
    await trio.sleep(25)
    bound_s = round_s(count - 5) - FIGURES_EVERY_S + OLD_S

    for _ in range(20):
        await trio.sleep(0.7)
        assert ages(net, [*names[:6], names[-1]]) < bound_s
    assert bound_s <= net.services[names[0]].view.round_s + OLD_S


@pytest.mark.parametrize("node", [0, 1, 59], ids=["leader", "voter", "worker"])
async def test_what_one_node_hears_does_not_grow_with_the_others(autojump_clock, net, node):
    """Rows of each voter, those that all of them together pass on, and what a voter's own workers tell it alone."""
    names = [NodeId(f"n{n:02}") for n in range(60)]
    net = await net(names, voters=names[:5])
    net.lead(names[0])
    await trio.sleep(14)
    own_workers = 14 if node == 1 else 0
    heard = sum(net.rows[second, names[node]] for second in range(6, 14)) / 8

    assert heard <= 1.1 * (5 + FIGURES_PASSED_MAX) + own_workers


async def test_a_leader_has_no_workers_unless_it_is_alone(autojump_clock, net):
    names = [NodeId(f"n{n:02}") for n in range(12)]
    net = await net(names, voters=names[:3])
    net.lead(names[0])
    await trio.sleep(5)
    told = sum(size for (second, node, _), size in net.sent.items() if node == names[0] and second == 4)
    assert told < 2 * 200, "its own row, to two voters"
    net.cut = {names[1], names[2]}
    await trio.sleep(6)

    alone = [names[0], *names[3:]]
    assert max(net.services[r].view.age_s(node) for r in alone for node in alone) < OLD_S


async def test_a_worker_whose_voter_is_lost_tells_another_at_once(autojump_clock, net):
    names = [NodeId(f"n{n:02}") for n in range(12)]
    net = await net(names, voters=names[:3])
    net.lead(names[0])
    await trio.sleep(5)
    net.cut = {names[1]}
    await trio.sleep(3)

    for _ in range(10):
        await trio.sleep(0.5)
        for reader in set(names) - net.cut:
            assert max(net.services[reader].view.age_s(node) for node in set(names) - net.cut) < OLD_S


async def test_rows_of_those_who_tell_another_voter_keep_nobody_waiting(autojump_clock, net, nursery):
    """A hundred nodes start one after another, and each that comes moves some to another voter."""
    names = [NodeId(f"n{n:03}") for n in range(100)]
    net = await net(names[:5], voters=names[:5])
    net.lead(names[0])
    for name in reversed(names[5:]):
        net.names = (*net.names, name)
        await nursery.start(net.add(name).run)
        await trio.sleep(0.02)
    await trio.sleep(round_s(100) + OLD_S)

    assert set(net.services[names[0]].view.known()) == set(names)
    assert ages(net, names[:5]) < round_s(100) + OLD_S
    nursery.cancel_scope.cancel()


async def test_ages_are_right_however_often_a_row_waited(autojump_clock, net):
    """Worker to voter to voter to worker: what all of them say of when it was measured is the same."""
    names = [NodeId(f"n{n:02}") for n in range(12)]
    net = await net(names, voters=names[:3])
    net.lead(names[0])
    await trio.sleep(20.3)
    measured = {at for at, _ in net.services[names[5]].view.window(names[5], "heap.used", 15)}

    for reader in names:
        seen = {at for at, _ in net.services[reader].view.window(names[5], "heap.used", 15)}
        assert len(seen) >= 11
        assert seen <= measured


@pytest.mark.parametrize(("count", "size"), [(30, 20_000), (60, 2_000)])
async def test_snapshots_of_calls_reach_everybody_in_time_and_within_the_budget(autojump_clock, net, count, size):
    names = [NodeId(f"n{n:03}") for n in range(count)]
    net = await net(names, voters=names[:5], calls=lambda: Calls(size))
    net.lead(names[0])
    await trio.sleep(CALL_SNAPSHOT_EVERY_S + count / SNAPSHOTS_PASSED_MAX + 8)

    for reader in names:
        assert set(net.calls[reader].told) == set(names) - {reader}
    for second in range(int(trio.current_time())):
        assert net.received[second, names[0], "snapshots"] <= (4 + SNAPSHOTS_PASSED_MAX) * (size + 100)
        assert net.sent[second, names[1], "snapshots"] < 2 * SNAPSHOTS_PASSED_BYTES_MAX + count * (size + 100)


class OldNode:
    """Answers whoever leads, as nodes did before voters told each other; takes of others what the leader tells."""

    def __init__(self, net, node):
        self.net, self.node, self.near, self.stamp = net, node, Near(net, node), 0
        self.known, self.calls = set(), set()

    def hear(self, peer, message):
        if isinstance(message, FiguresPing) and peer == self.net.leader:
            self.known |= {row.node for row in read_told(message.told)}
            self.stamp += 1
            row = row_of([{"cpu.usage": 0.5}])
            self.near.send(peer, FiguresPong(spell_told([NodeFigures(self.node, self.stamp, 0.0, row)])))
            self.near.send(peer, SnapshotsTold(((self.node, b"old"),)))
        elif isinstance(message, SnapshotsTold):
            self.calls |= {node for node, _ in message.snapshots if node == peer or peer == self.net.leader}


async def test_nodes_of_an_earlier_version_are_asked_and_told(autojump_clock, net):
    """A voter and a worker of it, in the middle of an upgrade."""
    net = await net([A, B, C, D], voters=[A, B, E], calls=Calls)
    net.old = {E: OldNode(net, E), F: OldNode(net, F)}
    net.names = (*net.names, E, F)
    net.lead(A)
    await trio.sleep(20)

    for _ in range(20):
        await trio.sleep(0.5)
        for reader in (A, B, C, D):
            assert max(net.services[reader].view.age_s(node) for node in (E, F)) < OLD_S + FIGURES_QUIET_S + 1
    for old in net.old.values():
        assert old.known >= {A, B, C, D}
        assert old.calls >= {A, B, C, D}
    assert all({E, F} <= set(net.calls[reader].told) for reader in (A, B, C, D))


async def test_a_leader_of_an_earlier_version_is_answered(autojump_clock, net):
    net = await net([A, B, C], voters=[A, E], calls=Calls)
    net.old = {E: OldNode(net, E)}
    net.names = (*net.names, E)
    net.lead(E)
    await trio.sleep(3)
    ping = FiguresPing(spell_told([NodeFigures(F, 1, 0.0, row_of([{"cpu.usage": 0.5}]))]))
    answers = []
    net.old[E].hear = lambda peer, message: answers.append((peer, message))
    for node in (A, B, C):
        Near(net, E).send(node, ping)

    assert {peer for peer, message in answers if isinstance(message, FiguresPong)} == {A, B, C}
    assert all(F in net.services[node].view.known() for node in (A, B, C))
    for _ in range(12):
        await trio.sleep(1)
        for node in (A, B, C):
            Near(net, E).send(node, ping)
    told = {peer for peer, message in answers if isinstance(message, SnapshotsTold) and message.snapshots[0][0] == peer}
    assert told == {A, B, C}, "their calls, each by itself"


async def test_the_busiest_methods_are_kept_every_ten_seconds(autojump_clock, net):
    net = await net([A], calls=Calls)
    await trio.sleep(45)
    methods, view = net.services[A].methods, net.services[A].view
    window = methods.window(("g:a:1.0.0", "m"), "p95_s", 0, view.now_s)

    assert [value for _, value in window] == [0.5] * len(window)
    assert len(window) >= 4


async def test_who_leads_no_more_is_not_heard(autojump_clock, net):
    net = await net([A, B, C])
    net.lead(B)
    row = row_of([{"cpu.usage": 0.5}])
    ping = FiguresPing(spell_told([NodeFigures(NodeId("ghost"), 1, 0.0, row)]))
    net.services[A].handlers[FiguresPing](C, ping, "")

    assert "ghost" not in net.services[A].view.known()


async def test_a_worker_speaks_for_itself_alone(autojump_clock, net):
    net = await net([A, B, C], voters=[A])
    net.lead(A)
    row = row_of([{"cpu.usage": 0.5}])
    pong = FiguresPong(spell_told([NodeFigures(C, 99, 0.0, row), NodeFigures(B, 99, 0.0, row)]))
    net.services[A].handlers[FiguresPong](B, pong, "")

    assert net.services[A].view.window(C, "cpu.usage", 5) == []
    assert net.services[A].view.nodes()[B] == {"cpu.usage": 0.5}


async def test_what_cannot_be_read_is_left_out_and_said_once(autojump_clock, net, caplog):
    net = await net([A, B], calls=Calls)
    net.lead(B)
    for _ in range(3):
        net.services[A].handlers[FiguresPing](B, FiguresPing(b"\xc1"), "")
        net.services[A].handlers[SnapshotsTold](B, SnapshotsTold(((B, b"bad"),)), "")

    assert B not in net.calls[A].told
    assert caplog.text.count("cannot be read") == 1


async def test_a_node_that_is_cut_off_goes_on_measuring_itself(autojump_clock, net):
    net = await net([A, B, C])
    net.lead(A)
    await trio.sleep(3)
    net.cut = {C}
    await trio.sleep(5)

    assert net.services[C].view.age_s(C) <= 1.1
    assert net.services[C].view.age_s(B) > 4
    assert net.services[A].view.age_s(C) > 4


async def test_a_wall_clock_that_is_set_back_silences_nobody(autojump_clock, net, monkeypatch):
    """An hour, by an operator or by NTP, on all nodes at once."""
    net = await net([A, B, C])
    net.lead(A)
    await trio.sleep(5)
    monkeypatch.setattr(wall, "ahead_s", wall.ahead_s - 3600)
    await trio.sleep(5)

    for reader in (A, B, C):
        for node in (A, B, C):
            assert net.services[reader].view.age_s(node) < OLD_S
            (first, _), *_, (last, _) = net.services[reader].view.window(node, "heap.used", 20)
            assert wall() - last <= OLD_S + 1
            assert last - first >= 6, "what was there before is still there"

"""Callers of the service that want a read index: shared rounds, lost messages, changing leaders, cancelled callers."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from aether.consensus.config import RaftConfig
from aether.consensus.core import RaftCore
from aether.consensus.messages import Heartbeat, Message, ReadReply, ReadRequest
from aether.consensus.read_service import ReadDesk
from aether.consensus.service import ConsensusService
from aether.consensus.values import Persisted, Ready, Role
from aether.errors import Draining, Overloaded
from aether.model import limits
from aether.storage.memory import MemoryStorage
from aether.work import InlineWork

NAMES = ("a", "b", "c")
HOP_S = 0.001


class Applied:
    """A state machine that only counts."""

    index = 0

    def apply(self, entries):
        self.index = entries[-1].index

    def freeze(self):
        return bytes

    def restore(self, data, index):
        self.index = index


class Group:
    """Three services; each message takes HOP_S. `lost` says which are lost, `seen` counts those sent."""

    def __init__(self, nursery, **settings):
        self.nursery = nursery
        self.settings = settings
        self.seen: Counter[type] = Counter()
        self.lost = lambda sender, to, message: False
        self.services, self.scopes, self.machines = {}, {}, {}

    async def start(self):
        for name in NAMES:
            config = RaftConfig(node=name, voters=NAMES, random=random.Random(name), **self.settings)
            self.machines[name] = Applied()
            self.services[name] = ConsensusService(
                config, MemoryStorage(), self.machines[name], self._sender(name), InlineWork(lambda: HOP_S)
            )
            self.scopes[name] = trio.CancelScope()
            self.nursery.start_soon(self._run, name)

    async def _run(self, name):
        with self.scopes[name]:
            await self.services[name].run()

    def _sender(self, name):
        def send(to, message: Message):
            self.seen[type(message)] += 1
            if not self.lost(name, to, message):
                self.nursery.start_soon(self._carry, name, to, message)
            return True

        return send

    async def _carry(self, sender, to, message):
        await trio.sleep(HOP_S)
        self.services[to].deliver(sender, message)

    async def leader(self, besides=()):
        with trio.fail_after(20):
            while True:
                for name, service in self.services.items():
                    status = service.status
                    leads = status.role is Role.LEADER and status.has_quorum
                    if leads and name not in besides and self.machines[name].index:
                        return name
                await trio.sleep(0.01)


@pytest.fixture
async def group(nursery):
    made = Group(nursery)
    await made.start()
    return made


async def settled(group):
    leader = await group.leader()
    await trio.sleep(0.2)
    return leader, next(name for name in NAMES if name != leader)


async def test_a_read_on_the_leader_costs_one_round_trip_and_no_tick(group, autojump_clock):
    """The heartbeats leave at once: waiting for the next tick would cost fifty times as much."""
    leader, _ = await settled(group)
    before, began_s = group.services[leader].status.commit_index, trio.current_time()
    index = await group.services[leader].read_index()
    assert trio.current_time() - began_s < 2.5 * HOP_S
    assert index == before == group.services[leader].status.commit_index


async def test_a_read_on_a_follower_costs_one_hop_more_each_way(group, autojump_clock):
    """It asks the leader, not the log."""
    _, follower = await settled(group)
    began_s = trio.current_time()
    await group.services[follower].read_index()
    assert trio.current_time() - began_s < 4.5 * HOP_S
    assert group.seen[ReadRequest] == group.seen[ReadReply] == 1


@pytest.mark.parametrize("place", ["leader", "follower"])
async def test_a_thousand_callers_share_two_rounds(group, autojump_clock, place):
    """One is under way, the others gather for the next."""
    leader, follower = await settled(group)
    service = group.services[leader if place == "leader" else follower]
    group.seen.clear()
    answers = []

    async def ask():
        answers.append(await service.read_index())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.sleep(HOP_S / 2)
        for _ in range(999):
            nursery.start_soon(ask)
    assert len(answers) == 1_000
    assert group.seen[ReadRequest] <= 2
    assert group.seen[Heartbeat] <= 2 * 3  # two rounds, perhaps a tick


async def test_a_cancelled_caller_disturbs_no_other(group, autojump_clock):
    """They share one question, not one fate."""
    _, follower = await settled(group)
    answers = []

    async def ask(scope):
        with scope:
            answers.append(await group.services[follower].read_index())

    scopes = [trio.CancelScope() for _ in range(4)]
    async with trio.open_nursery() as nursery:
        for scope in scopes:
            nursery.start_soon(ask, scope)
        await wait_all_tasks_blocked()
        scopes[0].cancel()
        scopes[2].cancel()
    assert len(answers) == 2
    assert group.services[follower]._reads._waiting == 0


@pytest.mark.parametrize("kind", [ReadRequest, ReadReply])
async def test_a_lost_question_or_answer_is_asked_again(group, autojump_clock, kind):
    """A full mailbox or a broken connection must not cost the caller its whole deadline."""
    _, follower = await settled(group)
    group.lost = lambda sender, to, message: isinstance(message, kind) and group.seen[kind] == 1
    began_s = trio.current_time()
    await group.services[follower].read_index()
    assert limits.READ_RESEND_S < trio.current_time() - began_s < 2 * limits.READ_RESEND_S
    assert group.seen[ReadRequest] == 2


async def test_a_read_under_way_survives_the_death_of_the_leader(group, autojump_clock):
    """The next leader is asked as soon as it is known."""
    leader, follower = await settled(group)
    group.lost = lambda sender, to, message: leader in (sender, to)
    got = []

    async def ask():
        got.append(await group.services[follower].read_index())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        group.scopes[leader].cancel()
        for name in NAMES:
            if name != leader:
                group.services[name].peer_closed(leader)
        new = await group.leader(besides=(leader,))
        with trio.fail_after(1):
            while not got:
                await trio.sleep(HOP_S)
    assert got[0] >= 2
    assert group.services[new].status.term > 1


async def test_a_leader_cut_off_confirms_nothing(group, autojump_clock):
    """Its callers wait; back in the group they get an index that covers what others committed meanwhile."""
    leader, _ = await settled(group)
    group.lost = lambda sender, to, message: leader in (sender, to)
    got = []

    async def ask():
        got.append(await group.services[leader].read_index())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        new = await group.leader(besides=(leader,))
        group.services[new].propose(b"x")
        await trio.sleep(0.5)
        assert got == []
        written = group.services[new].status.commit_index
        group.lost = lambda sender, to, message: False
    assert got[0] >= written


async def test_without_a_leader_callers_wait_for_one(group, autojump_clock):
    """At the start of a cluster nobody leads yet; the caller's scope is the bound."""
    with trio.move_on_after(HOP_S) as scope:
        await group.services["a"].read_index()
    assert scope.cancelled_caught
    with trio.fail_after(10):
        assert await group.services["a"].read_index() >= 1


async def test_a_service_that_ends_leaves_no_caller_behind(group, autojump_clock):
    """Whoever waits, and whoever comes later, hears that the node leaves."""
    _, follower = await settled(group)
    group.lost = lambda sender, to, message: isinstance(message, ReadReply)
    refused = []

    async def ask():
        with pytest.raises(Draining):
            await group.services[follower].read_index()
        refused.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        group.scopes[follower].cancel()
    await ask()
    assert len(refused) == 3


async def test_callers_are_bounded(group, autojump_clock, monkeypatch):
    """A flood is told to come back, not stored."""
    monkeypatch.setattr(limits, "READS_WAITING_MAX", 2)
    group.lost = lambda sender, to, message: True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(group.services["a"].read_index)
        nursery.start_soon(group.services["a"].read_index)
        await wait_all_tasks_blocked()
        with pytest.raises(Overloaded):
            await group.services["a"].read_index()
        nursery.cancel_scope.cancel()


# --- contexts ---------------------------------------------------------------------------------------------------------


class FakeCore:
    """Takes reads; the test answers."""

    def __init__(self):
        self.role, self.term, self.leader = Role.FOLLOWER, 1, "b"
        self.contexts = []

    def read_index(self, context):
        self.contexts.append(context)


def desk(seed=0):
    return ReadDesk(RaftConfig(node="a", voters=NAMES, random=random.Random(seed)), lambda: None)


async def test_an_answer_to_a_question_that_was_asked_again_is_not_taken(nursery, autojump_clock):
    """B9: whoever joined the second question came after the first was put; its answer may be too old for them."""
    core, reads = FakeCore(), desk()
    got = []

    async def ask():
        got.append(await reads.read_index())

    nursery.start_soon(ask)
    await wait_all_tasks_blocked()
    reads.put(core)
    nursery.start_soon(ask)
    await trio.sleep(limits.READ_RESEND_S)
    reads.put(core)
    first, second = core.contexts
    assert first != second
    reads.take(core, Ready(reads=((first, 5),)))
    await wait_all_tasks_blocked()
    assert got == []
    reads.take(core, Ready(reads=((second, 9),)))
    await wait_all_tasks_blocked()
    assert got == [9, 9]


async def test_who_comes_while_a_question_is_under_way_waits_for_the_next(nursery, autojump_clock):
    """The first may have been confirmed before the second caller came."""
    core, reads = FakeCore(), desk()
    got = []

    async def ask(name):
        got.append((name, await reads.read_index()))

    nursery.start_soon(ask, "early")
    await wait_all_tasks_blocked()
    reads.put(core)
    nursery.start_soon(ask, "late")
    await wait_all_tasks_blocked()
    reads.put(core)
    assert len(core.contexts) == 1
    reads.take(core, Ready(reads=((core.contexts[0], 5),)))
    await wait_all_tasks_blocked()
    assert got == [("early", 5)]
    reads.take(core, Ready(reads=((core.contexts[1], 7),)))
    await wait_all_tasks_blocked()
    assert got == [("early", 5), ("late", 7)]


async def test_a_refusal_is_repeated_after_a_tick_or_to_another_leader_at_once(nursery, autojump_clock):
    """Two nodes that take each other for the leader must not spin; a new leader must not wait."""
    core, reads = FakeCore(), desk()
    nursery.start_soon(reads.read_index)
    await wait_all_tasks_blocked()
    reads.put(core)
    reads.take(core, Ready(reads_refused=(core.contexts[-1],)))
    reads.put(core)
    assert len(core.contexts) == 1
    await trio.sleep(limits.TICK_S)
    reads.put(core)
    assert len(core.contexts) == 2
    reads.take(core, Ready(reads_refused=(core.contexts[-1],)))
    core.leader = "c"
    reads.put(core)
    assert len(core.contexts) == 3
    nursery.cancel_scope.cancel()


def test_two_lives_of_a_node_use_different_contexts():
    """B9: an answer to the first life may reach the second."""
    config = RaftConfig(node="a", voters=NAMES, random=random.Random(1))
    lives = [ReadDesk(config, lambda: None)._context for _ in range(50)]
    assert len(set(lives)) == 50
    assert all(0 <= life < 2**62 for life in lives)
    assert min(abs(one - other) for one, other in zip(sorted(lives), sorted(lives)[1:], strict=False)) >= 2**31


def test_the_fake_core_is_asked_like_a_real_one():
    """The tests above rest on it."""
    real = RaftCore(RaftConfig(node="a", voters=NAMES, random=random.Random(1)), Persisted())
    assert {"role", "term", "leader", "read_index"} <= set(dir(real))


# --- under a lease ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def leased(nursery):
    made = Group(nursery, lease_reads=True)
    await made.start()
    return made


async def test_under_a_lease_a_leader_asks_nobody(leased, autojump_clock):
    """No message and no time: heartbeats that travel anyway have renewed the lease."""
    leader, follower = await settled(leased)
    leased.seen.clear()
    began_s = trio.current_time()
    indexes = [await leased.services[leader].read_index() for _ in range(100)]
    assert trio.current_time() == began_s
    assert not leased.seen
    assert set(indexes) == {leased.services[leader].status.commit_index}
    assert await leased.services[follower].read_index() == indexes[0]
    assert leased.seen[ReadRequest] == 1


async def test_the_lease_of_a_leader_that_is_cut_off_ends_before_another_one_leads(leased, autojump_clock):
    """Then its reads wait like all others, and show what the new one committed once it is back."""
    leader, _ = await settled(leased)
    cut_s = trio.current_time()
    leased.lost = lambda sender, to, message: leader in (sender, to)
    last_s = cut_s
    with trio.move_on_after(10) as scope:
        while True:
            await leased.services[leader].read_index()
            last_s = trio.current_time()
            await trio.sleep(0.01)
    assert scope.cancelled_caught
    new = await leased.leader(besides=(leader,))
    assert 0.3 < last_s - cut_s < (limits.ELECTION_TICKS_MIN - 1) * limits.TICK_S
    leased.services[new].propose(b"x")
    await trio.sleep(0.1)
    leased.lost = lambda sender, to, message: False
    assert await leased.services[leader].read_index() >= leased.services[new].status.commit_index


async def test_a_leader_that_stood_still_has_no_lease_when_it_wakes(leased, mock_clock):
    """Neither its ticks nor its mail said that time went by; its clock does."""
    mock_clock.autojump_threshold = 0
    leader, _ = await settled(leased)
    await leased.services[leader].read_index()
    leased.lost = lambda sender, to, message: True
    mock_clock.jump(1.0)
    leased.seen.clear()
    with trio.move_on_after(0.01) as scope:
        await leased.services[leader].read_index()
    assert scope.cancelled_caught
    assert leased.seen[Heartbeat]


async def test_failover_after_a_closed_connection_waits_for_the_promise(leased, autojump_clock):
    """The price of leases: the leader may live behind a broken network, so its lease is waited for, and no longer."""
    leader, _ = await settled(leased)
    leased.scopes[leader].cancel()
    died_s = trio.current_time()
    for name in NAMES:
        if name != leader:
            leased.services[name].peer_closed(leader)
    await leased.leader(besides=(leader,))
    promise_s = limits.ELECTION_TICKS_MIN * limits.TICK_S
    assert 0.8 * promise_s < trio.current_time() - died_s < promise_s + 3 * limits.TICK_S

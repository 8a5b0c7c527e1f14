"""Three real consensus services under the store: virtual time, memory disks, a network that delays, loses and cuts."""

import itertools
import random

import pytest
import trio

from aether.consensus.config import RaftConfig
from aether.consensus.service import ConsensusService
from aether.errors import AetherError
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Put
from aether.kv.messages import ProposeReply, ProposeRequest, ProposeRequests
from aether.kv.service import KvService
from aether.kv.store import Store
from aether.storage.memory import MemoryStorage
from aether.work import InlineWork

NAMES = ("a", "b", "c")


class Member:
    """One node: its disk outlives it, the rest is new at each start."""

    def __init__(self, group, name):
        self.group, self.name = group, name
        self.storage = MemoryStorage()
        self.starts = 0
        self.scope = None

    async def run(self, *, task_status=trio.TASK_STATUS_IGNORED):
        draw = self.group.random
        self.starts += 1
        self.store = Store()
        config = RaftConfig(node=self.name, voters=NAMES, random=random.Random(draw.random()))
        work = InlineWork(lambda: draw.uniform(0.0, 0.002))
        self.consensus = ConsensusService(config, self.storage, self.store, self._send, work, group=self.store.group)
        self.kv = KvService(
            self.name, f"{self.name}-{self.starts}", self.consensus, self.store, self._send, trio.current_time
        )
        with trio.CancelScope() as self.scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.consensus.run)
                await nursery.start(self.kv.run)
                task_status.started()
        self.scope = None

    def _send(self, to, message):
        return self.group.send(self.name, to, message)

    def deliver(self, sender, message):
        if self.scope is None:
            return
        if isinstance(message, (ProposeRequest, ProposeRequests, ProposeReply)):
            self.kv.deliver(sender, message)
        else:
            self.consensus.deliver(sender, message)


class Group:
    """All three, and their network."""

    def __init__(self, nursery, seed):
        self.nursery = nursery
        self.random = random.Random(seed)
        self.loss = self.duplicate = 0.0
        self.cut = set()
        self.members = {name: Member(self, name) for name in NAMES}

    def send(self, sender, to, message):
        if sender in self.cut or to in self.cut:
            return False
        for _ in range(1 + (self.random.random() < self.duplicate)):
            if self.random.random() >= self.loss:
                self.nursery.start_soon(self._carry, sender, to, message, self.random.uniform(0.0002, 0.003))
        return True

    async def _carry(self, sender, to, message, delay_s):
        await trio.sleep(delay_s)
        self.members[to].deliver(sender, message)

    async def start(self, name):
        await self.nursery.start(self.members[name].run)

    async def leader(self):
        with trio.fail_after(20):
            while True:
                for member in self.members.values():
                    if member.scope is not None and member.name not in self.cut and member.kv.leadership is not None:
                        return member
                await trio.sleep(0.05)

    async def settle(self):
        """All members applied the same."""
        leader = await self.leader()
        revision = await leader.kv.barrier()
        for member in self.members.values():
            with trio.fail_after(10):
                await member.kv.wait_applied(revision)
        return revision


@pytest.fixture
async def group(nursery):
    made = Group(nursery, seed=7)
    for name in NAMES:
        await made.start(name)
    return made


def entry(name):
    return keys.map_entry("m", name.encode())


async def test_a_write_on_any_node_is_read_on_all(group, autojump_clock):
    """The whole path: forward, log, disk, commit, apply, wake."""
    await group.leader()
    for name in NAMES:
        result = await group.members[name].kv.propose(Batch(changes=(Put(entry(name), b"v"),)))
        assert result.applied
        assert group.members[name].kv.get(entry(name)) == b"v"
    await group.settle()

    assert len({member.store.state_hash for member in group.members.values()}) == 1
    for member in group.members.values():
        assert len(list(member.kv.scan(keys.map_entries("m")))) == 3


async def test_a_restarted_node_has_its_rows_again_and_a_session_of_its_own(group, autojump_clock):
    """Its log is replayed; its old incarnation's session ends when the new one opens."""
    leader = await group.leader()
    name = next(name for name in NAMES if name != leader.name)
    member = group.members[name]
    await member.kv.propose(Batch(changes=(Put(entry("k"), b"v"),)))
    member.scope.cancel()
    await trio.sleep(1)
    await group.start(name)
    await member.kv.propose(Batch())

    assert member.kv.get(entry("k")) == b"v"
    owners = [request for request, _ in member.store.sessions() if request.node == name]
    assert [request.incarnation for request in owners] == [f"{name}-2"]


async def test_a_cut_off_leader_loses_its_fence_before_it_can_write(group, autojump_clock):
    """Its batch was never decided; the majority goes on; back in the group it follows."""
    old = await group.leader()
    fence = old.kv.leadership
    await old.kv.barrier()
    group.cut.add(old.name)
    raised = []

    async def write():
        with pytest.raises(AetherError) as caught:
            await old.kv.propose(Batch(changes=(Put(entry("stale"), b"v"),)), fence=fence)
        raised.append(caught.type.__name__)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        new = await group.leader()
        assert new.name != old.name
        await new.kv.propose(Batch(changes=(Put(entry("k"), b"v"),)), fence=new.kv.leadership)
        group.cut.clear()
    await group.settle()

    assert raised == ["NotLeader"]
    assert old.kv.get(entry("stale")) is None
    assert old.kv.get(entry("k")) == b"v"
    assert old.kv.leadership is None


@pytest.mark.parametrize("seed", range(6))
async def test_counters_are_exact_while_leaders_are_killed(nursery, autojump_clock, seed):
    """Every caller that got an answer got the truth: its increment is there exactly once, on all nodes."""
    group = Group(nursery, seed)
    group.loss, group.duplicate = 0.02, 0.05
    for name in NAMES:
        await group.start(name)
    await group.leader()
    told = dict.fromkeys(range(9), 0)
    undecided = set()
    interrupted, all_killed = [], trio.Event()

    async def count(number):
        key = entry(f"counter-{number}")
        member = group.members[NAMES[number % 3]]
        life = member.starts
        while not all_killed.is_set():
            done = told[number]
            if member.starts != life or member.scope is None:
                # What it shows may be old until it caught up; its last life may have left one step undecided.
                life = await next_life(member)
                told[number] = int(member.kv.get(key) or b"0")
                assert told[number] in (done, done + (number in undecided))
                undecided.discard(number)
                continue
            compare = Compare(key, member.kv.version(key))
            try:
                result = await member.kv.propose(Batch((compare,), (Put(key, b"%d" % (done + 1)),)))
            except AetherError as error:
                interrupted.append(type(error).__name__)
                undecided.add(number)
                life = -1
            else:
                undecided.discard(number)
                assert result.applied
                told[number] = done + 1
                await trio.sleep(group.random.uniform(0, 0.1))

    async def next_life(member):
        """Return once the node's life of now, whose number is returned, has applied all that was acknowledged."""
        while True:
            await trio.sleep(0.1)
            life = member.starts
            if member.scope is not None:
                try:
                    await member.kv.barrier()
                    return life
                except AetherError:  # killed again meanwhile
                    continue

    async def kill():
        for _ in range(4):
            await trio.sleep(group.random.uniform(0.05, 0.5))
            victim = await group.leader()
            while True:
                await trio.sleep(0.001)
                if victim.kv._proposer.waiting:  # somebody is to be in the middle of it
                    break
            victim.scope.cancel()
            await trio.sleep(group.random.uniform(0.1, 4))
            await group.start(victim.name)
        all_killed.set()

    with trio.fail_after(300):
        async with trio.open_nursery() as workers:
            workers.start_soon(kill)
            for number in told:
                workers.start_soon(count, number)
    group.loss = group.duplicate = 0.0
    await group.settle()

    for member in group.members.values():
        for number, value in told.items():
            assert int(member.kv.get(entry(f"counter-{number}"))) - value in (0, number in undecided)
    assert len({member.store.snapshot() for member in group.members.values()}) == 1
    assert interrupted, "nobody was in the middle of a proposal: this run proved nothing"


@pytest.mark.parametrize("seed", range(6))
async def test_a_barrier_never_shows_less_than_was_acknowledged_before_it(nursery, autojump_clock, seed):
    """Readers on every node, while leaders are killed and cut off: no read that began after an answer misses it."""
    group = Group(nursery, seed)
    group.loss, group.duplicate = 0.02, 0.05
    for name in NAMES:
        await group.start(name)
    await group.leader()
    acknowledged = 0
    reads = dict.fromkeys(NAMES, 0)
    failures, slow, finished = [], [], trio.Event()
    key = entry("counter")

    async def write():
        nonlocal acknowledged
        number = 0
        while not finished.is_set():
            number += 1
            member = group.members[group.random.choice(NAMES)]
            if member.scope is not None:
                try:
                    result = await member.kv.propose(Batch(changes=(Put(key, b"%d" % number),)))
                except AetherError:
                    continue
                assert result.applied
                acknowledged = number
            await trio.sleep(group.random.uniform(0, 0.02))

    async def read(name):
        while not finished.is_set():
            member = group.members[name]
            if member.scope is None:
                await trio.sleep(0.01)
                continue
            kv, known, began_s = member.kv, acknowledged, trio.current_time()
            try:
                revision = await kv.barrier()
            except AetherError as error:
                failures.append(type(error).__name__)
            else:
                # Nothing ran between the answer and these lines.
                assert kv.revision >= revision
                assert int(kv.get(key) or b"0") >= known, f"{name} showed an old value"
                reads[name] += 1
                if trio.current_time() - began_s > 0.2:
                    slow.append(name)  # while leaders changed
            await trio.sleep(group.random.uniform(0, 0.02))

    def tells_something():
        return min(reads.values()) > 20 and acknowledged > 50 and slow  # a read outlived a leader

    async def disturb():
        for number in itertools.count():
            if number >= 6 and tells_something():
                break
            await trio.sleep(group.random.uniform(0.2, 0.6))
            victim = await group.leader()
            if number % 2:
                group.cut.add(victim.name)
                for member in group.members.values():  # they elect at once, while the victim believes that it leads
                    if member is not victim:
                        member.consensus.peer_closed(victim.name)
                await trio.sleep(group.random.uniform(0.5, 4))
                group.cut.clear()
            else:
                victim.scope.cancel()
                await trio.sleep(group.random.uniform(0.1, 3))
                await group.start(victim.name)
        await group.leader()
        await trio.sleep(1)
        finished.set()

    with trio.fail_after(300):
        async with trio.open_nursery() as workers:
            workers.start_soon(disturb)
            workers.start_soon(write)
            for name in NAMES:
                workers.start_soon(read, name)

    assert set(failures) <= {"Draining", "NoQuorum"}


async def test_reads_write_nothing_to_the_log(group, autojump_clock):
    """The reason for read index: a hundred reads on each node leave the log as it was."""
    await group.leader()
    before = await group.settle()
    await trio.sleep(0.5)
    for member in group.members.values():
        for _ in range(100):
            await member.kv.barrier()
    assert {member.kv.revision for member in group.members.values()} == {before}

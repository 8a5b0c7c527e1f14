"""A singleton runs once, whatever the network does: the old one has stopped before a new one starts."""

import itertools
import random
from collections.abc import AsyncIterator

import pytest
import trio

import aether
from aether.errors import Conflict
from aether.hosting.fencing import Fence
from aether.hosting.replicated_map import ReplicatedBackend
from aether.kv import keys
from aether.model.artifact import ArtifactBase
from aether.model.limits import SINGLETON_LOST_S

BASE = ArtifactBase.parse("tests.singletons:writer")
LIVES = []  # [token, began, ended or None] of each instance that ever ran
WRITES = []  # (time, token) of each write that was acknowledged


@aether.slice(artifact="tests.singletons:writer:1.0.0", singleton=True)
class Writer:
    book: aether.Map[str, int] = aether.map("singleton-book")
    token: int = aether.fencing_token()

    @aether.lifespan
    async def lifespan(self) -> AsyncIterator[None]:
        life = [self.token, trio.current_time(), None]
        LIVES.append(life)
        try:
            yield
        finally:
            life[2] = trio.current_time()

    @aether.background
    async def write(self) -> None:
        while True:
            with trio.move_on_after(1.0):
                try:
                    await self.book.put("owner", self.token)
                    WRITES.append((trio.current_time(), self.token))
                except (aether.TryAgain, aether.OutcomeUnknown, aether.Conflict):
                    pass
            await trio.sleep(0.05)

    async def number(self) -> int:
        return self.token


@pytest.fixture(autouse=True)
def _fresh():
    LIVES.clear()
    WRITES.clear()


def check_lives():
    now = trio.current_time()
    for (token, _, ended), (after, began, _) in itertools.pairwise(LIVES):
        assert after > token, "tokens only rise"
        assert ended is not None, f"{token} still runs"
        assert ended <= began, f"{token} ran until {ended}, {after} from {began}, now {now}"
    tokens = [token for _, token in WRITES]
    assert tokens == sorted(tokens), "nobody writes after a later one did"


async def until(condition, within_s=60.0):
    with trio.fail_after(within_s):
        while not condition():
            await trio.sleep(0.05)


def host_of(cluster):
    rows = [row for node in cluster.nodes for row in node.kv.rows(keys.instances_of(BASE)) if row.state == "ACTIVE"]
    return max(rows, key=lambda row: row.token).node


async def test_one_instance_runs_although_others_could(aether_cluster):
    cluster = await aether_cluster(Writer, nodes=3)
    await trio.sleep(5)

    assert len(LIVES) == 1
    assert LIVES[0][0] == 1
    assert await cluster.get(Writer).number() == 1
    check_lives()


async def test_an_isolated_singleton_stops_by_itself_before_another_starts_and_cannot_write(aether_cluster):
    cluster = await aether_cluster(Writer, nodes=3)
    name = host_of(cluster)
    others = [node.node for node in cluster.nodes if node.node != name]
    began = trio.current_time()
    cluster.partition([name], others)
    await until(lambda: len(LIVES) == 2)

    assert LIVES[0][2] is not None
    assert LIVES[0][2] < LIVES[1][1]
    assert LIVES[1][1] - began >= SINGLETON_LOST_S * 0.9
    await trio.sleep(2)
    cluster.heal()
    await trio.sleep(10)
    check_lives()
    assert len(LIVES) == 2, "the one that came back is told that it is not needed"
    assert await cluster.node(name).get(Writer).number() == LIVES[1][0]


async def test_a_short_break_stops_nobody(aether_cluster):
    cluster = await aether_cluster(Writer, nodes=3)
    name = host_of(cluster)
    cluster.partition([name], [node.node for node in cluster.nodes if node.node != name])
    await trio.sleep(0.7)
    cluster.heal()
    await trio.sleep(10)

    assert len(LIVES) == 1
    check_lives()


async def test_a_crashed_node_is_replaced_and_a_drained_one_gives_its_singleton_away(aether_cluster):
    cluster = await aether_cluster(Writer, nodes=3)
    first = host_of(cluster)
    await cluster.kill(first)
    LIVES[0][2] = LIVES[0][2] or trio.current_time()
    await until(lambda: len(LIVES) == 2)
    await cluster.restart(first)
    second = host_of(cluster)
    await cluster.node(first).drain(second)
    await until(lambda: len(LIVES) == 3)
    await trio.sleep(5)

    check_lives()
    assert host_of(cluster) != second


async def test_a_stale_token_is_refused_at_the_write_and_a_current_one_is_not(aether_cluster):
    cluster = await aether_cluster(Writer, nodes=1)
    kv = cluster.nodes[0].kv
    stale, current = (ReplicatedBackend(kv, "fenced", Fence(BASE, token)) for token in (0, 1))

    assert await current.apply({b"k": b"1"}, {})
    with pytest.raises(Conflict, match="token 1 has taken over"):
        await stale.apply({b"k": b"0"}, {})
    entry = await current.get(b"k")
    assert entry is not None
    assert entry.value == b"1"
    assert not await current.apply({b"k": b"2"}, {b"k": 999_999}), "another version is still only False"


@pytest.mark.parametrize("seed", range(6))
async def test_over_random_partitions_no_two_run_at_once_and_no_stale_write_is_kept(aether_cluster, seed):
    draw = random.Random(seed)
    cluster = await aether_cluster(Writer, nodes=3)
    names = [node.node for node in cluster.nodes]
    for _ in range(4):
        shuffled = draw.sample(names, 3)
        if draw.random() < 0.5:
            cluster.partition(shuffled[:1], shuffled[1:])
        else:
            cluster.partition(shuffled[:1], shuffled[1:2])  # the third still hears both
        await trio.sleep(draw.choice([0.5, 1.9, 2.1, 5.0, 9.0, 15.0]))
        cluster.heal()
        await trio.sleep(draw.choice([0.1, 1.0, 4.0]))
    await trio.sleep(25)

    check_lives()
    assert LIVES[-1][2] is None, "and in the end one runs"
    assert await cluster.nodes[0].get(Writer).number() == LIVES[-1][0]


def test_a_singleton_that_wants_several_instances_is_refused_with_the_fix():
    with pytest.raises(aether.ContractError, match="leave it out"):

        @aether.slice(singleton=True, instances=2)
        class Twice:
            async def ask(self) -> int:
                return 1


async def test_in_a_unit_test_the_token_is_nought_and_the_map_in_memory():
    writer = Writer()

    assert await writer.number() == 0
    await writer.book.put("owner", 1)

"""Slices that sleep while nobody calls them, on whole nodes in virtual time."""

from collections import Counter
from collections.abc import AsyncIterator
from random import Random

import pytest
import trio

import aether
from aether.kv import keys
from aether.model.artifact import ArtifactBase
from aether.model.lifecycle import SliceState
from aether.web.request import Request

IDLE_S = 3.0


@aether.slice(artifact="light:echo:1.0.0", instances=aether.Scale(0, 3, idle_s=IDLE_S))
class Echo:
    @aether.get("/echo/{text}")
    async def echo(self, text: str) -> str:
        await trio.sleep(0.02)
        return text

    async def ticks(self, count: int) -> AsyncIterator[int]:
        for tick in range(count):
            yield tick
            await trio.sleep(1)


@aether.slice(artifact="light:front:1.0.0")
class Front:
    echo: Echo

    @aether.method(idempotent=True)
    async def greet(self, name: str) -> str:
        return await self.echo.echo(name)


@aether.slice(artifact="light:broken:1.0.0", instances=aether.Scale(0, 3, idle_s=IDLE_S))
class Broken:
    starts: aether.Map[str, int] = aether.map("starts")

    @aether.lifespan
    async def lifespan(self):
        if await self.starts.get("n"):
            raise ValueError("the second start fails")
        await self.starts.put("n", 1)
        yield

    @aether.get("/broken")
    async def ask(self) -> int:
        return 1


ECHO = ArtifactBase.parse("light:echo")


def standing(node, base=ECHO):
    """(wanted, instances in any state, owner of the count)"""
    desired, override = node.kv.get(keys.desired(base)), node.kv.get(keys.override(base))
    return desired.instances, len(list(node.kv.rows(keys.instances_of(base)))), override and override.owner


async def asleep(cluster, base=ECHO):
    """Return once it sleeps and nothing of it is left, for every node."""
    with trio.fail_after(60):
        while any(standing(node, base)[:2] != (0, 0) for node in cluster.nodes):
            await trio.sleep(0.1)


async def test_a_slice_begins_with_one_instance_sleeps_unused_and_wakes_with_the_next_call(aether_cluster):
    cluster = await aether_cluster(Echo, nodes=3)
    assert standing(cluster.nodes[0]) == (1, 1, None)

    await asleep(cluster)
    assert standing(cluster.nodes[0])[2] == "sleep"

    assert await cluster.get(Echo).echo("a") == "a"
    assert standing(cluster.nodes[0]) == (1, 1, "ingress")
    [row] = cluster.nodes[0].kv.rows(keys.instances_of(ECHO))
    assert (row.state, row.idle_since) == (SliceState.ACTIVE, 0.0)


async def test_a_used_slice_stays_and_a_stream_is_use(aether_cluster):
    cluster = await aether_cluster(Echo, nodes=2)
    echo = cluster.get(Echo)
    for _ in range(5):
        await trio.sleep(IDLE_S * 0.6)
        await echo.echo("a")
    async with aether.stream(echo.ticks(10)) as ticks:
        assert [tick async for tick in ticks] == list(range(10))

    assert standing(cluster.nodes[0]) == (1, 1, None)


async def test_streams_other_slices_and_http_wake_it_on_any_node(aether_cluster):
    cluster = await aether_cluster(Echo, Front, nodes=3)

    async def streamed(node):
        async with aether.stream(node.get(Echo).ticks(2)) as ticks:
            assert [tick async for tick in ticks] == [0, 1]

    async def called(node):
        assert await node.get(Front).greet("ann") == "ann"

    async def requested(node):
        response = await node._node.slice_handler()(Request(verb="GET", path="/echo/hello"))
        assert (response.status, response.body) == (200, b'"hello"')

    for ask in (streamed, called, requested):
        for node in cluster.nodes:
            await asleep(cluster)
            await ask(node)


async def test_a_thousand_calls_on_three_nodes_wake_it_by_one_write(aether_cluster):
    cluster = await aether_cluster(Echo, nodes=3)
    await asleep(cluster)
    before = [(key, version) for key, _, version in cluster.nodes[0].kv.scan(keys.OVERRIDES)]
    answers = Counter()

    async def ask(node):
        with trio.fail_after(20):
            answers[await node.get(Echo).echo("a")] += 1

    async with trio.open_nursery() as nursery:
        for node in cluster.nodes:
            for _ in range(200):
                nursery.start_soon(ask, node)

    assert answers == {"a": 600}
    [(key, version)] = [(key, version) for key, _, version in cluster.nodes[0].kv.scan(keys.OVERRIDES)]
    assert (key, version) > before[0]
    desired = cluster.nodes[0].kv.version(keys.desired(ECHO))
    assert desired == version  # one batch wrote both, and nothing after it


async def test_more_calls_than_its_queue_are_refused_by_each_node_while_it_wakes(aether_cluster):
    cluster = await aether_cluster(Echo, nodes=1)
    await asleep(cluster)
    outcomes = Counter()

    async def ask():
        try:
            await cluster.nodes[0].get(Echo).echo("a")
            outcomes["ok"] += 1
        except aether.Overloaded:
            outcomes["refused"] += 1

    async with trio.open_nursery() as nursery:
        for _ in range(300):
            nursery.start_soon(ask)

    assert outcomes == {"ok": 256, "refused": 44}


async def test_who_calls_a_slice_that_cannot_wake_learns_why(aether_cluster):
    base = ArtifactBase.parse("light:broken")
    cluster = await aether_cluster(Broken, nodes=2)
    await asleep(cluster, base)

    with pytest.raises(aether.NoInstance, match=r"FAILED.*second start fails"), trio.fail_after(20):
        await cluster.get(Broken).ask()
    with pytest.raises(aether.NoInstance, match=r"FAILED.*second start fails"), trio.fail_after(1):
        await cluster.nodes[1]._node.slice_handler()(Request(verb="GET", path="/broken"))
    await asleep(cluster, base)  # and it does not try for ever


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_thousands_of_calls_at_random_times_never_fail_though_it_sleeps_between_them(aether_cluster, seed):
    """0 -> 1 -> 0 -> 1 ...: bursts and pauses around the idle time, from every node, while the leader is cut off."""
    cluster = await aether_cluster(Echo, Front, nodes=3, seed=seed)
    rng = Random(seed)
    done, slept = Counter(), set()

    async def ask(node, number):
        with trio.fail_after(25):
            if number % 3:
                done[await node.get(Echo).echo("a")] += 1
            else:
                done[await node.get(Front).greet("a")] += 1

    async def watch():
        while True:
            desired = cluster.nodes[0].kv.get(keys.desired(ECHO))
            if desired.instances == 0:
                slept.add(cluster.nodes[0].kv.version(keys.desired(ECHO)))
            await trio.sleep(0.05)

    calls = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        async with trio.open_nursery() as callers:
            for turn in range(40):
                if turn % 10 == 5:
                    leader = await cluster.wait_leader()
                    others = [n._node.config.node for n in cluster.nodes if n is not leader]
                    cluster.partition([leader._node.config.node], others)
                served = [n for n in cluster.nodes if turn % 10 != 5 or n is not leader]
                for _ in range(rng.randrange(1, 100)):
                    calls += 1
                    callers.start_soon(ask, rng.choice(served), calls)
                    await trio.sleep(rng.expovariate(100))
                if turn % 10 == 5:
                    await trio.sleep(rng.uniform(0, 6))
                    cluster.heal()
                await trio.sleep(rng.choice([IDLE_S, IDLE_S + rng.uniform(-0.3, 1.5), 0.1]))
        nursery.cancel_scope.cancel()

    assert done == {"a": calls}
    assert len(slept) >= 5, "it hardly ever slept: the test says nothing"

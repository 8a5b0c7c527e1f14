"""A cluster in memory behaves as the real one, in no time at all."""

import os
import time

import pytest
import trio

import aether
from aether.kv import keys


class Empty(aether.Fault):
    """There is nothing to take."""

    status = 409
    name: str


@aether.slice(artifact="tests.memory:counter:1.0.0")
class Counter:
    counts: aether.Map[str, int] = aether.map("counts")

    @aether.method(idempotent=False)
    async def add(self, name: str) -> int:
        return await self.counts.update(name, lambda n: (n or 0) + 1) or 0

    @aether.method(idempotent=True)
    async def put(self, name: str, value: int) -> None:
        await self.counts.put(name, value)

    @aether.method(idempotent=True)
    async def take(self, name: str) -> int:
        found = await self.counts.get(name)
        if found is None:
            raise Empty(name=name)
        return found


async def test_state_survives_the_death_of_any_one_node(aether_cluster):
    """What a map holds is on a majority before anybody is told so."""
    cluster = await aether_cluster(Counter, nodes=3)
    await cluster.get(Counter).add("a")

    for name in ("node-1", "node-2", "node-3"):
        await cluster.kill(name)
        assert await cluster.get(Counter).take("a") == 1
        await cluster.restart(name)


async def test_a_fault_keeps_its_class_and_fields_across_nodes(aether_cluster):
    cluster = await aether_cluster(Counter, nodes=3)

    for node in cluster.nodes:
        with pytest.raises(Empty) as caught:
            await node.get(Counter).take("nothing")
        assert caught.value.name == "nothing"


async def test_a_leader_cut_off_is_replaced_and_learns_what_it_missed(aether_cluster):
    """The minority side changes nothing; after healing all copies agree."""
    cluster = await aether_cluster(Counter, nodes=3)
    old = await cluster.wait_leader()
    others = [node for node in cluster.nodes if node is not old]

    cluster.partition([old.node], [node.node for node in others])
    with trio.fail_after(60):
        await others[0].get(Counter).put("b", 1)
    cluster.heal()

    with trio.fail_after(60):
        await old.kv.barrier()
    assert await old.map("counts", str, int).get("b") == 1


async def test_a_killed_nodes_instances_move(aether_cluster):
    cluster = await aether_cluster(Counter, nodes=3)
    await cluster.nodes[0].scale("tests.memory:counter", 3)

    await cluster.kill("node-2")

    assert await cluster.get(Counter).add("c") == 1


async def test_waiting_takes_no_real_time(aether_cluster):
    """An hour of cluster time must not cost a tester's afternoon."""
    began = time.monotonic()
    await aether_cluster(Counter, nodes=3)

    await trio.sleep(60)

    assert time.monotonic() - began < 30


async def test_a_slice_that_cannot_start_says_why(aether_cluster):
    @aether.slice(artifact="tests.memory:broken:1.0.0")
    class Broken:
        needed: str = aether.config("no.such.setting")

        async def nothing(self) -> None: ...

    with pytest.raises(aether.NoInstance, match=r"no\.such\.setting"):
        await aether_cluster(Broken, nodes=1)


async def test_all_nodes_name_the_same_cluster_to_their_peers(aether_cluster):
    """Two clusters may share a name and the names of their nodes; what they drew at random tells them apart."""
    cluster = await aether_cluster(nodes=3)

    told = {node._node.transport._identity.cluster_uuid for node in cluster.nodes}
    kept = {node.kv.get(keys.cluster).uuid for node in cluster.nodes}
    assert told == kept
    assert len(kept) == 1


async def test_a_slice_with_a_process_of_its_own_lives_in_the_node_under_virtual_time(aether_cluster):
    """Another process would be awaited in real time, while the clock of the test jumps."""

    @aether.slice(host="process", memory_mb=512)
    class Apart:
        async def pid(self) -> int:
            return os.getpid()

    cluster = await aether_cluster(Apart, nodes=1)

    assert await cluster.get(Apart).pid() == os.getpid()

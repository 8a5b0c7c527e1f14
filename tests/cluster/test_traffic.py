"""Weights of versions, from the row that any node may write to the calls of every node."""

import pytest
import trio

import aether
from aether.kv import keys
from aether.kv.commands import Batch, Delete, Put
from aether.model.artifact import ArtifactBase
from aether.model.rows import TrafficRow


@aether.slice(artifact="shop:greeter:1.0.0")
class Greeter:
    async def greet(self) -> str:
        return "hello"


async def test_a_version_without_weight_gets_no_call_until_it_has_some(aether_cluster):
    cluster = await aether_cluster(Greeter, nodes=2)
    base = ArtifactBase.parse("shop:greeter")
    node, other = cluster.nodes
    weights = TrafficRow(artifact=base, weights={"2.0.0": 1})
    await node.kv.propose(Batch(changes=(Put(keys.traffic(base), weights),)))
    await other.kv.barrier()
    await trio.sleep(0.1)

    with pytest.raises(aether.NoInstance, match="traffic"), trio.fail_after(1):
        await other.get(Greeter).greet()

    await node.kv.propose(Batch(changes=(Delete(keys.traffic(base)),)))
    assert await other.get(Greeter).greet() == "hello"


async def test_a_node_tells_its_zone():
    async with aether.Cluster.open(Greeter, zone="rack-1") as cluster:
        rows = list(cluster.kv.rows(keys.MEMBERS))

    assert [dict(row.labels) for row in rows] == [{"zone": "rack-1"}]


async def test_a_node_tells_its_labels():
    async with aether.Cluster.open(Greeter, zone="rack-1", labels={"disk": "ssd"}) as cluster:
        (row,) = cluster.kv.rows(keys.MEMBERS)

    assert row.labels == {"zone": "rack-1", "disk": "ssd"}

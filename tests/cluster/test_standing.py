"""What an application sees of its cluster: events as they come, figures as they are."""

import pytest
import trio

import aether
from aether.kv import keys


@aether.slice(artifact="tests.standing:prices:1.0.0", instances=2)
class Prices:
    async def price(self, ok: bool = True) -> int:
        await trio.sleep(0.05)
        if not ok:
            raise ValueError("no")
        return 3


async def first(events, kind):
    with trio.fail_after(30):
        while True:
            event = await anext(events)
            if event.type == kind:
                return event


async def test_events_are_told_as_they_come_the_same_on_every_node(aether_cluster):
    cluster = await aether_cluster(Prices, nodes=3)
    here, there = (node.events() for node in cluster.nodes[:2])
    await cluster.nodes[2].scale(Prices, 3)

    scaled = await first(here, "SCALED")
    assert (await first(there, "SCALED")) == scaled
    assert scaled.ordered
    assert scaled.subject == "tests.standing:prices"


async def test_events_since_one_of_them_leave_none_out(aether_cluster):
    cluster = await aether_cluster(Prices, nodes=1)
    node = cluster.nodes[0]
    begun = await first(node.events(since="0"), "DEPLOYMENT_COMPLETED")
    await node.scale(Prices, 1)
    told = []
    with trio.move_on_after(5):
        async for event in node.events(since=begun.id):
            told.append(event)

    assert begun not in told
    assert "SCALED" in [event.type for event in told]
    with pytest.raises(aether.BadInput, match="since"):
        node.events(since="yesterday")


async def test_who_reads_too_slowly_is_told_and_goes_on_from_what_is_kept(aether_cluster):
    cluster = await aether_cluster(Prices, nodes=1)
    node = cluster.nodes[0]
    node._node.operations.events._events._kept_max = 3
    events = node.events()
    for count in (3, 4, 5, 6):
        await node.scale(Prices, count)
        await trio.sleep(5)

    with pytest.raises(aether.TryAgain, match="forgotten"):
        await first(events, "SCALED")
    assert (await first(node.events(since="0"), "DEPLOYMENT_COMPLETED")).ordered


async def test_metrics_tell_nodes_and_percentiles_of_each_method(aether_cluster):
    cluster = await aether_cluster(Prices, nodes=3)
    prices = cluster.nodes[0].get(Prices)
    for _ in range(30):
        await prices.price()
    with pytest.raises(aether.CallFailed):
        await prices.price(ok=False)
    await trio.sleep(15)

    for node in cluster.nodes:
        metrics = node.metrics
        assert sorted(metrics.nodes) == ["node-1", "node-2", "node-3"]
        assert max(metrics.ages_s.values()) < 3.2
        (price,) = metrics.of(Prices)
        assert (price.method, price.calls, price.failures) == ("price", 31, 1)
        assert price.p50_s == pytest.approx(0.05, rel=0.1)
        assert price.p99_s >= price.p50_s
        assert metrics.of("tests.standing:prices") == [price]
        assert metrics.of("tests.standing:other") == []
    with pytest.raises(aether.BadInput):
        cluster.nodes[0].metrics.of("nonsense")


async def test_a_scale_for_a_time_ends_by_itself(aether_cluster):
    cluster = await aether_cluster(Prices, nodes=2)
    node = cluster.nodes[0]
    await node.scale(Prices, 4, for_s=20)

    def wanted():
        return [row.instances for row in node._node.kv.rows(keys.DESIRED)]

    assert wanted() == [4]
    await trio.sleep(15)
    assert wanted() == [4]
    await trio.sleep(15)
    assert wanted() == [2]


async def test_nodes_of_a_local_cluster_have_labels():
    labels = {"node-2": {"disk": "ssd"}}
    async with aether.Cluster.local(nodes=2, labels=labels) as cluster:
        rows = {row.node: row.labels for row in cluster.nodes[0].kv.rows(keys.MEMBERS)}

    assert rows["node-2"]["disk"] == "ssd"
    assert "disk" not in rows["node-1"]
    with pytest.raises(aether.BadInput, match="node-7"):
        async with aether.Cluster.local(nodes=2, labels={"node-7": {}}):
            pass

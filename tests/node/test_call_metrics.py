"""Calls of real nodes are counted, and which of them are slow is one setting of the cluster."""

import pytest
import trio

import aether
from aether.errors import BadInput
from aether.kv import keys
from aether.kv.commands import Batch, Put
from aether.metrics.slow_calls import DEFAULT, SLOW_CALLS, Fixed, read_strategy
from aether.model.setting import SettingRow


class Odd(aether.Fault):
    """It is odd."""

    status = 409


@aether.slice(artifact="tests.calls:sleeper:1.0.0")
class Sleeper:
    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def refuse(self) -> None:
        raise Odd

    async def crash(self) -> None:
        raise ValueError("on purpose")


def figures_of(node):
    return {each.method: each for each in node.operations.call_metrics.figures.methods()}


async def test_calls_are_counted_by_method_with_their_failures_and_what_was_slow(aether_cluster):
    cluster = await aether_cluster(Sleeper, nodes=1)
    node = cluster.nodes[0]._node
    sleeper = cluster.get(Sleeper)
    await node.operations.call_metrics.set_strategy(Fixed(0.5), "ann")
    for _ in range(9):
        await sleeper.sleep(0.1)
    await sleeper.sleep(2.0)
    with pytest.raises(Odd):
        await sleeper.refuse()
    with pytest.raises(aether.CallFailed):
        await sleeper.crash()
    figures = figures_of(node)

    assert (figures["sleep"].calls, figures["sleep"].failures, figures["sleep"].slow) == (10, 0, 1)
    assert figures["sleep"].p50_s == pytest.approx(0.1, rel=0.011)
    assert figures["sleep"].p99_s == pytest.approx(2.0, rel=0.011)
    assert str(figures["sleep"].artifact) == "tests.calls:sleeper:1.0.0"
    assert (figures["refuse"].calls, figures["refuse"].failures) == (1, 0), "what the contract says is no failure"
    assert (figures["crash"].calls, figures["crash"].failures) == (1, 1)
    (slow,) = node.operations.call_metrics.figures.slow_calls()
    assert (slow.method, slow.node, slow.call.error) == ("sleep", node.config.node, "")
    assert slow.call.latency_s == pytest.approx(2.0)
    assert slow.call.request_id


async def test_a_call_is_in_flight_until_it_ends(aether_cluster):
    cluster = await aether_cluster(Sleeper, nodes=1)
    node = cluster.nodes[0]._node
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cluster.get(Sleeper).sleep, 5.0)
        await trio.sleep(1)
        assert figures_of(node)["sleep"].in_flight == 1
    await trio.sleep(1)
    assert figures_of(node)["sleep"].in_flight == 0


async def test_a_call_that_ran_out_of_time_is_slow_and_one_that_was_given_up_is_not(aether_cluster):
    cluster = await aether_cluster(Sleeper, nodes=1)
    node = cluster.nodes[0]._node
    with trio.move_on_after(3.0):
        await cluster.get(Sleeper).sleep(100.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cluster.get(Sleeper).sleep, 100.0)
        await trio.sleep(3.0)
        nursery.cancel_scope.cancel()
    (slow,) = node.operations.call_metrics.figures.slow_calls()

    assert slow.call.error == "the time was over"
    assert slow.call.latency_s == pytest.approx(3.0, abs=0.01)


async def test_the_strategy_is_one_for_all_nodes_and_outlives_them(aether_cluster):
    cluster = await aether_cluster(Sleeper, nodes=3)
    calls = [each._node.operations.call_metrics for each in cluster.nodes]
    assert [each.strategy for each in calls] == [DEFAULT] * 3

    await calls[1].set_strategy(read_strategy({"type": "fixed", "thresholdMs": 7}), "ann")
    await trio.sleep(1)
    assert [each.strategy for each in calls] == [Fixed(0.007)] * 3

    await cluster.kill("node-3")
    await cluster.restart("node-3")
    await trio.sleep(1)
    assert cluster.nodes[2]._node.operations.call_metrics.strategy == Fixed(0.007)


async def test_a_setting_that_is_no_strategy_changes_nothing_and_is_said(aether_cluster, caplog):
    cluster = await aether_cluster(nodes=1)
    node = cluster.nodes[0]._node
    with caplog.at_level("WARNING", "aether.node"):
        row = SettingRow(value='{"type": "loud"}')
        await node.kv.propose(Batch(changes=(Put(keys.setting(SLOW_CALLS), row),)))
        await trio.sleep(1)

    assert node.operations.call_metrics.strategy == DEFAULT
    assert "loud" in caplog.text


async def test_what_one_node_counted_is_taken_by_another_and_lies_are_not(aether_cluster):
    cluster = await aether_cluster(Sleeper, nodes=3)
    await cluster.nodes[0].get(Sleeper).sleep(0.1)
    first, second = (each._node.operations.call_metrics.figures for each in cluster.nodes[:2])
    second.take(cluster.nodes[0]._node.config.node, first.local_snapshot())

    assert sum(each.calls for each in second.methods()) == 1
    with pytest.raises(BadInput):
        second.take(cluster.nodes[0]._node.config.node, b"lies")


async def test_every_node_knows_of_the_calls_of_all(aether_cluster):
    """Nodes tell each other, by the leader, every ten seconds: whoever is asked answers for the cluster."""
    cluster = await aether_cluster(Sleeper, nodes=3)
    for node in cluster.nodes:
        await node.get(Sleeper).sleep(0.1)
    await trio.sleep(30)

    assert [figures_of(each._node)["sleep"].calls for each in cluster.nodes] == [3, 3, 3]

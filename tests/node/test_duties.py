"""A node is drained, comes back, and is shut down, as an operator sees it."""

import pytest
import trio

import aether
from aether.errors import Conflict, NotFound
from aether.kv import keys
from aether.model.duty import Duty, duties_of


@aether.slice(artifact="tests.duties:greeter:1.0.0", instances=3)
class Greeter:
    async def greet(self, name: str) -> str:
        await trio.sleep(0.02)
        return f"hello {name}"


def duty_of(cluster, node):
    kv = cluster.nodes[0].kv
    return duties_of(kv.rows(keys.MEMBERS), kv.rows(keys.DUTIES))[node]


def hosts(cluster):
    return sorted(row.node for row in cluster.nodes[0].kv.rows(keys.INSTANCES) if row.state == "ACTIVE")


async def until(condition, within_s=20.0):
    with trio.fail_after(within_s):
        while not condition():
            await trio.sleep(0.05)


async def test_a_drained_node_is_emptied_without_a_failed_call_and_comes_back(aether_cluster):
    cluster = await aether_cluster(Greeter, nodes=3)
    stop, answers = trio.Event(), []

    async def client(node):
        while not stop.is_set():
            answers.append(await cluster.node(node).get(Greeter).greet("ann"))

    async with trio.open_nursery() as nursery:
        for node in ("node-1", "node-2", "node-3"):
            nursery.start_soon(client, node)
        await trio.sleep(0.2)
        await cluster.node("node-1").drain("node-2")
        await until(lambda: duty_of(cluster, "node-2") is Duty.DECOMMISSIONED)
        assert "node-2" not in hosts(cluster)
        assert len(hosts(cluster)) == 3
        await cluster.node("node-2").activate("node-2")
        await until(lambda: duty_of(cluster, "node-2") is Duty.ON_DUTY)
        await cluster.node("node-1").drain("node-3")
        await until(lambda: duty_of(cluster, "node-3") is Duty.DECOMMISSIONED)
        assert "node-2" in hosts(cluster)
        await trio.sleep(0.5)
        stop.set()
    assert set(answers) == {"hello ann"}


async def test_a_restart_of_a_draining_node_keeps_it_draining(aether_cluster):
    cluster = await aether_cluster(Greeter, nodes=3)
    await cluster.node("node-1").drain("node-2")
    await cluster.kill("node-2")
    await cluster.restart("node-2")
    await until(lambda: duty_of(cluster, "node-2") is Duty.DECOMMISSIONED)
    await trio.sleep(5)

    assert "node-2" not in hosts(cluster)
    assert duty_of(cluster, "node-2") is Duty.DECOMMISSIONED


async def test_a_node_that_is_shut_down_leaves_in_order_and_works_again_when_it_is_started(aether_cluster):
    cluster = await aether_cluster(Greeter, nodes=3)
    leader = await cluster.wait_leader()
    name = leader.node
    other = next(node for node in cluster.nodes if node.node != name)
    term = other.kv.get(keys.leadership).term
    await other.shutdown(name)
    await until(lambda: name not in [node.node for node in cluster.nodes])

    assert other.kv.get(keys.leadership).term == term + 1, "leadership was handed over, not lost"
    assert len(hosts(cluster)) == 3
    assert duty_of(cluster, name) is Duty.SHUTTING_DOWN
    await cluster.restart(name)
    await until(lambda: duty_of(cluster, name) is Duty.ON_DUTY)
    await until(lambda: other.kv.get(keys.duty(name)) is None)


async def test_a_leader_that_drains_lets_another_lead_and_keeps_its_vote(aether_cluster):
    cluster = await aether_cluster(Greeter, nodes=3)
    name = (await cluster.wait_leader()).node
    await cluster.nodes[0].drain(name)
    await until(lambda: cluster.leader is not None and cluster.leader.node != name)
    await until(lambda: duty_of(cluster, name) is Duty.DECOMMISSIONED)

    assert name in cluster.nodes[0]._node.consensus.status.voters


async def test_words_that_cannot_be_carried_out_are_refused_and_repeats_are_harmless(aether_cluster):
    cluster = await aether_cluster(Greeter, nodes=2)
    one = cluster.node("node-1")
    duties = one._node.managers.duties

    with pytest.raises(NotFound, match="node-9"):
        await one.drain("node-9")
    await one.activate("node-2")
    first = await duties.drain("node-2")
    second = await duties.drain("node-2")
    assert (first.changed, second.changed) == (True, False)
    with pytest.raises(Conflict, match="no other node is on duty"):
        await one.drain("node-1")
    with pytest.raises(Conflict, match="no other node"):
        await one.shutdown("node-1")
    await one.activate("node-2")
    with pytest.raises(Conflict, match="too few voters"):
        await one.shutdown("node-2")


async def test_a_drain_that_nobody_can_relieve_waits_and_says_why_until_it_is_forced(aether_cluster):
    cluster = await aether_cluster(Greeter, nodes=3)
    text = 'id = "app"\n[[slices]]\nartifact = "tests.duties:greeter:1.0.0"\ninstances = 3\nmax_per_node = 1\n'
    await cluster.nodes[0].apply(text)
    await until(lambda: hosts(cluster) == ["node-1", "node-2", "node-3"])
    duties = cluster.node("node-1")._node.managers.duties
    wish = await duties.drain("node-2")
    await until(lambda: any("max_per_node" in line for line in wish.missing()))
    await trio.sleep(10)

    assert hosts(cluster) == ["node-1", "node-2", "node-3"]
    assert duty_of(cluster, "node-2") is Duty.DRAINING
    await duties.drain("node-2", force=True)
    await until(lambda: duty_of(cluster, "node-2") is Duty.DECOMMISSIONED)
    assert hosts(cluster) == ["node-1", "node-3"]


async def test_a_drain_never_takes_more_than_min_available_allows(aether_cluster):
    cluster = await aether_cluster(Greeter, nodes=3)
    text = 'id = "app"\n[[slices]]\nartifact = "tests.duties:greeter:1.0.0"\ninstances = 3\nmin_available = "100%"\n'
    await cluster.nodes[0].apply(text)
    fewest = [len(hosts(cluster))]

    async def watch():
        while True:
            fewest.append(len(hosts(cluster)))
            await trio.sleep(0.005)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        for node in ("node-2", "node-3"):
            await cluster.node("node-1").drain(node)
            await until(lambda node=node: duty_of(cluster, node) is Duty.DECOMMISSIONED)
            await cluster.node("node-1").activate(node)
        nursery.cancel_scope.cancel()
    assert min(fewest) == 3

"""Events of a whole cluster, in virtual time: the same story on every node."""

from __future__ import annotations

import trio

import aether
from aether.kv import keys
from aether.kv.commands import Batch, Put
from aether.metrics.events import LAST, Place
from aether.model.setting import SettingRow

PATIENCE_S = 60.0


@aether.slice(artifact="tests.events:greeter:1.0.0")
class Greeter:
    async def greet(self, name: str) -> str:
        return f"hello {name}"


async def until(condition):
    with trio.fail_after(PATIENCE_S):
        while not condition():
            await trio.sleep(0.1)


def story(node):
    """What the node knows of the cluster, as everybody sees it."""
    return [event.shown() for event in node._node.operations.events.after(Place(0, LAST))]


def local(node):
    found = node._node.operations.events.log.select(None, lambda event: not event.ordered, 1000)
    return [event.type.value for event in found.events]


async def settled(cluster):
    revision = max(node.kv.revision for node in cluster.nodes)
    await until(lambda: all(node.kv.revision >= revision for node in cluster.nodes))


async def change(node, text):
    await node.kv.propose(Batch(changes=(Put(keys.setting("log-levels"), SettingRow(value=text, by="ann")),)))


async def test_three_nodes_tell_the_same_events_under_the_same_ids_also_after_a_change_of_leader(aether_cluster):
    cluster = await aether_cluster(Greeter, nodes=3)
    await cluster.node("node-1").scale("tests.events:greeter", 2)
    old = (await cluster.wait_leader()).node
    await cluster.kill(old)
    survivors = [node for node in cluster.nodes if node.node != old]
    await until(lambda: cluster.leader is not None and cluster.leader.node != old)
    await change(survivors[0], "{}")
    await until(lambda: len({node.kv.revision for node in survivors}) == 1)

    first, second = map(story, survivors)
    assert first == second
    told = [event["type"] for event in first]
    assert {"LEADER_ELECTED", "NODE_JOINED", "DEPLOYMENT_STARTED", "DEPLOYMENT_COMPLETED", "OVERRIDE_SET"} <= set(told)
    assert told.count("LEADER_ELECTED") >= 2
    assert "SETTING_CHANGED" in told
    assert len({event["id"] for event in first}) == len(first)


async def test_a_node_that_starts_again_derives_the_same_ids_from_its_log(aether_cluster):
    cluster = await aether_cluster(nodes=3)
    await change(cluster.node("node-1"), "{}")
    await cluster.kill("node-2")
    await change(cluster.node("node-1"), "{}")
    await cluster.restart("node-2")
    await settled(cluster)
    await until(lambda: story(cluster.node("node-1")) == story(cluster.node("node-2")))


async def test_each_node_tells_what_it_alone_saw(aether_cluster):
    """The leader says who failed; who is cut off says that it hears no majority."""
    cluster = await aether_cluster(nodes=3)
    leader = (await cluster.wait_leader()).node
    lost, other = [node.node for node in cluster.nodes if node.node != leader]
    cluster.partition([lost], [leader, other])
    await until(lambda: "NODE_FAILED" in local(cluster.node(leader)))
    await until(lambda: "QUORUM_LOST" in local(cluster.node(lost)))
    cluster.heal()
    await until(lambda: "NODE_RETURNED" in local(cluster.node(leader)))
    await until(lambda: local(cluster.node(lost)).count("QUORUM_ESTABLISHED") == 2)

    assert "CONNECTION_FAILED" in local(cluster.node(lost))
    assert "NODE_FAILED" not in local(cluster.node(other))


async def test_who_follows_gets_what_happens_and_who_reads_sees_all_that_is_applied(aether_cluster):
    cluster = await aether_cluster(nodes=1)
    node = cluster.nodes[0]
    events = node._node.operations.events
    following = events.follow()
    await change(node, "{}")
    with trio.fail_after(5):
        event = await anext(following)

    assert event.type == "SETTING_CHANGED"
    assert event.id == f"{node.kv.version(keys.setting('log-levels'))}.0"


async def test_a_wait_for_the_next_event_that_is_cancelled_loses_nothing(aether_cluster):
    cluster = await aether_cluster(nodes=1)
    node = cluster.nodes[0]
    following = node._node.operations.events.follow()
    with trio.move_on_after(1):
        await anext(following)
    await change(node, "{}")
    await change(node, "{}")
    found = [await anext(following), await anext(following)]

    assert [event.type for event in found] == ["SETTING_CHANGED", "SETTING_CHANGED"]


async def test_a_node_knows_for_how_long_it_has_heard_no_majority(aether_cluster):
    cluster = await aether_cluster(nodes=3)
    node = cluster.node("node-1")._node
    assert node.operations.local_events.silent_s < 3
    cluster.partition(["node-1"], ["node-2", "node-3"])
    await trio.sleep(90)
    assert 80 < node.operations.local_events.silent_s <= 90
    cluster.heal()
    await trio.sleep(10)
    assert node.operations.local_events.silent_s < 3


def test_a_node_tells_whether_its_disk_is_full(monkeypatch):
    """`/health` asks it: a disk that writes nothing is no healthy node."""

    async def body():
        async with aether.Cluster.open(name="a") as cluster:
            node = cluster._node
            assert not node.facts.disk_is_full
            monkeypatch.setattr(type(node.consensus), "disk_is_full", True)
            assert node.facts.disk_is_full

    trio.run(body)

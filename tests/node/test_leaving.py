"""A node leaves: others take over, calls in flight finish, and nobody waits for what cannot come."""

import pytest
import trio

import aether
from aether.consensus.values import Role
from aether.errors import IdentityMismatch
from aether.wire.session import Refused, RefusedCode


@aether.slice(artifact="tests.leaving:slow:1.0.0", instances=3)
class Slow:
    async def sleep(self, seconds: float) -> float:
        await trio.sleep(seconds)
        return seconds


ONE_EACH = 'id = "app"\n[[slices]]\nartifact = "tests.leaving:slow:1.0.0"\ninstances = 3\nmax_per_node = 1\n'


async def test_a_drain_that_nobody_can_relieve_loses_no_call(aether_cluster):
    """The time for draining is for calls in flight too: it must not all be spent on waiting for a replacement."""
    cluster = await aether_cluster(Slow, nodes=3)
    await cluster.nodes[0].apply(ONE_EACH)
    answered, ended = [], trio.Event()

    async def client():
        while not ended.is_set():
            answered.append(await cluster.node("node-2").get(Slow).sleep(2.0))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(client)
            await trio.sleep(0.13)
        await cluster.node("node-1").drain()
        await cluster.kill("node-1")
        ended.set()
    assert len(answered) > 20


async def test_nodes_that_all_leave_at_once_do_not_wait_for_each_other(aether_cluster):
    """A whole cluster is stopped: nobody is left to take over, so there is nothing to wait for."""
    cluster = await aether_cluster(Slow, nodes=3)
    began = trio.current_time()

    async with trio.open_nursery() as nursery:
        for node in cluster.nodes:
            nursery.start_soon(node.drain)

    assert trio.current_time() - began < 3


async def test_a_leaving_nodes_instances_are_taken_over_before_it_stops(aether_cluster):
    cluster = await aether_cluster(Slow, nodes=3)
    await cluster.node("node-1").drain()

    from aether.kv import keys

    rows = list(cluster.node("node-2").kv.rows(keys.INSTANCES))
    assert sorted(row.node for row in rows if row.state == "ACTIVE") in (
        ["node-2", "node-2", "node-3"],
        ["node-2", "node-3", "node-3"],
    )


async def test_a_joined_node_does_not_die_of_a_strangers_refusal(aether_cluster, caplog):
    """Somebody starts a second node-1 at the address of node-2: the healthy one must not fall over it."""
    cluster = await aether_cluster(Slow, nodes=1)
    node = cluster.nodes[0]

    node._node._peer_refused("node-2", Refused(RefusedCode.DUPLICATE_ID, "node-1 is already here"))
    await trio.sleep(1)

    assert await node.get(Slow).sleep(0.1) == 0.1
    assert "refused at the address of node-2" in caplog.text


def test_the_refusal_of_a_lost_disk_names_the_fix():
    from aether.node.enrolment import lost_disk

    error = lost_disk("node-1")

    assert isinstance(error, IdentityMismatch)
    assert "--data-dir" in str(error)


@pytest.mark.parametrize("drains", [1, 2])
async def test_draining_twice_is_as_good_as_once(aether_cluster, drains):
    cluster = await aether_cluster(Slow, nodes=1)

    for _ in range(drains):
        await cluster.nodes[0].drain()

    assert cluster.nodes[0].addresses.draining


async def test_a_leader_that_leaves_hands_over_first(aether_cluster):
    """A rolling restart costs nobody an election."""
    cluster = await aether_cluster(Slow, nodes=3)
    nodes = [each._node for each in cluster.nodes]
    leader = next(node for node in nodes if node.consensus.status.role is Role.LEADER)
    term = leader.consensus.status.term
    began = trio.current_time()
    await leader.leave()
    others = [node for node in nodes if node is not leader]
    with trio.fail_after(0.5):
        while not any(node.consensus.status.role is Role.LEADER for node in others):
            await trio.sleep(0.01)
    assert max(node.consensus.status.term for node in others) == term + 1
    assert leader.consensus.status.role is not Role.LEADER
    assert trio.current_time() - began < 5


async def test_a_leader_without_an_heir_just_leaves(aether_cluster):
    """Everybody else is gone or leaves too."""
    cluster = await aether_cluster(Slow, nodes=1)
    await cluster.nodes[0]._node.leave()

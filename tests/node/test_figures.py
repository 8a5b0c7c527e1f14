"""Every node knows how all are doing, whoever leads, and the log knows nothing of it."""

from itertools import pairwise
from math import inf

import pytest
import trio

from aether.metrics.figures import FIGURES
from aether.model.ids import NodeId

OLD_S = 3.2
"""Measured up to a second before it is told, passed on a second later, in force for another; and a little latency."""


def figures(cluster, name):
    return next(node._node for node in cluster.nodes if node._node.config.node == name).operations.figures


def view(cluster, name):
    return figures(cluster, name).view


def leading(cluster):
    return cluster.leader._node.config.node


def names(cluster):
    return [node._node.config.node for node in cluster.nodes]


async def test_every_node_holds_the_figures_of_all_and_they_are_never_older_than_some_three_seconds(aether_cluster):
    cluster = await aether_cluster(nodes=5)
    await trio.sleep(5)

    for _ in range(50):
        await trio.sleep(0.1)
        for reader in names(cluster):
            assert sorted(view(cluster, reader).nodes()) == names(cluster)
            assert max(view(cluster, reader).age_s(node) for node in names(cluster)) < OLD_S


async def test_a_node_tells_every_figure_that_it_can_know(aether_cluster):
    """A figure without a source would be an empty curve for ever."""
    cluster = await aether_cluster(nodes=3)
    await trio.sleep(5)
    untold = set(FIGURES) - set(view(cluster, "node-1").nodes()["node-2"])

    assert untold == {"machine.cpu"}, "nobody scripted one"


async def test_what_a_process_uses_is_seen_on_every_node_within_three_seconds(aether_cluster):
    cluster = await aether_cluster(nodes=3)
    await trio.sleep(3)
    cluster.processes["node-2"].busy = 0.9
    cluster.processes["node-2"].rss_bytes = 512 * 2**20
    await trio.sleep(3)

    for reader in names(cluster):
        seen = view(cluster, reader).nodes()["node-2"]
        assert seen["cpu.usage"] == pytest.approx(0.9, rel=1e-2)
        assert seen["heap.usage"] == 0.5


async def test_figures_are_no_matter_of_the_log(aether_cluster):
    """A minute of figures, and nothing was proposed, on nobody's behalf."""
    cluster = await aether_cluster(nodes=3)
    await trio.sleep(30)
    before = [node._node.consensus.status.applied_index for node in cluster.nodes]
    await trio.sleep(60)

    assert [node._node.consensus.status.applied_index for node in cluster.nodes] == before
    assert len(view(cluster, "node-3").window(NodeId("node-1"), "cpu.usage", 55)) >= 54


async def test_a_new_leader_goes_on_and_nothing_of_the_past_is_lost(aether_cluster):
    """The window of survivors about survivors has every second, that of before the loss included."""
    cluster = await aether_cluster(nodes=5)
    await trio.sleep(30)
    leader = leading(cluster)
    a, b, *_ = [name for name in names(cluster) if name != leader]
    before = view(cluster, a).window(b, "loop.lag_s", 25)
    await cluster.kill(leader)
    await trio.sleep(20)
    after = view(cluster, a).window(b, "loop.lag_s", 60)

    assert set(before) <= set(after)
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(after)]
    assert max(gaps) <= 2.0
    assert view(cluster, a).age_s(b) < OLD_S
    assert leader not in view(cluster, a).nodes()
    assert view(cluster, a).window(leader, "loop.lag_s", 60), "what a dead node did last is what one wants to see"


async def test_without_a_majority_nodes_still_know_themselves_and_tell_the_rest_when_one_leads_again(aether_cluster):
    cluster = await aether_cluster(nodes=3)
    await trio.sleep(10)
    cluster.partition(["node-1"], ["node-2"], ["node-3"])
    await trio.sleep(8)
    assert view(cluster, "node-1").age_s("node-2") > 5
    assert view(cluster, "node-1").age_s("node-1") <= 1.1
    assert list(view(cluster, "node-1").nodes()) == ["node-1"]
    cluster.heal()
    await trio.sleep(15)

    for reader in names(cluster):
        for node in names(cluster):
            window = view(cluster, reader).window(node, "loop.lag_s", 30)
            assert max(later - earlier for (earlier, _), (later, _) in pairwise(window)) <= 8
            assert view(cluster, reader).age_s(node) < OLD_S


async def test_a_restarted_node_tells_new_figures_at_once(aether_cluster):
    """Its process counts from the beginning; nobody takes that for an old row."""
    cluster = await aether_cluster(nodes=3)
    await trio.sleep(10)
    follower = next(name for name in names(cluster) if name != leading(cluster))
    await cluster.kill(follower)
    await trio.sleep(3)
    await cluster.restart(follower)
    await trio.sleep(5)

    assert all(view(cluster, reader).age_s(follower) < OLD_S for reader in names(cluster))
    assert view(cluster, follower).age_s("nobody") == inf


async def test_how_long_an_instance_took_to_start_is_known_on_every_node(aether_cluster):
    import aether

    @aether.slice(artifact="shop:pricing:1.0.0", instances=2)
    class Pricing:
        async def quote(self) -> int:
            return 3

    cluster = await aether_cluster(Pricing, nodes=3)
    await trio.sleep(2)

    for reader in names(cluster):
        deployments = figures(cluster, reader).deployments
        (artifact,) = deployments.artifacts()
        found = deployments.of(artifact)
        assert str(artifact) == "shop:pricing:1.0.0"
        assert len(found) == 2
        for deployment in found:
            assert deployment.status == "SUCCESS"
            assert deployment.full_s is not None
            assert deployment.full_s == pytest.approx(sum(deployment.transitions_s.values()))


async def test_calls_of_a_second_are_counted(aether_cluster):
    import aether

    @aether.slice(artifact="shop:pricing:1.0.0", instances=1)
    class Pricing:
        async def quote(self, ok: bool) -> int:
            if not ok:
                raise ValueError("no")
            await trio.sleep(0.05)
            return 3

    cluster = await aether_cluster(Pricing, nodes=3)
    await trio.sleep(2)
    pricing = cluster.nodes[0].get(Pricing)
    for _ in range(60):
        await pricing.quote(True)
        with pytest.raises(aether.CallFailed):
            await pricing.quote(False)
    window = dict(view(cluster, "node-1").window(NodeId("node-1"), "calls.rate", 3))
    seen = view(cluster, "node-1").nodes()["node-1"]

    assert max(window.values()) == pytest.approx(2 / 0.05, rel=0.25)
    assert seen["calls.failure_rate"] == pytest.approx(0.5, abs=0.05)
    assert seen["calls.p99_s"] == pytest.approx(0.05, rel=0.1)

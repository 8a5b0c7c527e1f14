"""Updates on whole nodes: two versions that really differ, callers on every node, the leader killed on the way."""

import pytest
import trio

import aether
from aether.kv import keys
from aether.model.artifact import ArtifactBase
from aether.model.rollout import TERMINAL, RolloutState
from aether.model.version import Version


@aether.slice(artifact="shop:tariff:1.0.0", instances=3)
class Tariff:
    @aether.method(idempotent=True)
    async def price(self) -> str:
        return "old"


@aether.slice(artifact="shop:tariff:2.0.0", instances=3)
class NewTariff:
    @aether.method(idempotent=True)
    async def price(self) -> str:
        return "new"


BASE = ArtifactBase.parse("shop:tariff")


async def opened(aether_cluster):
    """The old version in force on three nodes that have both."""
    cluster = await aether_cluster(Tariff, NewTariff, nodes=3)
    node = cluster.nodes[0]
    if node.kv.get(keys.desired(BASE)).artifact.version != Version.parse("1.0.0"):
        await node.rollout("shop:tariff:1.0.0", strategy="immediate")
        await over(cluster)
    return cluster


async def over(cluster, *states):
    """The newest update, once it is over, or in one of `states`."""
    with trio.fail_after(120):
        while True:
            for node in cluster.nodes:
                rows = sorted(node.kv.rows(keys.ROLLOUTS), key=lambda row: row.created_at)
                if rows and rows[-1].state in (states or TERMINAL):
                    return rows[-1]
            await trio.sleep(0.05)


class Callers:
    """One caller on each node, all the time: what they were answered."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.answers = []
        self.failures = []

    async def call(self):
        while True:
            for node in self.cluster.nodes:
                if not node.addresses.ready:
                    continue
                try:
                    self.answers.append(await node.get(Tariff).price())
                except aether.AetherError as error:
                    self.failures.append(repr(error))
            await trio.sleep(0.02)


@pytest.mark.parametrize("strategy", ["immediate", "rolling", "canary", "blue_green"])
async def test_no_call_fails_while_each_strategy_replaces_the_version(aether_cluster, strategy):
    cluster = await opened(aether_cluster)
    callers = Callers(cluster)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(callers.call)
        await trio.sleep(0.2)
        steps = (25, 50) if strategy == "canary" else ()
        shown = await cluster.nodes[1].rollout("shop:tariff", "2.0.0", strategy=strategy, steps=steps)
        assert shown.row.by == "node node-2"
        row = await over(cluster)
        await trio.sleep(0.5)
        nursery.cancel_scope.cancel()
    assert (row.state, row.reason) == (RolloutState.COMPLETED, "")
    assert callers.failures == []
    assert (callers.answers[0], callers.answers[-1]) == ("old", "new")


async def test_the_leader_dies_during_an_update_and_the_next_one_ends_it(aether_cluster):
    cluster = await opened(aether_cluster)
    leader = await cluster.wait_leader()
    await leader.rollout("shop:tariff", "2.0.0", strategy="canary", steps=(50,), hold_s=2)
    await over(cluster, RolloutState.VALIDATING)
    await cluster.kill(leader.node)
    assert (await over(cluster)).state is RolloutState.COMPLETED
    assert {await node.get(Tariff).price() for node in cluster.nodes} == {"new"}


async def test_an_update_by_hand_and_back(aether_cluster):
    cluster = await opened(aether_cluster)
    node = cluster.nodes[2]
    await node.rollout("shop:tariff", "2.0.0", strategy="manual")
    await over(cluster, RolloutState.DEPLOYED)
    assert {await each.get(Tariff).price() for each in cluster.nodes for _ in range(4)} == {"old"}
    await node.rollouts.route("current", 1, 0)
    await trio.sleep(0.5)
    assert {await each.get(Tariff).price() for each in cluster.nodes for _ in range(4)} == {"new"}
    await node.rollouts.rollback("current")
    row = await over(cluster)
    assert row.state is RolloutState.ROLLED_BACK
    assert {await each.get(Tariff).price() for each in cluster.nodes for _ in range(4)} == {"old"}


async def test_a_plan_that_makes_no_sense_is_refused(aether_cluster):
    cluster = await opened(aether_cluster)
    with pytest.raises(aether.BadInput, match="'quick' is not a valid Strategy"):
        await cluster.nodes[0].rollout("shop:tariff", "2.0.0", strategy="quick")
    with pytest.raises(aether.Conflict, match=r"version 1\.0\.0 is in force already"):
        await cluster.nodes[0].rollout(Tariff)

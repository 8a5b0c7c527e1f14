"""A canary under load, in virtual time: the health that callers saw lets it go on, or takes it back."""

import attrs
import pytest
import trio

import aether
from aether.kv import keys
from aether.kv.commands import Batch, Put
from aether.model.artifact import Artifact
from aether.model.lifecycle import SliceState
from aether.model.rollout import Gates, RolloutPlan, RolloutState, Strategy

OLD = Artifact.parse("test.canary:shop:1.0.0")
PLAN = RolloutPlan(
    strategy=Strategy.CANARY,
    steps=(10, 50, 100),
    hold_s=5.0,
    gates=Gates(error_rate=0.05, p99_ms=200.0, requests_min=20),
)


@aether.slice(artifact=str(OLD), instances=2)
class Shop:
    async def place(self) -> str:
        return "1"


@aether.slice(artifact="test.canary:shop:2.0.0", instances=2)
class GoodShop:
    async def place(self) -> str:
        return "2"


@aether.slice(artifact="test.canary:shop:3.0.0", instances=2)
class BrokenShop:
    async def place(self) -> str:
        raise ValueError("no price")


@aether.slice(artifact="test.canary:shop:4.0.0", instances=2)
class SlowShop:
    async def place(self) -> str:
        await trio.sleep(0.5)
        return "4"


class Load:
    """Some calls a second from each node. answers  what came, failures  how many did not"""

    def __init__(self, nodes):
        self.nodes = nodes
        self.answers = []
        self.failures = 0

    async def run(self):
        async with trio.open_nursery() as nursery:
            for node in self.nodes:
                nursery.start_soon(self._of, node)

    async def _of(self, node):
        async with trio.open_nursery() as nursery:
            while True:
                nursery.start_soon(self._one, node.get(Shop))
                await trio.sleep(0.05)

    async def _one(self, shop):
        try:
            self.answers.append(await shop.place())
        except aether.CallFailed:
            self.failures += 1


async def offered(cluster, other):
    """Every node can load `other` from now on."""
    for node in cluster.nodes:
        inner = node._node
        inner.store.register(other)
        key = keys.member(inner.config.node)
        member = attrs.evolve(inner.kv.get(key), available=inner.store.available())
        await inner.kv.propose(Batch(changes=(Put(key, member),)))


async def outcome(cluster, version, other):
    """Begin the canary under load; its row when it is over."""
    await offered(cluster, other)
    load = Load(cluster.nodes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(load.run)
        await trio.sleep(1)
        rollouts = cluster.nodes[0]._node.managers.rollouts
        begun = await rollouts.start(str(OLD.base), version, PLAN, "tester")
        with trio.fail_after(300):
            while (row := (await rollouts.get(begun.row.id)).row).state not in _OVER:
                await trio.sleep(0.5)
        await trio.sleep(1)
        load.answers.clear()
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    return row, load


_OVER = (RolloutState.COMPLETED, RolloutState.ROLLED_BACK, RolloutState.FAILED)


async def test_a_healthy_canary_gets_all_the_traffic(aether_cluster):
    cluster = await aether_cluster(Shop, nodes=3)
    row, load = await outcome(cluster, "2.0.0", GoodShop)

    assert row.state is RolloutState.COMPLETED, row.reason
    assert set(load.answers) == {"2"}
    assert load.failures == 0


@pytest.mark.parametrize(
    ("version", "other", "reason"),
    [("3.0.0", BrokenShop, "calls to the new version failed"), ("4.0.0", SlowShop, "the new version's p99 is")],
)
async def test_an_unhealthy_canary_is_taken_back_with_the_reason(aether_cluster, version, other, reason):
    cluster = await aether_cluster(Shop, nodes=3)
    row, load = await outcome(cluster, version, other)

    assert row.state is RolloutState.ROLLED_BACK
    assert reason in row.reason
    assert set(load.answers) == {"1"}
    rows = cluster.nodes[0]._node.kv.rows(keys.instances_of(OLD.base))
    assert {r.artifact for r in rows if r.state is SliceState.ACTIVE} == {OLD}
    assert load.failures < 60, "it saw a tenth of the calls, and not for long"


async def apart(cluster):
    """The id of the leader, and beside it, so that they outlive it: who runs updates, and load."""
    leader = (await cluster.wait_leader()).node
    others = [node for node in cluster.nodes if node.node != leader]
    return leader, others[0]._node.managers.rollouts, Load(others)


async def test_the_calls_of_a_step_count_for_a_new_leader_too(aether_cluster):
    """Each node knows how its calls went since it goes by the step: who leads has nothing to remember, or to forget."""
    cluster = await aether_cluster(Shop, nodes=3)
    await offered(cluster, GoodShop)
    leader, rollouts, load = await apart(cluster)
    plan = attrs.evolve(PLAN, gates=Gates(error_rate=0.05, requests_min=100))

    async def row():
        return (await rollouts.get(begun.row.id)).row

    async with trio.open_nursery() as nursery:
        nursery.start_soon(load.run)
        begun = await rollouts.start(str(OLD.base), "2.0.0", plan, "tester")
        with trio.fail_after(60):
            while load.answers.count("2") < 60:
                await trio.sleep(0.1)
            before = await row()
            assert (before.state, before.step) == (RolloutState.VALIDATING, 0)
            await cluster.kill(leader)
            while (after := await row()).health == before.health:
                await trio.sleep(0.1)
            assert after.health["finding"] == "TOO_FEW"
            assert int(after.health["reason"].split()[0]) >= 60
            while (await row()).step == 0:
                await trio.sleep(0.1)
        assert load.answers.count("2") < 130
        nursery.cancel_scope.cancel()


async def test_errors_that_the_last_leader_saw_take_the_version_back(aether_cluster):
    """Of too few calls to judge by too many failed already; the next leader needs no more of them than the last one."""
    cluster = await aether_cluster(Shop, nodes=3)
    await offered(cluster, BrokenShop)
    leader, rollouts, load = await apart(cluster)
    plan = attrs.evolve(PLAN, gates=Gates(error_rate=0.5, requests_min=100))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(load.run)
        begun = await rollouts.start(str(OLD.base), "3.0.0", plan, "tester")
        with trio.fail_after(60):
            while load.failures < 40:
                await trio.sleep(0.1)
            await cluster.kill(leader)
            while (row := (await rollouts.get(begun.row.id)).row).state is not RolloutState.ROLLED_BACK:
                await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    assert "calls to the new version failed" in row.reason
    assert load.failures < 80


@aether.slice(artifact="test.canary:shop:5.0.0", instances=2)
class OtherShop:
    @aether.get("/places")
    async def places(self) -> str:
        return "5"


@aether.slice(artifact="test.canary:front:1.0.0", instances=1)
class Front:
    shop: Shop

    async def front(self) -> str:
        return await self.shop.place()


async def test_an_update_that_breaks_its_callers_is_refused_unless_forced(aether_cluster):
    cluster = await aether_cluster(Shop, Front, nodes=3)
    new = Artifact.parse("test.canary:shop:5.0.0")
    await offered(cluster, OtherShop)
    rollouts = cluster.nodes[0]._node.managers.rollouts
    with trio.fail_after(20):
        while cluster.nodes[0]._node.kv.get(keys.contract(new)) is None:
            await trio.sleep(0.1)
    with pytest.raises(aether.Conflict) as caught:
        await rollouts.start(str(new.base), "5.0.0", PLAN, "tester")
    assert "test.canary:front:1.0.0 calls it: place: method-removed" in str(caught.value)
    begun = await rollouts.start(str(new.base), "5.0.0", attrs.evolve(PLAN, force=True), "tester")
    assert begun.row.new == new.version

"""The controller in a whole cluster, in virtual time: from any node, through a change of leader, up and down again."""

import pytest
import trio

import aether
from aether.control.decision_tree import DecisionTreeController
from aether.control.recording import read
from aether.control.replay import replayed
from aether.errors import BadInput
from aether.kv import keys
from aether.kv.commands import Batch, Delete, Put
from aether.model.artifact import ArtifactBase
from aether.model.setting import SettingRow

ORDERS = ArtifactBase.parse("shop:orders")
QUICK = {
    "cpuScaleUpThreshold": 1.0,  # that of processes in memory means nothing here
    "cpuScaleDownThreshold": 0.99,
    "loopLagScaleUpThresholdSeconds": 60.0,
    "scaleUpWindowSeconds": 10.0,
    "scaleDownWindowSeconds": 40.0,
    "coolDownUpSeconds": 15.0,
    "coolDownDownSeconds": 40.0,
    "warmUpSeconds": 5.0,
    "instanceWarmUpSeconds": 2.0,
    "trendHorizonSeconds": 0.0,
}


@aether.slice(artifact="shop:orders:1.0.0", instances=aether.Scale(1, 6), concurrency=4)
class Orders:
    async def place(self, what: str) -> str:
        await trio.sleep(1)
        return what


def operator_of(node):
    return node._node.operations.controller.operator


def desired(node):
    return node._node.kv.get(keys.desired(ORDERS))


def leader_of(cluster):
    return next(node for node in cluster.nodes if node._node.kv.leadership is not None)


async def load(cluster, callers):
    """So many callers, each with one call after the other, on all nodes in turn."""

    async def call(number):
        orders = cluster.nodes[number % len(cluster.nodes)].get(Orders)
        while True:
            with trio.move_on_after(25):
                await orders.place("a")

    async with trio.open_nursery() as nursery:
        for number in range(callers):
            nursery.start_soon(call, number)


async def until(met, within_s):
    with trio.fail_after(within_s):
        while not met():
            await trio.sleep(1)


async def test_any_node_says_what_the_controller_does_and_thinks(aether_cluster):
    cluster = await aether_cluster(Orders, nodes=3)
    for node in cluster.nodes:
        operator = operator_of(node)

        status = await operator.status()
        assert status["status"] == "running"
        assert status["slices"] == ["shop:orders:1.0.0"]
        evaluated = await operator.evaluate()
        assert evaluated["leader"] == status["leader"]
        assert [each["artifact"] for each in evaluated["decisions"]] == ["shop:orders"]
        explained = await operator.explain("shop:orders")
        assert explained["why"][0] == "blueprint 'app' wants 1, within 1 to 6"
        assert explained["controller"]["action"] == "NoAction"


async def test_a_load_makes_a_slice_grow_and_its_end_makes_it_shrink_again(aether_cluster):
    """Twelve callers of four slots; then none."""
    cluster = await aether_cluster(Orders, nodes=3)
    operator = operator_of(cluster.nodes[0])
    await operator.configure(QUICK, by="ann")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(load, cluster, 12)
        await until(lambda: desired(cluster.nodes[0]).instances >= 3, 120)
        nursery.cancel_scope.cancel()
    grown = operator.history("shop:orders")
    assert [each["action"] for each in grown] == ["ScaleUp"] * len(grown)
    assert any(reason["rule"] in ("queue", "in-flight") for reason in grown[-1]["reasons"])
    override = cluster.nodes[0]._node.kv.get(keys.override(ORDERS))
    assert (override.owner, override.instances) == ("controller", desired(cluster.nodes[0]).instances)
    assert desired(cluster.nodes[0]).wished == 1

    await until(lambda: desired(cluster.nodes[0]).instances == 1, 600)

    whole = operator.history("shop:orders")
    ways = [each["action"] for each in reversed(whole)]
    assert ways == sorted(ways, reverse=True), "up first, then down, and never back"
    explained = await operator.explain("shop:orders")
    assert any("last change" in line for line in explained["why"])


async def test_a_new_leader_knows_the_cool_down_and_goes_on(aether_cluster):
    cluster = await aether_cluster(Orders, nodes=3)
    await operator_of(cluster.nodes[0]).configure(QUICK | {"coolDownUpSeconds": 38.0})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(load, cluster, 24)
        await until(lambda: desired(cluster.nodes[0]).instances == 2, 120)
        old = leader_of(cluster)
        first = operator_of(cluster.nodes[0]).history("shop:orders")[0]
        await old._node.membership.operator.transfer()
        await until(lambda: leader_of(cluster) is not old, 30)

        await until(lambda: desired(cluster.nodes[0]).instances > 2, 120)
        nursery.cancel_scope.cancel()

    later = operator_of(cluster.nodes[0]).history("shop:orders")[0]
    assert later["leader"] != first["leader"]
    assert later["at"] - first["at"] >= 38.0


async def test_settings_are_the_same_on_every_node_and_refused_when_they_make_no_sense(aether_cluster):
    cluster = await aether_cluster(Orders, nodes=3)
    first, second = map(operator_of, cluster.nodes[:2])
    revision = await first.configure({"cpuScaleUpThreshold": 0.9}, by="ann")
    await cluster.nodes[1]._node.kv.wait_applied(revision)
    assert second.config()["cpuScaleUpThreshold"] == 0.9

    with pytest.raises(BadInput, match="not fit"):
        await first.configure({"cpuScaleDownThreshold": 0.95})
    await first.configure({"cpuScaleDownThreshold": 0.1}, artifact="shop:orders")
    assert first.config()["slices"] == {"shop:orders": {"cpuScaleDownThreshold": 0.1}}
    await first.configure({}, reset=True)

    assert first.config()["cpuScaleUpThreshold"] == 0.8
    assert first.config()["slices"] == {}


async def test_in_shadow_it_decides_journals_once_and_changes_nothing(aether_cluster):
    cluster = await aether_cluster(Orders, nodes=1)
    operator = operator_of(cluster.nodes[0])
    await operator.configure(QUICK | {"shadow": True})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(load, cluster, 12)
        await until(lambda: operator.history(), 120)
        await trio.sleep(60)
        nursery.cancel_scope.cancel()

    (entry,) = operator.history()
    assert (entry["shadow"], entry["from"], entry["to"]) == (True, 1, 2)
    assert desired(cluster.nodes[0]).instances == 1
    assert cluster.nodes[0]._node.kv.get(keys.override(ORDERS)) is None


async def test_an_operators_word_stands_above_the_controller(aether_cluster):
    cluster = await aether_cluster(Orders, nodes=1)
    node = cluster.nodes[0]
    await operator_of(node).configure(QUICK)
    await node._node.operator.scale("shop:orders", 5, by="ann", for_s=100.0)
    await trio.sleep(80)
    assert desired(node).instances == 5

    explained = await operator_of(node).explain("shop:orders")
    assert explained["owner"] == "operator"
    await trio.sleep(40)

    assert desired(node).instances == 1
    assert operator_of(node).history() == []


@aether.slice(artifact="shop:reports:1.0.0", instances=aether.Scale(0, 4, idle_s=60), concurrency=2)
class Reports:
    async def make(self) -> str:
        await trio.sleep(1)
        return "done"


REPORTS = ArtifactBase.parse("shop:reports")


async def test_a_slice_that_may_sleep_grows_by_the_controller_and_sleeps_by_itself(aether_cluster):
    """One owner of nothing: the controller goes down to one at most, the sleep takes that one, a call wakes it."""
    cluster = await aether_cluster(Reports, nodes=1)
    node = cluster.nodes[0]
    kv = node._node.kv
    await operator_of(node).configure(QUICK)

    async def call():
        while True:
            await cluster.get(Reports).make()

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(call)
        await until(lambda: kv.get(keys.desired(REPORTS)).instances >= 2, 120)
        nursery.cancel_scope.cancel()
    assert kv.get(keys.override(REPORTS)).owner == "controller"

    await until(lambda: kv.get(keys.desired(REPORTS)).instances == 0, 400)
    assert kv.get(keys.override(REPORTS)).owner == "sleep"
    assert all(entry["to"] >= 1 for entry in operator_of(node).history())
    explained = await operator_of(node).explain("shop:reports")
    assert explained["asleep"]
    evaluated = await operator_of(node).evaluate()
    assert evaluated["decisions"][0]["reasons"][0]["rule"] == "asleep"

    assert await cluster.get(Reports).make() == "done"

    assert kv.get(keys.desired(REPORTS)).instances == 1
    assert kv.get(keys.override(REPORTS)).owner == "ingress"


async def test_whoever_only_rehearses_cannot_keep_the_controller_from_acting(aether_cluster):
    """A rehearsal is answered beside the looks of the loop, never in place of one."""
    cluster = await aether_cluster(Orders, nodes=1)
    operator = operator_of(cluster.nodes[0])
    await operator.configure(QUICK)

    async def rehearse_all_the_time():
        while True:
            await operator.evaluate(acts=False)
            await trio.sleep(0.1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(rehearse_all_the_time)
        nursery.start_soon(load, cluster, 12)
        await until(lambda: desired(cluster.nodes[0]).instances >= 2, 120)
        nursery.cancel_scope.cancel()


async def test_a_count_of_the_controller_ends_when_nobody_says_it_again(aether_cluster):
    """Said again while the loop runs; once it is switched off the blueprint's count holds after its time."""
    cluster = await aether_cluster(Orders, nodes=1)
    node = cluster.nodes[0]
    kv = node._node.kv
    await operator_of(node).configure(QUICK | {"overrideSeconds": 60.0, "scaleDownWindowSeconds": 900.0})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(load, cluster, 6)
        await until(lambda: desired(node).instances == 2, 120)
        nursery.cancel_scope.cancel()
    await trio.sleep(200)
    assert desired(node).instances == 2
    assert kv.get(keys.override(ORDERS)).owner == "controller"

    await operator_of(node).configure({"enabled": False})
    await until(lambda: desired(node).instances == 1, 90)

    assert kv.get(keys.override(ORDERS)) is None


async def test_a_recording_of_a_cluster_is_decided_about_the_same_again(aether_cluster):
    cluster = await aether_cluster(Orders, nodes=2)
    leader = leader_of(cluster)
    other = next(node for node in cluster.nodes if node is not leader)
    await operator_of(other).configure(QUICK)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(load, cluster, 12)
        await until(lambda: desired(other).instances >= 3, 120)
        nursery.cancel_scope.cancel()

    text = await operator_of(other).recording()

    made = list(replayed(read(text.splitlines()), DecisionTreeController()))
    assert all(each.is_same for each in made)
    assert any(each.decision.changes_something for each in made)


async def test_a_controller_that_nobody_registers_leaves_the_tree_at_work_and_says_so(aether_cluster):
    cluster = await aether_cluster(Orders, nodes=1)
    operator = operator_of(cluster.nodes[0])
    await operator.configure({"controller": "nobody"})

    evaluated = await operator.evaluate()
    assert evaluated["controller"] == "decision_tree"
    assert "nobody" in evaluated["problem"]
    assert "decision_tree" in evaluated["problem"], "the known names"

    await operator.configure({}, reset=True)
    assert (await operator.evaluate())["problem"] == ""


async def test_whoever_asks_often_does_not_push_out_what_was_seen(aether_cluster):
    cluster = await aether_cluster(Orders, nodes=1)
    node = cluster.nodes[0]
    await operator_of(node).configure(QUICK)
    await trio.sleep(60)
    for _ in range(30):
        await operator_of(node).evaluate()

    window = node._node.operations.controller.loop.evaluations[-1].context.slices[0].window
    assert window[-1].at - window[0].at >= 35.0
    assert len(window) < 20


async def test_whoever_rehearses_takes_nothing_away_from_who_acts(aether_cluster):
    """A rehearsal and a trigger at the same moment are two looks: one that changes nothing, and one that may."""
    cluster = await aether_cluster(Orders, nodes=1)
    loop = cluster.nodes[0]._node.operations.controller.loop
    acted = []
    act = loop._act

    async def noted(fence, rows, evaluation):
        acted.append(evaluation.context.now)
        return await act(fence, rows, evaluation)

    loop._act = noted
    found = {}

    async def ask(acts):
        found[acts] = await loop.evaluate(acts=acts)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, False)
        nursery.start_soon(ask, True)
    assert found[True].context.now in acted
    assert found[True] is not found[False]


async def test_rehearsals_one_after_the_other_do_not_keep_the_loop_from_acting(aether_cluster):
    cluster = await aether_cluster(Orders, nodes=1)
    loop = cluster.nodes[0]._node.operations.controller.loop
    acted = []
    act = loop._act

    async def noted(fence, rows, evaluation):
        acted.append(trio.current_time())
        return await act(fence, rows, evaluation)

    loop._act = noted
    for _ in range(60):
        await loop.evaluate(acts=False)
        await trio.sleep(0.5)

    assert 5 <= len(acted) <= 8, "every five seconds, as if nobody had asked"


async def test_a_row_that_cannot_be_read_stops_neither_decisions_nor_a_node(aether_cluster, caplog):
    """A later version wrote it, or a bug did; it is said once."""
    cluster = await aether_cluster(Orders, nodes=1)
    node = cluster.nodes[0]
    strange = keys.decision(ORDERS, 999)._replace(codec=keys.setting("strange").codec)
    await node._node.kv.propose(Batch(changes=(Put(strange, SettingRow(value="", by="later", at=1.0)),)))
    await trio.sleep(30)

    assert (await operator_of(node).evaluate())["decisions"]
    assert caplog.text.count("row decisions/shop:orders/999 cannot be read") == 1


async def test_where_an_override_cannot_be_read_nothing_is_written(aether_cluster):
    """An operator wants something, and nobody knows what: no decision goes over it until it is readable again."""
    cluster = await aether_cluster(Orders, nodes=1)
    node = cluster.nodes[0]
    key = keys.override(ORDERS)
    strange = key._replace(codec=keys.setting("strange").codec)
    sight = node._node.operations.controller.loop._sight
    await operator_of(node).evaluate()
    assert sight.stands(ORDERS)

    await node._node.kv.propose(Batch(changes=(Put(strange, SettingRow(value="", by="later", at=1.0)),)))
    await operator_of(node).evaluate()
    assert not sight.stands(ORDERS)

    await node._node.kv.propose(Batch(changes=(Delete(key),)))
    await operator_of(node).evaluate()
    assert sight.stands(ORDERS)


async def test_a_clock_that_steps_back_does_not_hold_decisions_back_for_as_long(aether_cluster):
    """How long this node leads is by the wall clock, which may have been wrong when it began."""
    cluster = await aether_cluster(Orders, nodes=1)
    node = cluster.nodes[0]
    await operator_of(node).configure(QUICK)
    await trio.sleep(30)
    loop = node._node.operations.controller.loop
    wall = loop._wall
    loop._wall = lambda: wall() - 3600.0
    await trio.sleep(60)

    (decision,) = (await operator_of(node).evaluate())["decisions"]
    rules = {reason["rule"] for reason in decision["reasons"]}
    assert not rules & {"leader-warm-up", "instance-warm-up", "short-window"}

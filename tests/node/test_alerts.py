"""Alerts of a whole cluster, in virtual time: the leader judges, everybody knows, the sinks hear of it once."""

from __future__ import annotations

import json

import pytest
import trio

from aether.errors import BadInput
from aether.kv import keys
from aether.model.alerts import Severity
from aether.model.limits import WEBHOOK_S

PATIENCE_S = 90.0


async def until(condition):
    with trio.fail_after(PATIENCE_S):
        while not condition():
            await trio.sleep(0.1)


class Figures:
    """ClusterFigures that say what the test says: node -> metric -> value."""

    def __init__(self):
        self.values = {}

    def nodes(self, names=None, age_max_s=None):
        return self.values

    round_s = 1.0


class Hooks:
    """Webhooks of the whole cluster: (node that told, address, id of the event, type)."""

    def __init__(self):
        self.got, self.fail = [], set()

    def of(self, node):
        async def send(url, body, headers):
            told = json.loads(body)
            self.got.append((node, url, headers["Idempotency-Key"], told["type"]))
            return 500 if url in self.fail else 200

        return send


def wire(node, figures, hooks):
    alerting = node._node.operations.alerting
    alerting.manager._figures = figures
    alerting.teller._send = hooks.of(node.node)
    return alerting


async def scene(aether_cluster):
    """Three nodes, figures that the test sets, webhooks that it reads."""
    cluster, figures, hooks = await aether_cluster(nodes=3), Figures(), Hooks()
    for node in cluster.nodes:
        wire(node, figures, hooks)
    return cluster, figures, hooks


def alerts(node):
    return {(row.metric, row.subject): row.severity for row in node._node.operations.alerting.operator.active()}


def history(node):
    return [(e.type.value, e.details["nodeId"]) for e in node._node.operations.alerting.operator.history()]


async def test_the_leader_judges_whether_or_not_anybody_looks_and_all_nodes_know(aether_cluster):
    cluster, figures, _ = await scene(aether_cluster)
    figures.values = {"node-2": {"cpu.usage": 0.8}}
    await until(lambda: all(alerts(n) == {("cpu.usage", "node-2"): Severity.WARNING} for n in cluster.nodes))
    figures.values = {"node-2": {"cpu.usage": 0.2}}
    await until(lambda: all(alerts(n) == {} for n in cluster.nodes))

    stories = [history(node) for node in cluster.nodes]
    assert stories == [[("ALERT_TRIGGERED", "node-2"), ("ALERT_RESOLVED", "node-2")]] * 3


async def test_a_new_leader_goes_on_without_raising_again(aether_cluster):
    cluster, figures, _ = await scene(aether_cluster)
    figures.values = {"node-1": {"cpu.usage": 0.95}, "node-2": {"cpu.usage": 0.95}, "node-3": {"cpu.usage": 0.95}}
    await until(lambda: len(alerts(cluster.nodes[0])) == 3)
    old = (await cluster.wait_leader()).node
    await cluster.kill(old)
    left = [node for node in cluster.nodes if node.node != old]
    await until(lambda: cluster.leader is not None and cluster.leader.node != old)
    figures.values = {node.node: {"cpu.usage": 0.95} for node in left}
    await trio.sleep(10)

    assert sorted(what for what, _ in history(left[0])) == ["ALERT_TRIGGERED"] * 3
    await until(lambda: ("cpu.usage", old) not in alerts(left[0]))  # it is dead, and nobody's figures say otherwise
    assert history(left[0])[3:] == [("ALERT_RESOLVED", old)]


async def test_figures_that_stop_coming_end_no_alert_of_a_node_that_lives(aether_cluster):
    cluster, figures, _ = await scene(aether_cluster)
    figures.values = {"node-2": {"cpu.usage": 0.8}}
    await until(lambda: alerts(cluster.nodes[0]))
    figures.values = {}
    await trio.sleep(60)

    assert alerts(cluster.nodes[0])


async def test_thresholds_hold_everywhere_and_removing_one_ends_its_alerts(aether_cluster):
    cluster, figures, _ = await scene(aether_cluster)
    one, two = (node._node.operations.alerting.operator for node in cluster.nodes[:2])
    await one.set_threshold("tasks", 10, 20, by="ann")
    figures.values = {"node-3": {"tasks": 25.0, "cpu.usage": 0.99}}
    await until(lambda: len(alerts(cluster.nodes[1])) == 2)
    await two.remove_threshold("tasks")
    await two.remove_threshold("cpu.usage")
    await until(lambda: alerts(cluster.nodes[0]) == {})

    assert list(one.thresholds()) == ["heap.usage"]
    with pytest.raises(BadInput, match="lies above"):
        await one.set_threshold("tasks", 20, 10)


async def test_what_is_cleared_begins_anew_when_it_still_stands(aether_cluster):
    cluster, figures, _ = await scene(aether_cluster)
    figures.values = {"node-2": {"cpu.usage": 0.8}}
    operator = cluster.nodes[0]._node.operations.alerting.operator
    await until(lambda: alerts(cluster.nodes[0]))
    _, cleared = await operator.clear()
    assert (cleared, alerts(cluster.nodes[0])) == (1, {})
    await until(lambda: alerts(cluster.nodes[0]))
    figures.values = {}
    await operator.clear()
    await trio.sleep(30)
    assert alerts(cluster.nodes[0]) == {}


async def test_webhooks_hear_once_from_the_leader_and_what_was_told_is_not_told_by_the_next(aether_cluster):
    cluster, figures, hooks = await scene(aether_cluster)
    operator = cluster.nodes[0]._node.operations.alerting.operator
    await operator.set_sinks(["http://h/1", "http://h/2"], log=True, severity=Severity.WARNING)
    await until(lambda: cluster.nodes[0].kv.get(keys.alerts_told) is not None)
    figures.values = {"node-2": {"cpu.usage": 0.8}}
    await until(lambda: len(hooks.got) == 2)
    old = (await cluster.wait_leader()).node
    before = cluster.nodes[0].kv.get(keys.alerts_told)
    await trio.sleep(5)
    assert {who for who, *_ in hooks.got} == {old}
    await cluster.kill(old)
    left = [node for node in cluster.nodes if node.node != old]
    await until(lambda: cluster.leader is not None and cluster.leader.node != old)
    figures.values = {left[0].node: {"cpu.usage": 0.1}, left[1].node: {"cpu.usage": 0.1}}
    await until(lambda: any(kind == "ALERT_RESOLVED" for *_, kind in hooks.got))
    await trio.sleep(5)

    told = [(url, event) for _, url, event, _ in hooks.got]
    assert len(told) == len(set(told)), "each webhook heard of each change once"
    assert left[0].kv.get(keys.alerts_told) != before


async def test_a_new_leader_tells_what_is_not_known_to_have_been_told(aether_cluster):
    """The old one dies between the change and the word about it: the row says so."""
    cluster, figures, hooks = await scene(aether_cluster)
    leader = await cluster.wait_leader()
    operator = cluster.nodes[0]._node.operations.alerting.operator
    await operator.set_sinks(["http://h/1"], log=False, severity=Severity.WARNING)
    await until(lambda: cluster.nodes[0].kv.get(keys.alerts_told) is not None)
    silent = trio.Event()

    async def never(url, body, headers):
        silent.set()
        await trio.sleep_forever()

    leader._node.operations.alerting.teller._send = never
    figures.values = {"node-1": {"cpu.usage": 0.8}, "node-2": {"cpu.usage": 0.8}, "node-3": {"cpu.usage": 0.8}}
    with trio.fail_after(30):
        await silent.wait()
    await cluster.kill(leader.node)
    await until(lambda: len([kind for *_, kind in hooks.got if kind == "THRESHOLD_EXCEEDED"]) == 3)
    assert leader.node not in {who for who, *_ in hooks.got}


async def test_webhooks_that_are_named_later_are_told_of_nothing_from_before(aether_cluster):
    cluster, figures, hooks = await scene(aether_cluster)
    operator = cluster.nodes[0]._node.operations.alerting.operator
    await operator.set_sinks(["http://h/1"], log=False, severity=Severity.WARNING)
    await until(lambda: cluster.nodes[0].kv.get(keys.alerts_told) is not None)
    await operator.set_sinks([], log=False, severity=Severity.WARNING)
    await until(lambda: cluster.nodes[0].kv.get(keys.alerts_told) is None)
    figures.values = {"node-2": {"cpu.usage": 0.8}}
    await until(lambda: alerts(cluster.nodes[0]))
    await trio.sleep(3)
    await operator.set_sinks(["http://h/1"], log=False, severity=Severity.WARNING)
    await trio.sleep(5)

    assert hooks.got == []


async def test_a_webhook_that_never_answers_keeps_none_from_the_others(aether_cluster, caplog):
    """Two alerts a second apart: the other one hears of both before the silent one has failed for the first time."""
    cluster, figures, hooks = await scene(aether_cluster)
    operator = cluster.nodes[0]._node.operations.alerting.operator
    send = hooks.of

    def silent_or(node):
        tell = send(node)

        async def post(url, body, headers):
            if url == "http://silent/1":
                await trio.sleep_forever()
            return await tell(url, body, headers)

        return post

    for node in cluster.nodes:
        node._node.operations.alerting.teller._send = silent_or(node.node)
    await operator.set_sinks(["http://silent/1", "http://good/1"], log=False, severity=Severity.WARNING)
    await until(lambda: cluster.nodes[0].kv.get(keys.alerts_told) is not None)
    figures.values = {"node-1": {"cpu.usage": 0.8}}
    await until(lambda: len(hooks.got) == 1)
    before = cluster.nodes[0].kv.get(keys.alerts_told)
    figures.values = {"node-1": {"cpu.usage": 0.8}, "node-2": {"cpu.usage": 0.8}}
    with trio.fail_after(WEBHOOK_S):
        await until(lambda: len(hooks.got) == 2)
    assert cluster.nodes[0].kv.get(keys.alerts_told) == before, "the silent one is not told yet"
    await until(lambda: "misses" in caplog.text)
    await until(lambda: cluster.nodes[0].kv.get(keys.alerts_told) != before)


async def test_a_webhook_that_fails_keeps_none_from_the_others_and_its_address_from_the_log(aether_cluster, caplog):
    cluster, figures, hooks = await scene(aether_cluster)
    operator = cluster.nodes[0]._node.operations.alerting.operator
    bad, good = "http://bad.example/s3cr3t", "http://good.example/s3cr3t"
    hooks.fail = {bad}
    await operator.set_sinks([bad, good], log=True, severity=Severity.WARNING)
    await until(lambda: cluster.nodes[0].kv.get(keys.alerts_told) is not None)
    with caplog.at_level("INFO"):
        figures.values = {"node-2": {"cpu.usage": 0.8}}
        await until(lambda: "misses" in caplog.text)

    assert [url for _, url, _, _ in hooks.got].count(bad) == 3
    assert [url for _, url, _, _ in hooks.got].count(good) == 1
    assert "s3cr3t" not in caplog.text
    assert "webhook http://bad.example/... misses 1 alerts: it answered 500, 3 times" in caplog.text
    assert "cpu.usage of node-2 is 0.8, WARNING from 0.7" in caplog.text
